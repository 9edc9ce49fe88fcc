package stripe

import (
	"errors"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// postJSON makes a call to /v2.
func postJSON(path, body string) *rails.Call {
	c := post(path, body)
	c.Header[0].Value = "application/json"
	return c
}

func TestLookedUpAmountsOfV2(t *testing.T) {
	const (
		payments = "/v2/money_management/outbound_payments"
		confirm  = "/v2/money_management/payout_intents/poi_1/confirm"
		update   = "/v2/money_management/payout_intents/poi_1"
		closing  = "/v2/money_management/financial_accounts/fa_1/close"
		quoted   = `{"from":{"currency":"usd"},"to":{"recipient":"acct_2"},"amount":{"value":900,"currency":"eur"},"outbound_payment_quote":"obpq_1"}`
		forward  = `{"forwarding_settings":{"payout_method":"usba_3"}}`
		capture  = "/v2/payments/off_session_payments/osp_1/capture"
		submit   = "/v2/payments/settlement_allocation_intents/sai_1/submit"
		commit   = "/v2/billing/intents/bi_1/commit"
	)
	r := New(Options{})
	for name, tc := range map[string]struct {
		path, body, fact, edit string
		want                   string // the legs; "" for a call that is not understood
	}{
		"a confirmation pays out the intent's amount":               {path: confirm, fact: "v2_payout_intent", want: "payout 4000 USD to acct_2"},
		"a confirmation without a body as well":                     {path: confirm, body: "-", fact: "v2_payout_intent", want: "payout 4000 USD to acct_2"},
		"a payout to oneself goes to the payout method":             {path: confirm, fact: "v2_payout_intent", edit: `"recipient": "acct_2"|"recipient": null`, want: "payout 4000 USD to usba_3"},
		"an exchange at a locked rate debits what Stripe says":      {path: confirm, fact: "v2_payout_intent_exchange", want: "payout 4321 USD to acct_2"},
		"an exchange at a rate that is not locked":                  {path: confirm, fact: "v2_payout_intent_exchange", edit: `"active"|"none"`},
		"an exchange without a rate":                                {path: confirm, fact: "v2_payout_intent_exchange", edit: `"fx_quote"|"no_quote"`},
		"an exchange debited in a third currency":                   {path: confirm, fact: "v2_payout_intent_exchange", edit: `"value": 4321, "currency": "usd"|"value": 4321, "currency": "gbp"`},
		"a change of where to pays out again, to that":              {path: update, body: `{"to":{"recipient":"acct_9"}}`, fact: "v2_payout_intent", want: "payout 4000 USD to acct_9"},
		"a change of how it is sent goes to the same":               {path: update, body: `{"to":{"currency":"usd"}}`, fact: "v2_payout_intent", want: "payout 4000 USD to acct_2"},
		"a quote tells what a payment in another currency debits":   {path: payments, body: quoted, fact: "v2_outbound_payment_quote", want: "payout 1001 USD to acct_2"},
		"a quote whose rate is not locked does not":                 {path: payments, body: quoted, fact: "v2_outbound_payment_quote", edit: `"active"|"expired"`},
		"a quote for another amount does not":                       {path: payments, body: quoted, fact: "v2_outbound_payment_quote", edit: `"value": 900|"value": 901`},
		"closing an account forwards all that it holds":             {path: closing, body: forward, fact: "v2_financial_account", want: "payout 700 EUR to usba_3, payout 15050 USD to usba_3"},
		"a capture states an amount":                                {path: capture, body: `{"amount_to_capture":5,"metadata":{}}`, fact: "v2_off_session_payment", want: "charge 5 USD to "},
		"a capture without one takes all that is authorized":        {path: capture, body: `{"metadata":{}}`, fact: "v2_off_session_payment", want: "charge 1800 USD to "},
		"a submission moves what the intent allocates":              {path: submit, fact: "v2_settlement_allocation_intent", want: "transfer 62000 EUR to "},
		"a commit charges the total":                                {path: commit, fact: "v2_billing_intent", want: "charge 3000 USD to "},
		"a commit that charges nothing today":                       {path: commit, fact: "v2_billing_intent", edit: `"total": "3000"|"total": "0"`},
		"a commit of a total that is no whole number":               {path: commit, fact: "v2_billing_intent", edit: `"total": "3000"|"total": "30.5"`},
		"the value of a currency of which an account holds nothing": {path: closing, body: forward, fact: "v2_financial_account", edit: `"value": 15000|"value": 0`, want: "payout 700 EUR to usba_3, payout 50 USD to usba_3"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.body == "" {
				tc.body = "{}"
			}
			var edits []string
			if tc.edit != "" {
				edits = strings.Split(tc.edit, "|")
			}
			j, err := answer(t, r, postJSON(tc.path, strings.TrimPrefix(tc.body, "-")), 200, reply(t, tc.fact, edits...))
			if err != nil || len(j.Lookups) > 0 {
				t.Fatal(j.Lookups, err)
			}
			var legs []string
			for _, l := range j.Intent.Legs {
				legs = append(legs, string(l.Kind)+" "+l.Amount.String()+" to "+l.Payee)
			}
			class, object := spend.Spend, strings.TrimPrefix(tc.path[:strings.LastIndexByte(tc.path, '/')], "/")
			if tc.want == "" {
				class = spend.Unrecognised
			}
			switch tc.path {
			case payments:
				object = ""
			case update:
				object = strings.TrimPrefix(tc.path, "/")
			}
			if got := strings.Join(legs, ", "); got != tc.want || j.Intent.Class != class || j.Intent.Object != object {
				t.Errorf("%s is %s of %q on %q, want %s of %q on %q", tc.path, j.Intent.Class, got, j.Intent.Object, class, tc.want, object)
			}
		})
	}
}

