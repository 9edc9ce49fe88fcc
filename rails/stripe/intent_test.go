package stripe

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

const formType = "application/x-www-form-urlencoded"

// post makes a call to the API; header holds pairs of name and value.
func post(path, body string, header ...string) *rails.Call {
	c := &rails.Call{Host: "api.stripe.com", Method: "POST", Path: path, Body: []byte(body), Header: []rails.Field{{Name: "Content-Type", Value: formType}}}
	for i := 0; i < len(header); i += 2 {
		c.Header = append(c.Header, rails.Field{Name: header[i], Value: header[i+1]})
	}
	return c
}

// reply reads a reply of testdata/replies and makes the replacements given in
// pairs, each of which must apply.
func reply(t testing.TB, file string, edits ...string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/replies/" + file + ".json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("%s holds no %q to replace", file, edits[i])
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	return text
}

// answer performs the lookups of a call with one reply for each.
func answer(t testing.TB, r *Rail, c *rails.Call, status int, body string) (rails.Judgement, error) {
	t.Helper()
	j, err := r.Intent(c, nil)
	if err != nil || len(j.Lookups) != 1 || len(j.Intent.Legs) != 1 || !j.Intent.Legs[0].Amount.IsZero() {
		t.Fatalf("%s without facts = %+v, %v, want one leg without an amount and one lookup", c.Path, j, err)
	}
	return r.Intent(c, []rails.Fact{{Lookup: j.Lookups[0], Reply: rails.Reply{Status: status, Body: []byte(body)}}})
}

func TestLookedUpAmounts(t *testing.T) {
	r := New(Options{})
	for name, tc := range map[string]struct {
		path, body, fact string
		edits            []string
		kind             spend.LegKind
		amount, payee    string
		object           string
	}{
		"a confirmation spends the payment intent's amount": {
			path: "/v1/payment_intents/pi_1/confirm", fact: "payment_intent_unconfirmed",
			kind: spend.Charge, amount: "2000 EUR", object: "payment_intents/pi_1"},
		"a confirmation of one that succeeded is judged like any other": {
			path: "/v1/payment_intents/pi_1/confirm", fact: "payment_intent",
			kind: spend.Charge, amount: "2000 EUR", payee: "acct_7", object: "payment_intents/pi_1"},
		"a confirmation of a part is judged as one of the whole": {
			path: "/v1/payment_intents/pi_1/confirm", body: "amount_to_confirm=1999", fact: "payment_intent_unconfirmed",
			kind: spend.Charge, amount: "2000 EUR", object: "payment_intents/pi_1"},
		"a capture spends what can be captured": {
			path: "/v1/payment_intents/pi_1/capture", fact: "payment_intent_authorized",
			kind: spend.Charge, amount: "1800 EUR", payee: "acct_7", object: "payment_intents/pi_1"},
		"a capture that states an amount spends that": {
			path: "/v1/payment_intents/pi_1/capture", body: "amount_to_capture=5", fact: "payment_intent_authorized",
			kind: spend.Charge, amount: "5 EUR", payee: "acct_7", object: "payment_intents/pi_1"},
		"an increment spends the difference to the new total": {
			path: "/v1/payment_intents/pi_1/increment_authorization", body: "amount=2500", fact: "payment_intent_authorized",
			kind: spend.Charge, amount: "500 EUR", payee: "acct_7", object: "payment_intents/pi_1"},
		"a charge capture spends what is not captured": {
			path: "/v1/charges/ch_1/capture", fact: "charge_uncaptured",
			kind: spend.Charge, amount: "5000 USD", payee: "acct_9", object: "charges/ch_1"},
		"a charge capture of an old version spends the whole": {
			path: "/v1/charges/ch_1/capture", fact: "charge_uncaptured", edits: []string{`  "amount_captured": 0,` + "\n", ""},
			kind: spend.Charge, amount: "5000 USD", payee: "acct_9", object: "charges/ch_1"},
		"a charge capture that states an amount spends that": {
			path: "/v1/charges/ch_1/capture", body: "amount=4999", fact: "charge_uncaptured",
			kind: spend.Charge, amount: "4999 USD", payee: "acct_9", object: "charges/ch_1"},
		"a refund of a charge gives back the rest": {
			path: "/v1/refunds", body: "charge=ch_1", fact: "charge", edits: []string{`"amount_refunded": 0`, `"amount_refunded": 4000`},
			kind: spend.Refund, amount: "1000 USD", object: "charges/ch_1"},
		"a refund that states an amount gives back that": {
			path: "/v1/refunds", body: "charge=ch_1&amount=10", fact: "charge",
			kind: spend.Refund, amount: "10 USD", object: "charges/ch_1"},
		"the alias under charges is the same refund": {
			path: "/v1/charges/ch_1/refunds", fact: "charge",
			kind: spend.Refund, amount: "5000 USD", object: "charges/ch_1"},
		"a refund of a payment intent gives back the rest of its charge": {
			path: "/v1/refunds", body: "payment_intent=pi_1", fact: "payment_intent_expanded",
			kind: spend.Refund, amount: "1400 EUR", object: "payment_intents/pi_1"},
		"a transfer without an amount passes on all of its charge": {
			path: "/v1/transfers", body: "source_transaction=ch_1&destination=acct_3&currency=usd", fact: "charge",
			kind: spend.Transfer, amount: "5000 USD", payee: "acct_3"},
		"a refund of a payment intent may state an amount": {
			path: "/v1/refunds", body: "payment_intent=pi_1&amount=1", fact: "payment_intent_expanded",
			kind: spend.Refund, amount: "1 EUR", object: "payment_intents/pi_1"},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := answer(t, r, post(tc.path, tc.body), 200, reply(t, tc.fact, tc.edits...))
			if err != nil {
				t.Fatal(err)
			}
			if len(j.Lookups) != 0 || len(j.Intent.Legs) != 1 || j.Intent.Class != spend.Spend {
				t.Fatalf("with its fact the call gives %+v, want one leg and no lookup", j)
			}
			l := j.Intent.Legs[0]
			if l.Kind != tc.kind || l.Amount.String() != tc.amount || l.Payee != tc.payee || j.Intent.Object != tc.object {
				t.Errorf("leg %s %s to %q on %q, want %s %s to %q on %q", l.Kind, l.Amount, l.Payee, j.Intent.Object, tc.kind, tc.amount, tc.payee, tc.object)
			}
		})
	}
}

