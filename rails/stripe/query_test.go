package stripe

import (
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

func TestReadsThatRevealAreJudgedByWhatTheyReveal(t *testing.T) {
	for name, c := range map[string]struct{ path, query, want string }{
		"a card's number":                   {"/v1/issuing/cards/ic_1", "expand[]=number", "issuing.cards.reveal"},
		"a card's number, from a list":      {"/v1/issuing/cards", "limit=3&expand[0]=data.number", "issuing.cards.reveal"},
		"one from a payment with the card":  {"/v1/issuing/authorizations/iauth_1", "expand[]=card.cvc", "issuing.cards.reveal"},
		"an account number":                 {"/v1/treasury/financial_accounts/fa_1", "expand[]=financial_addresses.aba.account_number", "treasury.financial_accounts.reveal"},
		"an account number of /v2":          {"/v2/money_management/financial_addresses", "include[0]=credentials.us_bank_account.account_number", "treasury.financial_accounts.reveal"},
		"an app's secret":                   {"/v1/apps/secrets/find", "name=x&scope[type]=account&expand[]=payload", "apps.secrets.reveal"},
		"an IBAN of /v2":                    {"/v2/money_management/financial_addresses/fa_1", "include[0]=credentials.sepa_bank_account.iban", "treasury.financial_accounts.reveal"},
		"what signs events":                 {"/v2/core/event_destinations/ed_1", "include[0]=webhook_endpoint.signing_secret", "apps.secrets.reveal"},
		"a number in capitals":              {"/v1/issuing/cards/ic_1", "expand[]=Number", "issuing.cards.reveal"},
		"a number with a space":             {"/v1/issuing/cards/ic_1", "expand[]=number%20", "issuing.cards.reveal"},
		"a number and a code in one":        {"/v1/issuing/cards/ic_1", "expand=number%2Ccvc%2Cstatus", "issuing.cards.reveal"},
		"a number as the name":              {"/v1/issuing/cards/ic_1", "expand[number]=1", "issuing.cards.reveal"},
		"another secret of a card":          {"/v1/issuing/cards/ic_1", "expand[]=payload", "issuing.cards.reveal"},
		"a source, with its client's token": {"/v1/sources/src_1", "", "sources.read"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{})
			call := post(c.path, "", "Authorization", "Bearer sk_test_1")
			call.Method, call.Query, call.HasQuery = "GET", c.query, c.query != ""
			j, err := r.Intent(call, nil)
			if err != nil || j.Intent.Class != spend.Capability || j.Intent.Operation != c.want || j.Intent.Mode != spend.Test {
				t.Fatalf("judged as %+v, %v", j.Intent, err)
			}
			if r.Match(call) != spend.Capability {
				t.Error("Match takes it for something else")
			}
			if j.Query != c.query || len(j.Body) > 0 || j.KeyHeader != "" || j.Replayable != 0 {
				t.Errorf("what is sent is %+v", j)
			}
		})
	}
}

// TestEveryReadOfTheTableWithConditionsIsSeenInItsQuery holds what readQuery looks for
// against the table: a condition that it does not know would never be met.
func TestEveryReadOfTheTableWithConditionsIsSeenInItsQuery(t *testing.T) {
	n := 0
	for _, o := range overlay(t) {
		op, _, _ := find(o.host, o.method, o.path())
		if o.method != "GET" || op == nil {
			continue
		}
		for _, c := range op.when {
			if n++; c.param != expansion || !reveals(c.value) {
				t.Errorf("%s %s depends on %s=%s", o.method, o.path(), c.param, c.value)
			}
		}
	}
	if n == 0 {
		t.Error("no read has a condition")
	}
}

func TestAWriteWhoseReplyRevealsIsACapability(t *testing.T) {
	for name, c := range map[string]struct {
		path, form string
		want       spend.Class // "": refused
	}{
		"an edit of a card payment":                  {"/v1/issuing/authorizations/iauth_1", "metadata[a]=b", spend.Other},
		"one whose reply shows the card":             {"/v1/issuing/authorizations/iauth_1", "metadata[a]=b&expand[]=card.number", spend.Capability},
		"one whose reply shows the name on it":       {"/v1/issuing/authorizations/iauth_1", "metadata[a]=b&expand[]=card.cardholder", spend.Other},
		"one whose reply may show it, with a space":  {"/v1/issuing/authorizations/iauth_1", "metadata[a]=b&expand[]=card.number%20", spend.Capability},
		"one whose reply may show it, in a list":     {"/v1/issuing/authorizations/iauth_1", "expand[]=card.number,card.status", spend.Capability},
		"one whose reply shows the card, by a query": {"/v1/issuing/authorizations/iauth_1?expand[]=card.cvc", "", spend.Capability},
		"a payment whose reply shows a card":         {"/v1/charges", "amount=1&currency=usd&expand[]=x.number", ""},
	} {
		t.Run(name, func(t *testing.T) {
			call := post(c.path, c.form)
			call.Path, call.Query, call.HasQuery = cutQuery(c.path)
			j, err := New(Options{}).Intent(call, nil)
			if c.want == "" {
				if err == nil {
					t.Errorf("judged as %+v", j.Intent)
				}
			} else if err != nil || j.Intent.Class != c.want {
				t.Errorf("judged as %+v, %v", j.Intent, err)
			}
		})
	}
}

func cutQuery(target string) (path, query string, has bool) {
	path, query, has, err := rails.CanonicalTarget(target)
	if err != nil {
		panic(err)
	}
	return path, query, has
}

func TestWhatExistsWithTestKeysOnlyIsRefusedToOthers(t *testing.T) {
	for key, want := range map[string]bool{
		"Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc": true, "Bearer rk_test_1": true, "Basic c2tfdGVzdF8xOg==": true,
		"Bearer sk_live_1": false, "Bearer rk_live_1": false, "Bearer nosuch": false, "": false, "Basic c2tfbGl2ZV8xOg==": false,
	} {
		call := post("/v1/test_helpers/test_clocks", "frozen_time=1")
		call.Header = []rails.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}
		if key != "" {
			call.Header = append(call.Header, rails.Field{Name: "Authorization", Value: key})
		}
		j, err := New(Options{}).Intent(call, nil)
		if (err == nil) != want || want && j.Intent.Class != spend.Other {
			t.Errorf("with the key %q: %+v, %v", key, j.Intent, err)
		}
	}
}

func TestPlainReadsTakeNoMemory(t *testing.T) {
	r := New(Options{})
	for query, path := range map[string]string{
		"": "/v1/charges", "limit=3&starting_after=ch_1": "/v1/charges", "expand[]=data.customer&expand[]=data.invoice": "/v1/charges",
		"expand[]=cardholder": "/v1/issuing/cards/ic_1",
	} {
		call := rails.Call{Host: "api.stripe.com", Method: "GET", Path: path, Query: query}
		if n := testing.AllocsPerRun(100, func() {
			if r.Match(&call) != spend.Read {
				t.Error("it is no read")
			}
		}); n != 0 {
			t.Errorf("%q takes %v allocations", query, n)
		}
	}
}

// TestOnlyPostsAreReplayable: Stripe keeps no replies of other writes, so that one sent
// again would be carried out again.
func TestOnlyPostsAreReplayable(t *testing.T) {
	for method, want := range map[string]bool{"POST": true, "DELETE": false} {
		call := post("/v1/coupons/a", "", "Idempotency-Key", "k")
		call.Method = method
		if j, err := New(Options{}).Intent(call, nil); err != nil || (j.Replayable > 0) != want || j.Key != "k" {
			t.Errorf("%s: %+v, %v", method, j, err)
		}
	}
}