func TestClosingAnEmptyAccountMovesNothing(t *testing.T) {
	c := postJSON("/v2/money_management/financial_accounts/fa_1/close", "{}")
	fact := reply(t, "v2_financial_account", `"value": 15000`, `"value": 0`, `"value": 50,`, `"value": 0,`, `"value": 700`, `"value": 0`)
	j, err := answer(t, New(Options{}), c, 200, fact)
	if err != nil || j.Intent.Class != spend.Other || len(j.Intent.Legs) != 0 || j.Intent.Object != "v2/money_management/financial_accounts/fa_1" {
		t.Errorf("closing an empty account is %+v, %v, want a write that moves nothing, on the account", j.Intent, err)
	}
}

func TestFactsOfV2ThatDoNotServe(t *testing.T) {
	const confirm, closing = "/v2/money_management/payout_intents/poi_1/confirm", "/v2/money_management/financial_accounts/fa_1/close"
	for name, tc := range map[string]struct{ path, fact, edit string }{
		"an amount of nothing":          {confirm, "v2_payout_intent", `"value": 4000|"value": 0`},
		"an amount with a fraction":     {confirm, "v2_payout_intent", `"value": 4000|"value": 4000.5`},
		"a value that is a text":        {confirm, "v2_payout_intent", `"value": 4000|"value": "4000"`},
		"a currency that is not known":  {confirm, "v2_payout_intent", `"value": 4000, "currency": "usd"|"value": 4000, "currency": "zzz"`},
		"two values":                    {confirm, "v2_payout_intent", `"value": 4000|"value": 4000, "value": 1`},
		"no currency of the account":    {confirm, "v2_payout_intent", `"financial_account": "fa_1", "currency": "usd"|"financial_account": "fa_1"`},
		"another intent":                {confirm, "v2_payout_intent", `"poi_1"|"poi_2"`},
		"an object of /v1":              {confirm, "v2_payout_intent", `"v2.money_management.payout_intent"|"payment_intent"`},
		"a balance that is no map":      {closing, "v2_financial_account", `"available": {|"available": [], "else": {`},
		"a balance that is no amount":   {closing, "v2_financial_account", `"value": 700|"value": null`},
		"a balance below nothing":       {closing, "v2_financial_account", `"value": 700|"value": -700`},
		"an account without a balance":  {closing, "v2_financial_account", `"balance"|"balances"`},
		"no word of what is to come in": {closing, "v2_financial_account", `"inbound_pending"|"inbound"`},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := answer(t, New(Options{}), postJSON(tc.path, "{}"), 200, reply(t, tc.fact, strings.Split(tc.edit, "|")...))
			if !errors.Is(err, spend.Unavailable) {
				t.Errorf("the call is judged as %+v, %v, want Unavailable", j.Intent, err)
			}
		})
	}
}

