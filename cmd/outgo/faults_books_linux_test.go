package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// An entry is what the ledger holds about one order.
type entry struct {
	ID          string
	AgentID     string
	AmountMinor int
	Merchant    string
	State       spend.State
	Receipts    []struct{ ProviderTransactionID string }
}

// counts reports whether the entry's money counts against its budget.
func (e *entry) counts() bool { return e.State == spend.Settled || e.State == spend.Executing }

// entries returns what the ledger holds since from, by order. Nothing in these
// tests makes a second request of one order, but for what was never begun.
func (d *daemon) entries(t *testing.T, from time.Time) map[string]entry {
	t.Helper()
	all := make(map[string]entry)
	query := url.Values{"limit": {"200"}}
	if !from.IsZero() {
		query.Set("from", from.UTC().Format(time.RFC3339Nano))
	}
	for {
		var page []entry
		next := d.page(t, "/api/v1/spend-requests?"+query.Encode(), &page)
		for _, e := range page {
			if had, ok := all[e.Merchant]; ok && had.counts() && e.counts() {
				t.Errorf("order %s is in the ledger twice: %+v and %+v", e.Merchant, had, e)
			} else if !ok || e.counts() {
				all[e.Merchant] = e
			}
		}
		if next == "" {
			return all
		}
		query.Set("cursor", next)
	}
}

// page reads one page and returns the cursor of the next.
func (d *daemon) page(t *testing.T, path string, into any) string {
	t.Helper()
	status, header, body, err := d.do(path)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d %s (%v)\n%s", path, status, body, err, tail(d.log.String(), 20))
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
	return header.Get("Outgo-Next-Cursor")
}

// reconcile holds the ledger against what the agents were told and what arrived at
// the provider. What was acknowledged is settled with its receipt, what arrived
// is in the ledger, and nothing arrived twice.
func reconcile(t *testing.T, bank *counter, ledger map[string]entry, told []answer) (executing int) {
	t.Helper()
	for _, a := range told {
		arrived, paid := bank.of(a.order)
		e, known := ledger[a.order]
		if e.State == spend.Executing {
			executing++
		}
		switch {
		case arrived > 1:
			t.Errorf("order %s arrived %d times", a.order, arrived)
		case a.status == http.StatusOK && (e.State != spend.Settled || !e.proves(a.paid) || a.paid != paid):
			t.Errorf("order %s was acknowledged as %s, is %s at the provider, and in the ledger %+v", a.order, a.paid, paid, e)
		case arrived > 0 && !known:
			t.Errorf("order %s was sent and is not in the ledger", a.order)
		case arrived > 0 && !e.counts():
			t.Errorf("order %s was sent and does not count: %+v", a.order, e)
		case arrived == 0 && e.State == spend.Settled:
			t.Errorf("order %s is settled and was never sent", a.order)
		case arrived > 0 && a.status != http.StatusOK && !a.open():
			t.Errorf("order %s was sent, but the agent was told %+v", a.order, a)
		}
	}
	return executing
}

// proves reports whether the entry has the receipt of a payment.
func (e *entry) proves(payment string) bool {
	return payment != "" && slices.ContainsFunc(e.Receipts, func(r struct{ ProviderTransactionID string }) bool {
		return r.ProviderTransactionID == payment
	})
}

// spentBy is what counts against the budget of each agent, in cents.
func spentBy(ledger map[string]entry) map[string]int {
	spent := make(map[string]int)
	for _, e := range ledger {
		if e.counts() {
			spent[e.AgentID] += e.AmountMinor
		}
	}
	return spent
}

// An owed order is one whose agent does not know what became of it.
type owed struct {
	answer
	state spend.State // in the ledger, "" when it is not there
}

// owing picks the owed ones.
func owing(ledger map[string]entry, told []answer) (open []owed) {
	for _, a := range told {
		if a.open() {
			open = append(open, owed{a, ledger[a.order].State})
		}
	}
	return open
}

// again sends owed orders once more, with their keys, as agents do after a crash.
// What was sent is not paid again: it is in doubt, or the provider says what it has
// become, under the key that it knows. What was not sent is paid now, or in doubt.
func again(t *testing.T, d *daemon, bank *counter, open []owed) {
	t.Helper()
	purses := make(map[string]*purse)
	var wg sync.WaitGroup
	for _, o := range open {
		if purses[o.agent] == nil {
			purses[o.agent] = newPurse(t, d, o.agent)
		}
		p := purses[o.agent]
		wg.Go(func() { retry(t, p, bank, o) })
	}
	wg.Wait()
}

func retry(t *testing.T, p *purse, bank *counter, o owed) {
	t.Helper()
	sent, _ := bank.of(o.order)
	now := p.pay(o.order, o.cents)
	arrived, paid := bank.of(o.order)
	switch {
	case arrived > 1:
		t.Errorf("order %s arrived %d times when it was sent again; it was %q", o.order, arrived, o.state)
	case o.state == spend.Executing && (arrived != sent || now.decision != "unknown" && (now.status != http.StatusOK || now.paid != paid)):
		t.Errorf("order %s was executing, arrived %d times, is %q, and is answered %+v when sent again", o.order, arrived, paid, now)
	case o.state == spend.Settled && (now.status != http.StatusOK || now.paid != paid):
		t.Errorf("order %s was settled as %s and is answered %+v when sent again", o.order, paid, now)
	case o.state == "" && now.status != http.StatusOK && now.code != string(spend.ExceedsMonthlyLimit):
		t.Errorf("order %s was never begun and is answered %+v when sent again", o.order, now)
	}
}
