package sandbox

import (
	"maps"
	"slices"
)

// transfer moves balance to a connected account.
type transfer struct {
	head
	Amount             int64             `json:"amount"`
	AmountReversed     int64             `json:"amount_reversed"`
	BalanceTransaction text              `json:"balance_transaction"`
	Currency           string            `json:"currency"`
	Description        text              `json:"description"`
	Destination        text              `json:"destination"`
	Metadata           map[string]string `json:"metadata"`
	Reversals          reversals         `json:"reversals"`
	Reversed           bool              `json:"reversed"`
	SourceTransaction  ref               `json:"source_transaction"`
	SourceType         string            `json:"source_type"`
	TransferGroup      text              `json:"transfer_group"`
}

// reversals is the list, always empty, of what was taken back.
type reversals struct {
	Object  string     `json:"object"`
	Data    []struct{} `json:"data"`
	HasMore bool       `json:"has_more"`
	URL     string     `json:"url"`
}

func (t *transfer) refs() map[string]*ref {
	return map[string]*ref{"source_transaction": &t.SourceTransaction}
}

func (t *transfer) clone() object {
	dup := *t
	dup.Metadata = maps.Clone(t.Metadata)
	return &dup
}

func createTransfer(c *call) (any, *Error) {
	p := c.p
	t := &transfer{
		head: c.head("tr_", "transfer"), Currency: p.currency("currency"), Description: p.text("description"),
		Destination: text(p.require("destination")), Metadata: c.metadata(nil), SourceTransaction: ref{id: p.flat["source_transaction"]},
		SourceType: p.choice("source_type", "card", "bank_account", "fpx"), TransferGroup: p.text("transfer_group"),
	}
	t.Reversals = reversals{Object: "list", Data: []struct{}{}, URL: "/v1/transfers/" + t.ID + "/reversals"}
	if t.SourceTransaction.id == "" {
		t.Amount = p.amount("amount")
	} else if source, ok := find[*charge](c, t.SourceTransaction.id); !ok {
		p.fail(noSuch("charge", "source_transaction", t.SourceTransaction.id))
	} else if n, asked := p.optionalAmount("amount"); asked {
		t.Amount = n
	} else {
		t.Amount = source.Amount
	}
	if p.err != nil {
		return nil, p.err
	}
	if t.Amount > c.available(t.Currency) {
		return nil, badRequest("balance_insufficient", "", "You have insufficient available funds in your Stripe account.")
	}
	c.add(t.ID, t)
	c.moved(Transfer, t.ID, t.Currency, t.Amount)
	c.happened("transfer.created", t)
	return t, nil
}

func showTransfer(c *call) (any, *Error) {
	t, ok := find[*transfer](c, c.object)
	if !ok {
		return nil, missing("transfer", "transfer", c.object)
	}
	return t, nil
}

func listTransfers(c *call) (any, *Error) {
	f := c.p.flat
	return list(c, "transfer", "/v1/transfers", func(t *transfer) bool {
		return (f["destination"] == "" || string(t.Destination) == f["destination"]) &&
			(f["transfer_group"] == "" || string(t.TransferGroup) == f["transfer_group"])
	})
}

// payout sends balance to a bank account. It stays pending: no bank is behind it.
type payout struct {
	head
	Amount               int64             `json:"amount"`
	ApplicationFee       text              `json:"application_fee"`
	ApplicationFeeAmount *int64            `json:"application_fee_amount"`
	ArrivalDate          int64             `json:"arrival_date"`
	Automatic            bool              `json:"automatic"`
	BalanceTransaction   text              `json:"balance_transaction"`
	Currency             string            `json:"currency"`
	Description          text              `json:"description"`
	Destination          text              `json:"destination"`
	FailureCode          text              `json:"failure_code"`
	FailureMessage       text              `json:"failure_message"`
	Metadata             map[string]string `json:"metadata"`
	Method               string            `json:"method"`
	OriginalPayout       text              `json:"original_payout"`
	PayoutMethod         text              `json:"payout_method"`
	ReconciliationStatus string            `json:"reconciliation_status"`
	ReversedBy           text              `json:"reversed_by"`
	SourceType           string            `json:"source_type"`
	StatementDescriptor  text              `json:"statement_descriptor"`
	Status               string            `json:"status"`
	Type                 string            `json:"type"`
}

func (po *payout) refs() map[string]*ref { return nil }

func (po *payout) clone() object {
	dup := *po
	dup.Metadata = maps.Clone(po.Metadata)
	return &dup
}

const day = 24 * 60 * 60 // seconds

func createPayout(c *call) (any, *Error) {
	p := c.p
	po := &payout{
		head: c.head("po_", "payout"), Amount: p.amount("amount"), ArrivalDate: (c.now/day + 2) * day, Currency: p.currency("currency"),
		Description: p.text("description"), Destination: p.text("destination"), Metadata: c.metadata(nil),
		Method: p.choice("method", "standard", "instant"), PayoutMethod: p.text("payout_method"), ReconciliationStatus: "not_applicable",
		SourceType: p.choice("source_type", "card", "bank_account", "fpx"), StatementDescriptor: p.text("statement_descriptor"),
		Status: "pending", Type: "bank_account",
	}
	if po.Destination == "" {
		po.Destination = "ba_sandboxdefaultaccount"
	}
	if p.err != nil {
		return nil, p.err
	}
	if po.Amount > c.available(po.Currency) {
		return nil, badRequest("balance_insufficient", "", "You have insufficient funds in your Stripe account for this payout.")
	}
	c.add(po.ID, po)
	c.moved(Payout, po.ID, po.Currency, po.Amount)
	c.happened("payout.created", po)
	return po, nil
}

func showPayout(c *call) (any, *Error) {
	po, ok := find[*payout](c, c.object)
	if !ok {
		return nil, missing("payout", "payout", c.object)
	}
	return po, nil
}

func listPayouts(c *call) (any, *Error) {
	f := c.p.flat
	return list(c, "payout", "/v1/payouts", func(po *payout) bool {
		return (f["destination"] == "" || string(po.Destination) == f["destination"]) && (f["status"] == "" || po.Status == f["status"])
	})
}

// balance is what the acting account has, per currency.
type balance struct {
	Object    string        `json:"object"`
	Available []balanceLine `json:"available"`
	Livemode  bool          `json:"livemode"`
	Pending   []balanceLine `json:"pending"`
}

type balanceLine struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

func showBalance(c *call) (any, *Error) {
	currencies := map[string]bool{"usd": true}
	for _, m := range c.s.ledger {
		if m.Account == c.scope.account && m.Live == c.scope.live {
			currencies[m.Currency] = true
		}
	}
	b := &balance{Object: "balance", Livemode: c.scope.live, Available: []balanceLine{}, Pending: []balanceLine{}}
	for _, currency := range slices.Sorted(maps.Keys(currencies)) {
		b.Available = append(b.Available, balanceLine{Amount: c.available(currency), Currency: currency})
		b.Pending = append(b.Pending, balanceLine{Currency: currency})
	}
	return b, nil
}