func TestFactsThatDoNotServe(t *testing.T) {
	r := New(Options{})
	confirm := "/v1/payment_intents/pi_1/confirm"
	for name, tc := range map[string]struct {
		path, body, fact string
		edits            []string
		status           int
		want             error // nil for a refusal
	}{
		"a missing object is no fact":             {path: confirm, fact: "error_invalid", status: 404, want: spend.Unavailable},
		"an object with status 500 is no fact":    {path: confirm, fact: "payment_intent", status: 500, want: spend.Unavailable},
		"an expanded object of another type":      {path: "/v1/refunds", body: "payment_intent=pi_1", fact: "payment_intent_expanded", edits: []string{`"object": "charge"`, `"object": "refund"`}, want: spend.Unavailable},
		"an unknown currency of a stated amount":  {path: "/v1/refunds", body: "charge=ch_1&amount=1", fact: "charge", edits: []string{`"usd"`, `"zzz"`}, want: spend.Unavailable},
		"a charge without its refunds":            {path: "/v1/refunds", body: "charge=ch_1", fact: "charge", edits: []string{`"amount_refunded"`, `"refunded_amount"`}, want: spend.Unavailable},
		"an error with status 200 is no fact":     {path: confirm, fact: "error_invalid", want: spend.Unavailable},
		"another object is no fact":               {path: confirm, fact: "payment_intent", edits: []string{`"pi_1"`, `"pi_2"`}, want: spend.Unavailable},
		"an object of another type is no fact":    {path: confirm, fact: "payment_intent", edits: []string{`"payment_intent"`, `"setup_intent"`}, want: spend.Unavailable},
		"a cut reply is no fact":                  {path: confirm, fact: "payment_intent", edits: []string{"\n}", ""}, want: spend.Unavailable},
		"two amounts are no fact":                 {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": 2000, "amo\u0075nt": 1,`}, want: spend.Unavailable},
		"a text is no amount":                     {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": "2000",`}, want: spend.Unavailable},
		"a fraction is no amount":                 {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": 2000.5,`}, want: spend.Unavailable},
		"an exponent is no amount":                {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": 2e3,`}, want: spend.Unavailable},
		"a negative number is no amount":          {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": -2000,`}, want: spend.Unavailable},
		"2^63 is no amount":                       {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, `"amount": 9223372036854775808,`}, want: spend.Unavailable},
		"no amount is no amount":                  {path: confirm, fact: "payment_intent", edits: []string{`"amount": 2000,`, ``}, want: spend.Unavailable},
		"an unknown currency is no unit":          {path: confirm, fact: "payment_intent", edits: []string{`"eur"`, `"zzz"`}, want: spend.Unavailable},
		"two destinations are no payee":           {path: confirm, fact: "payment_intent", edits: []string{`{"destination": "acct_7"}`, `{"destination": "acct_7", "destination": "acct_8"}`}, want: spend.Unavailable},
		"a number is no payee":                    {path: confirm, fact: "payment_intent", edits: []string{`{"destination": "acct_7"}`, `{"destination": 7}`}, want: spend.Unavailable},
		"an unexpanded charge tells no remainder": {path: "/v1/refunds", body: "payment_intent=pi_1", fact: "payment_intent", want: spend.Unavailable},
		"a list is no object":                     {path: confirm, fact: "transfer", edits: []string{`{`, `[{`, `}`, `}]`}, want: spend.Unavailable},
		"a capture of nothing is refused":         {path: "/v1/payment_intents/pi_1/capture", fact: "payment_intent"},
		"a capture of a captured charge":          {path: "/v1/charges/ch_1/capture", fact: "charge"},
		"a refund of a refunded charge":           {path: "/v1/refunds", body: "charge=ch_1", fact: "charge", edits: []string{`"amount_refunded": 0`, `"amount_refunded": 5000`}},
		"a confirmation of more than there is":    {path: confirm, body: "amount_to_confirm=2001", fact: "payment_intent"},
		"an increment to the same total":          {path: "/v1/payment_intents/pi_1/increment_authorization", body: "amount=2000", fact: "payment_intent_authorized"},
		"an increment to a lower total":           {path: "/v1/payment_intents/pi_1/increment_authorization", body: "amount=1", fact: "payment_intent_authorized"},
		"a stated amount off the currency's grid": {path: "/v1/refunds", body: "charge=ch_1&amount=15", fact: "charge", edits: []string{`"usd"`, `"kwd"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.status == 0 {
				tc.status = 200
			}
			j, err := answer(t, r, post(tc.path, tc.body), tc.status, reply(t, tc.fact, tc.edits...))
			var refusal *rails.Refusal
			switch {
			case err == nil:
				t.Fatalf("judged as %+v, want an error", j.Intent.Legs)
			case tc.want == nil && (!errors.As(err, &refusal) || refusal.Code != spend.Malformed):
				t.Errorf("error %v, want a refusal as malformed", err)
			case tc.want != nil && (!errors.Is(err, tc.want) || errors.As(err, &refusal)):
				t.Errorf("error %v, want one of kind %v and no refusal", err, tc.want)
			}
		})
	}
}

func TestIntentNamesWhoCalls(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tc := range map[string]struct {
		authorization, account, context string
		mode                            spend.Mode
		acting                          string
	}{
		"a secret test key":                    {authorization: "Bearer sk_test_1", mode: spend.Test},
		"a restricted test key":                {authorization: "bearer rk_test_1", mode: spend.Test},
		"a secret live key":                    {authorization: "Bearer sk_live_1", mode: spend.Live},
		"a restricted live key":                {authorization: "Bearer rk_live_1", mode: spend.Live},
		"a user name":                          {authorization: basic("sk_live_1:"), mode: spend.Live},
		"a user name without a colon":          {authorization: basic("sk_test_1"), mode: spend.Test},
		"a password is no user name":           {authorization: basic("x:sk_test_1")},
		"a broken encoding":                    {authorization: "Basic c2tfdGVzdF8x=="},
		"a publishable key":                    {authorization: "Bearer pk_test_1"},
		"two keys in one value have no mode":   {authorization: "Bearer sk_test_1,sk_live_1"},
		"two spaces have no mode":              {authorization: "Bearer  sk_test_1"},
		"another scheme":                       {authorization: "Token sk_test_1"},
		"a placeholder":                        {authorization: "Bearer outgo"},
		"no credential":                        {},
		"an account":                           {account: "acct_1", acting: "acct_1"},
		"a context, which may name grandchild": {context: "acct_1/acct_2", acting: "acct_1/acct_2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := post("/v1/charges", "amount=1&currency=usd")
			for n, v := range map[string]string{"Authorization": tc.authorization, "Stripe-Account": tc.account, "Stripe-Context": tc.context} {
				if v != "" {
					c.Header = append(c.Header, rails.Field{Name: n, Value: v})
				}
			}
			j, err := New(Options{}).Intent(c, nil)
			if err != nil || j.Intent.Mode != tc.mode || j.Intent.ActingAccount != tc.acting {
				t.Errorf("mode %q for %q, %v, want %q for %q", j.Intent.Mode, j.Intent.ActingAccount, err, tc.mode, tc.acting)
			}
		})
	}
}

func TestClaimsFillWhatTheWireLeavesOpen(t *testing.T) {
	r := New(Options{Categories: map[string]string{"charges.create": " Shopping "}})
	j, err := r.Intent(post("/v1/charges", "amount=1&currency=usd&metadata[merchant]=A.example&metadata[outgo_request]=id-1",
		"Outgo-Reason", "because", "Outgo-Task", "t1", "Outgo-Authorization", "tok.sig", "Outgo-Merchant", "https://a.example/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := spend.Claims{Merchant: "a.example", Reason: "because", Task: "t1", Request: "id-1", Authorization: "tok.sig"}
	if j.Intent.Claims != want {
		t.Errorf("claims %+v, want %+v", j.Intent.Claims, want)
	}
	if l := j.Intent.Legs[0]; l.Merchant != "a.example" || !l.ClaimedMerchant || l.Category != "shopping" || l.ClaimedCategory {
		t.Errorf("leg %+v, want the claimed merchant and the configured category", l)
	}
	j, err = r.Intent(post("/v1/charges", "amount=1&currency=usd&metadata[category]=Books"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := j.Intent.Legs[0]; l.Category != "books" || !l.ClaimedCategory || l.ClaimedMerchant {
		t.Errorf("leg %+v, want the claimed category and no merchant", l)
	}
}

func TestWhatIsSentAndFingerprinted(t *testing.T) {
	r := New(Options{})
	for name, tc := range map[string]struct{ query, body, wantQuery, wantBody, canonical string }{
		"canonical bytes stay as they are": {
			body: "currency=usd&amount=1&metadata[a]=b%20c", wantBody: "currency=usd&amount=1&metadata[a]=b%20c",
			canonical: "amount=1&currency=usd&metadata[a]=b%20c"},
		"other spellings are encoded anew, in their order": {
			body: "currency=u%73d&amount=1&metadata%5Ba%5d=b+c", wantBody: "currency=usd&amount=1&metadata[a]=b%20c",
			canonical: "amount=1&currency=usd&metadata[a]=b%20c"},
		"query and body stay where they are": {
			query: "currency=usd&expand[]=b&expand[]=a", body: "amount=1&description=é",
			wantQuery: "currency=usd&expand[]=b&expand[]=a", wantBody: "amount=1&description=%C3%A9",
			canonical: "amount=1&currency=usd&description=%C3%A9&expand[]=b&expand[]=a"},
	} {
		t.Run(name, func(t *testing.T) {
			c := post("/v1/charges", tc.body, "Idempotency-Key", "k1", "Stripe-Version", "2026-08-26.dahlia")
			c.Query, c.HasQuery = tc.query, tc.query != ""
			j, err := r.Intent(c, nil)
			if err != nil {
				t.Fatal(err)
			}
			if j.Query != tc.wantQuery || string(j.Body) != tc.wantBody || string(j.Canonical) != tc.canonical {
				t.Errorf("sends %q and %q, covers %q; want %q, %q, %q", j.Query, j.Body, j.Canonical, tc.wantQuery, tc.wantBody, tc.canonical)
			}
			if j.Key != "k1" || j.KeyHeader != "Idempotency-Key" || j.Version != "2026-08-26.dahlia" || j.Replayable != 23*time.Hour {
				t.Errorf("key %q in %q, version %q, replayable %v", j.Key, j.KeyHeader, j.Version, j.Replayable)
			}
		})
	}
}

func TestIntentGuardsItsOwnInput(t *testing.T) {
	r := New(Options{})
	get := &rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges", Query: "limit=3&limit=4", HasQuery: true}
	if j, err := r.Intent(get, nil); err != nil || j.Intent.Class != spend.Read || j.Query != get.Query {
		t.Errorf("a GET gives %+v, %v, want a read with its query untouched", j, err)
	}
	for name, tc := range map[string]struct {
		edit func(*rails.Call)
		code spend.Code
	}{
		"a raw space in the query":      {func(c *rails.Call) { c.Query, c.HasQuery = "description=a b", true }, spend.Malformed},
		"a query left in the path":      {func(c *rails.Call) { c.Path += "?amount=9" }, spend.Malformed},
		"a query that nobody announced": {func(c *rails.Call) { c.Query = "amount=9" }, spend.Ambiguous},
		"a version with a control byte": {func(c *rails.Call) { c.Header = append(c.Header, rails.Field{Name: "Stripe-Version", Value: "2026\t"}) }, spend.Malformed},
		"a host that is not Stripe's":   {func(c *rails.Call) { c.Host = "api.stripe.com.evil.example" }, spend.UnrecognisedCall},
		"a host that is not canonical":  {func(c *rails.Call) { c.Host = "API.stripe.com" }, spend.UnrecognisedCall},
		"a WebSocket message":           {func(c *rails.Call) { c.WebSocket = true }, spend.UnrecognisedCall},
		"a claim longer than a token": {func(c *rails.Call) {
			c.Header = append(c.Header, rails.Field{Name: "Outgo-Reason", Value: strings.Repeat("x", 4097)})
		}, spend.Malformed},
		"an account longer than any id": {func(c *rails.Call) {
			c.Header = append(c.Header, rails.Field{Name: "Stripe-Account", Value: strings.Repeat("x", 256)})
		}, spend.Malformed},
		"a context longer than its bounds": {func(c *rails.Call) {
			c.Header = append(c.Header, rails.Field{Name: "Stripe-Context", Value: strings.Repeat("x/", 150) + "x"})
		}, spend.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			c := post("/v1/charges", "amount=1&currency=usd")
			tc.edit(c)
			var refusal *rails.Refusal
			if j, err := r.Intent(c, nil); !errors.As(err, &refusal) || refusal.Code != tc.code {
				t.Errorf("judged as %+v, %v, want a refusal as %s", j.Intent, err, tc.code)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	r := New(Options{Hosts: []string{"stripe.gateway.example"}})
	for name, tc := range map[string]struct {
		call rails.Call
		want spend.Class
	}{
		"a GET reads":                           {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges"}, spend.Read},
		"a HEAD reads":                          {rails.Call{Host: "files.stripe.com", Method: "HEAD", Path: "/v1/files"}, spend.Read},
		"a GET of a payment method reads":       {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges", Query: "payment_method=pm_1&expand[]=_method&x_method=POST"}, spend.Read},
		"a GET as a POST is not known":          {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges", Query: "_method=POST&amount=1"}, spend.Unrecognised},
		"a GET as a POST, last":                 {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges", Query: "amount=1;_METHOD"}, spend.Unrecognised},
		"a GET as a POST, encoded":              {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges", Query: "a=1&%5fm%65thod=POST"}, spend.Unrecognised},
		"a GET as a POST, in brackets":          {rails.Call{Host: "api.stripe.com", Method: "HEAD", Path: "/v1/charges", Query: "a=%&+[_method]=POST"}, spend.Unrecognised},
		"a GET as a POST, with brackets":        {rails.Call{Host: "files.stripe.com", Method: "GET", Path: "/v1/charges", Query: "_method[]=POST"}, spend.Unrecognised},
		"a GET on an alias is not known":        {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1//charges"}, spend.Unrecognised},
		"a GET on another host is not known":    {rails.Call{Host: "dashboard.stripe.com", Method: "GET", Path: "/"}, spend.Unrecognised},
		"a GET at the root is not known":        {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/"}, spend.Unrecognised},
		"a GET of another version is not known": {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v3/charges"}, spend.Unrecognised},
		"a GET of the MCP server is not known":  {rails.Call{Host: "mcp.stripe.com", Method: "GET", Path: "/v1/x"}, spend.Unrecognised},
		"a POST to it is not known":             {rails.Call{Host: "mcp.stripe.com", Method: "POST", Path: "/"}, spend.Unrecognised},
		"a GET that ends in a slash":            {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/charges/"}, spend.Unrecognised},
		"a GET that the table does not hold":    {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/nosuch/x_1"}, spend.Read},
		"a GET of a payment intent":             {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/payment_intents/pi_1"}, spend.Capability},
		"a HEAD of one is a read":               {rails.Call{Host: "api.stripe.com", Method: "HEAD", Path: "/v1/payment_intents/pi_1"}, spend.Read},
		"a GET of a card":                       {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "expand[]=cardholder"}, spend.Read},
		"a GET of a card with its number":       {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "expand[]=number"}, spend.Capability},
		"one of its code, numbered":             {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "limit=1&expand[0]=cvc"}, spend.Capability},
		"one of its code, encoded":              {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "%65xpand%5B%5D=%63vc"}, spend.Capability},
		"one through what leads there":          {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/authorizations", Query: "expand[]=data.card.number"}, spend.Capability},
		"one that is spelled oddly":             {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "a=1;+[expand]=NUMBER+"}, spend.Capability},
		"one that is spelled in a broken way":   {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/issuing/cards/ic_1", Query: "expand[]=number%"}, spend.Unrecognised},
		"a HEAD of a card with its number":      {rails.Call{Host: "api.stripe.com", Method: "HEAD", Path: "/v1/issuing/cards/ic_1", Query: "expand[]=number"}, spend.Read},
		"a GET of an account number":            {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/treasury/financial_accounts", Query: "expand[]=data.financial_addresses.aba.account_number"}, spend.Capability},
		"a GET of an account number of /v2":     {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v2/money_management/financial_addresses/finaddr_1", Query: "include[0]=credentials.us_bank_account.account_number"}, spend.Capability},
		"a GET of a secret in plain text":       {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/apps/secrets/find", Query: "name=a&expand[]=payload"}, spend.Capability},
		"a GET of a payment with the number":    {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/payment_intents/pi_1", Query: "expand[]=a.number"}, spend.Capability},
		"a GET that asks for access":            {rails.Call{Host: "connect.stripe.com", Method: "GET", Path: "/oauth/authorize", Query: "client_id=ca_1"}, spend.Capability},
		"a HEAD that does":                      {rails.Call{Host: "connect.stripe.com", Method: "HEAD", Path: "/oauth/authorize", Query: "client_id=ca_1"}, spend.Capability},
		"a GET that asks for Express access":    {rails.Call{Host: "connect.stripe.com", Method: "GET", Path: "/express/oauth/authorize"}, spend.Unrecognised},
		"a WebSocket is not known":              {rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/", WebSocket: true}, spend.Unrecognised},
		"a charge spends":                       {rails.Call{Host: "api.stripe.com", Method: "POST", Path: "/v1/charges"}, spend.Spend},
		"a charge through a gateway spends":     {rails.Call{Host: "stripe.gateway.example", Method: "POST", Path: "/v1/charges"}, spend.Spend},
		"a new payment intent spends at worst":  {rails.Call{Host: "api.stripe.com", Method: "POST", Path: "/v1/payment_intents"}, spend.Spend},
		"a cancellation moves nothing":          {rails.Call{Host: "api.stripe.com", Method: "POST", Path: "/v1/payment_intents/pi_1/cancel"}, spend.Other},
		"an unknown write is not known":         {rails.Call{Host: "api.stripe.com", Method: "POST", Path: "/v1/nosuch"}, spend.Unrecognised},
		"a DELETE is not known":                 {rails.Call{Host: "api.stripe.com", Method: "DELETE", Path: "/v1/charges"}, spend.Unrecognised},
		"a lower-case method is not known":      {rails.Call{Host: "api.stripe.com", Method: "get", Path: "/v1/charges"}, spend.Unrecognised},
		"a charge on another host is not known": {rails.Call{Host: "files.stripe.com", Method: "POST", Path: "/v1/charges"}, spend.Unrecognised},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.Match(&tc.call); got != tc.want {
				t.Errorf("Match(%s %s%s) = %q, want %q", tc.call.Method, tc.call.Host, tc.call.Path, got, tc.want)
			}
			if j, err := r.Intent(&tc.call, nil); tc.want == spend.Unrecognised && err == nil && j.Intent.Class != spend.Unrecognised {
				t.Errorf("Intent gives class %q where Match is %q", j.Intent.Class, tc.want)
			}
		})
	}
}

func TestCanonicalFormIsTheSameInWhateverRoom(t *testing.T) {
	r, c := New(Options{}), benchCall()
	want, err := r.Intent(&c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, room := range map[string][]byte{
		"no room": {}, "too little": make([]byte, 3), "enough, used before": bytes.Repeat([]byte("used"), 1<<10),
	} {
		c.Room = room
		if got, err := r.Intent(&c, nil); err != nil || string(got.Canonical) != string(want.Canonical) {
			t.Errorf("%s: covers %q (%v), want %q", name, got.Canonical, err, want.Canonical)
		}
	}
}

// FuzzIntent looks for panics, for a write taken for a read, and for a spend
// that is neither priced nor looked up.
func FuzzIntent(f *testing.F) {
	for _, file := range fixtures(f) {
		for _, q := range readLines[request](f, file) {
			c, err := q.call()
			if err != nil {
				continue
			}
			f.Add(c.Method, c.Path, c.Query, c.Body, c.Get("Stripe-Account"), c.Get("Outgo-Merchant"))
		}
	}
	r := New(Options{})
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte, account, merchant string) {
		c := post(path, string(body), "Stripe-Account", account, "Outgo-Merchant", merchant)
		if account == "" {
			c.Header = c.Header[:1]
		}
		c.Method, c.Query, c.HasQuery = method, query, query != ""
		class := r.Match(c)
		j, err := r.Intent(c, nil)
		if err != nil {
			var refusal *rails.Refusal
			if !errors.As(err, &refusal) || refusal.Reason == "" {
				t.Fatalf("error %v without facts is no refusal", err)
			}
			return
		}
		isRead := method == "GET" || method == "HEAD"
		if isRead && (class != j.Intent.Class || class != spend.Read && class != spend.Capability) ||
			!isRead && (class == spend.Read || j.Intent.Class == spend.Read) {
			t.Fatalf("%s %s is matched as %q and judged as %q", method, path, class, j.Intent.Class)
		}
		if j.Intent.Class == spend.Spend {
			if class != spend.Spend || len(j.Intent.Legs) != 1 || (j.Intent.Legs[0].Amount.Sign() > 0) == (len(j.Lookups) > 0) || len(j.Lookups) > maxLookups {
				t.Fatalf("%s %s, matched as %q, spends %+v after %v", method, path, class, j.Intent.Legs, j.Lookups)
			}
		} else if len(j.Intent.Legs)+len(j.Lookups) != 0 {
			t.Fatalf("%s %s of class %q has legs %+v or lookups %v", method, path, j.Intent.Class, j.Intent.Legs, j.Lookups)
		}
		if class == spend.Read {
			return
		}
		sent := *c
		sent.Query, sent.HasQuery, sent.Body = j.Query, j.Query != "", j.Body
		again, err := r.Intent(&sent, nil)
		if err != nil || again.Query != j.Query || string(again.Body) != string(j.Body) || string(again.Canonical) != string(j.Canonical) {
			t.Fatalf("what is sent for %q and %q is judged otherwise: %+v, %v", query, body, again, err)
		}
	})
}

// The ledger keeps the intents of payments under way, and must not keep megabytes of
// what an agent has sent with each.
func TestAnIntentDoesNotKeepTheBody(t *testing.T) {
	const size, n = 1 << 20, 32
	body := "amount=2000&currency=USD&destination=acct_1&metadata[merchant]=shop.example&metadata[category]=books&metadata[outgo_request]=r1&description=" + strings.Repeat("x", size)
	r, kept := New(Options{}), make([]spend.Intent, 0, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		j, err := r.Intent(post("/v1/transfers", body), nil)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, j.Intent)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > n*size/2 {
		t.Errorf("%d intents keep %d bytes", n, grown)
	}
	if in := &kept[n-1]; in.Claims.Merchant != "shop.example" || in.Claims.Request != "r1" || in.Legs[0].Payee != "acct_1" || in.Legs[0].Category != "books" {
		t.Errorf("%+v", in)
	}
}