func TestWhatIsSentOfJSON(t *testing.T) {
	r := New(Options{})
	own := `{"from":{"financial_account":"fa_1","currency":"usd"},"to":{"recipient":"acct_2"},"amount":{"value":1,"currency":"usd"}}`
	c := postJSON("/v2/money_management/outbound_payments", own)
	j, err := r.Intent(c, nil)
	if err != nil || &j.Body[0] != &c.Body[0] || len(j.Body) != len(c.Body) {
		t.Fatalf("the agent's own canonical bytes are not what is sent: %s, %v", j.Body, err)
	}
	other, err := r.Intent(postJSON("/v2/money_management/outbound_payments",
		`{"amount": {"currency": "usd", "value": 1}, "to": {"recipient": "acct\u005f2"}, "from": {"financial_account": "fa_1", "currency": "usd"}}`), nil)
	if err != nil || string(other.Canonical) != string(j.Canonical) {
		t.Errorf("another order and spelling is another call: %s and %s, %v", other.Canonical, j.Canonical, err)
	}
	if want := `{"amount":{"currency":"usd","value":1},"to":{"recipient":"acct_2"},"from":{"financial_account":"fa_1","currency":"usd"}}`; string(other.Body) != want {
		t.Errorf("sent is %s, want %s", other.Body, want)
	}
	for _, differs := range []string{`{"value":"1"}`, `{"value":null}`, `{"value":{}}`, `{"value":[]}`, `{"value":false}`, `{"value":[1]}`, `{}`, ``} {
		a, errA := r.Intent(postJSON("/v2/core/accounts", `{"value":1}`), nil)
		b, errB := r.Intent(postJSON("/v2/core/accounts", differs), nil)
		if errA != nil || errB != nil || string(a.Canonical) == string(b.Canonical) {
			t.Errorf("%s has the canonical form %s, as another call has: %v, %v", differs, b.Canonical, errA, errB)
		}
	}
}

func TestFilesAreSentAsTheyAre(t *testing.T) {
	body := "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n--b--\r\n"
	c := post("/v1/files", body)
	c.Host, c.Header[0].Value = "files.stripe.com", "multipart/form-data; boundary=b"
	j, err := New(Options{}).Intent(c, nil)
	if err != nil || string(j.Body) != body || j.Intent.Class != spend.Other || !strings.HasSuffix(string(j.Canonical), body) {
		t.Errorf("a file is judged as %+v, %v, want it sent as it is", j, err)
	}
}

func TestARefusedContentTypeSaysWhatToDo(t *testing.T) {
	for sentence, c := range map[string]struct{ host, path, kind, says string }{
		"JSON where forms are taken":  {"api.stripe.com", "/v1/charges", "application/json", "use application/x-www-form-urlencoded"},
		"a file sent to the API host": {"api.stripe.com", "/v1/files", "multipart/form-data; boundary=b", "https://files.stripe.com/v1/files"},
		"what nobody knows":           {"mcp.stripe.com", "/", "application/json", "does not know what POST \"/\" on mcp.stripe.com does"},
		"a path that nobody knows":    {"api.stripe.com", "/v1/nothing", "text/plain", "does not know what POST \"/v1/nothing\""},
	} {
		call := post(c.path, "{}")
		call.Host, call.Header[0].Value = c.host, c.kind
		_, err := New(Options{}).Intent(call, nil)
		var refused *rails.Refusal
		if !errors.As(err, &refused) || refused.Code != spend.UnrecognisedCall || !strings.Contains(refused.Reason, c.says) {
			t.Errorf("%s: %v, want it refused with %q", sentence, err, c.says)
		}
	}
}
