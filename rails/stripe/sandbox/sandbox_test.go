package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// stripe is a client of one sandbox: it says what was answered, and no more.
type stripe struct {
	t *testing.T
	h http.Handler
}

func newStripe(t *testing.T, o Options) (stripe, *Server) {
	t.Helper()
	if o.Clock == nil {
		o.Clock = func() time.Time { return time.Unix(1_790_000_000, 0) }
	}
	s := New(o)
	return stripe{t, s}, s
}

// do sends one call; headers are given as "Name: value".
func (c stripe) do(method, target, form string, headers ...string) (*http.Response, map[string]any) {
	c.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	r.Header.Set("Authorization", "Bearer sk_test_1")
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	re := w.Result()
	body, err := io.ReadAll(re.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = re.Body.Close()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		c.t.Fatalf("%s %s: reply is not JSON: %v\n%s", method, target, err, body)
	}
	return re, v
}

// ok sends a POST that must succeed.
func (c stripe) ok(target, form string, headers ...string) map[string]any {
	c.t.Helper()
	re, v := c.do(http.MethodPost, target, form, headers...)
	if re.StatusCode != http.StatusOK {
		c.t.Fatalf("POST %s %s: %d %v", target, form, re.StatusCode, v)
	}
	return v
}

// get sends a GET that must succeed.
func (c stripe) get(target string) map[string]any {
	c.t.Helper()
	re, v := c.do(http.MethodGet, target, "")
	if re.StatusCode != http.StatusOK {
		c.t.Fatalf("GET %s: %d %v", target, re.StatusCode, v)
	}
	return v
}

// want checks fields of a reply, named by their path: "error.code".
func (c stripe) want(v map[string]any, fields map[string]any) {
	c.t.Helper()
	for path, want := range fields {
		var got any = v
		for name := range strings.SplitSeq(path, ".") {
			m, _ := got.(map[string]any)
			got = m[name]
		}
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		if got != want {
			c.t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
}

const paid = "amount=1200&currency=usd&confirm=true&payment_method=pm_card_visa"

func TestMoneyMovesAsItDoesAtStripe(t *testing.T) {
	type moves = map[string]int64
	for sentence, tc := range map[string]struct {
		run   func(stripe)
		moved moves
		count int
	}{
		"an intent that is created and confirmed in one call is paid": {func(c stripe) {
			pi := c.ok("/v1/payment_intents", paid+"&metadata[order]=7&expand[]=latest_charge")
			c.want(pi, map[string]any{
				"status": "succeeded", "amount": 1200, "amount_received": 1200, "metadata.order": "7", "latest_charge.captured": true,
				"latest_charge.payment_intent": pi["id"], "latest_charge.metadata.order": "7", "livemode": false,
			})
			c.want(c.get("/v1/payment_intents/"+pi["id"].(string)), map[string]any{"status": "succeeded"})
		}, moves{"usd": 1200}, 1},
		"an intent that nobody confirms moves nothing": {func(c stripe) {
			c.want(c.ok("/v1/payment_intents", "amount=1200&currency=usd"), map[string]any{"status": "requires_payment_method"})
			c.want(c.ok("/v1/payment_intents", "amount=1200&currency=usd&payment_method=pm_card_visa"), map[string]any{"status": "requires_confirmation"})
		}, moves{}, 0},
		"an intent can be priced anew before it is confirmed": {func(c stripe) {
			id := c.ok("/v1/payment_intents", "amount=1200&currency=usd")["id"].(string)
			c.ok("/v1/payment_intents/"+id, "amount=900&payment_method=pm_card_visa")
			c.want(c.ok("/v1/payment_intents/"+id+"/confirm", ""), map[string]any{"status": "succeeded", "amount_received": 900})
		}, moves{"usd": 900}, 1},
		"a manual intent holds, is raised, and is captured in part": {func(c stripe) {
			id := c.ok("/v1/payment_intents", paid+"&capture_method=manual")["id"].(string)
			c.want(c.ok("/v1/payment_intents/"+id+"/increment_authorization", "amount=1500"),
				map[string]any{"status": "requires_capture", "amount": 1500, "amount_capturable": 1500})
			c.want(c.ok("/v1/payment_intents/"+id+"/capture", "amount_to_capture=1000"),
				map[string]any{"status": "succeeded", "amount_received": 1000, "amount_capturable": 0})
			re, v := c.do("POST", "/v1/payment_intents/"+id+"/capture", "")
			c.want(v, map[string]any{"error.code": "payment_intent_unexpected_state", "error.payment_intent.id": id})
			if re.StatusCode != 400 {
				c.t.Errorf("second capture: %d", re.StatusCode)
			}
		}, moves{"usd": 1000}, 3},
		"a held intent can be canceled once": {func(c stripe) {
			id := c.ok("/v1/payment_intents", paid+"&capture_method=manual")["id"].(string)
			c.want(c.ok("/v1/payment_intents/"+id+"/cancel", "cancellation_reason=duplicate"),
				map[string]any{"status": "canceled", "cancellation_reason": "duplicate", "amount_capturable": 0})
			_, v := c.do("POST", "/v1/payment_intents/"+id+"/cancel", "")
			c.want(v, map[string]any{"error.code": "payment_intent_unexpected_state"})
		}, moves{}, 1},
		"a card that asks for its owner waits": {func(c stripe) {
			pi := c.ok("/v1/payment_intents", strings.Replace(paid, "visa", "threeDSecureRequired", 1))
			c.want(pi, map[string]any{"status": "requires_action", "next_action.type": "use_stripe_sdk", "latest_charge": nil})
			_, v := c.do("POST", "/v1/payment_intents", strings.Replace(paid, "visa", "threeDSecureRequired", 1)+"&off_session=true")
			c.want(v, map[string]any{"error.type": "card_error", "error.code": "authentication_required"})
		}, moves{}, 0},
		"a declined card is a 402 and can be replaced": {func(c stripe) {
			re, v := c.do("POST", "/v1/payment_intents", strings.Replace(paid, "visa", "chargeDeclined", 1))
			c.want(v, map[string]any{
				"error.type": "card_error", "error.code": "card_declined", "error.decline_code": "generic_decline",
				"error.payment_intent.status": "requires_payment_method", "error.payment_intent.last_payment_error.code": "card_declined",
			})
			if re.StatusCode != 402 {
				c.t.Errorf("status %d, want 402", re.StatusCode)
			}
			id := v["error"].(map[string]any)["payment_intent"].(map[string]any)["id"].(string)
			c.want(c.ok("/v1/payment_intents/"+id+"/confirm", "payment_method=pm_card_visa"),
				map[string]any{"status": "succeeded", "last_payment_error": nil})
		}, moves{"usd": 1200}, 1},
		"charges are taken, held, captured, declined": {func(c stripe) {
			c.want(c.ok("/v1/charges", "amount=500&currency=USD&source=tok_visa"), map[string]any{"captured": true, "currency": "usd"})
			id := c.ok("/v1/charges", "amount=300&currency=eur&source=tok_visa&capture=false")["id"].(string)
			c.want(c.ok("/v1/charges/"+id+"/capture", "amount=200"), map[string]any{"amount_captured": 200, "amount_refunded": 100})
			_, v := c.do("POST", "/v1/charges/"+id+"/capture", "")
			c.want(v, map[string]any{"error.code": "charge_already_captured"})
			_, v = c.do("POST", "/v1/charges", "amount=500&currency=usd&source=tok_chargeDeclined")
			c.want(v, map[string]any{"error.code": "card_declined"})
		}, moves{"usd": 500, "eur": 200}, 3},
		"a refund gives back what remains and no more": {func(c stripe) {
			pi := c.ok("/v1/payment_intents", paid)
			c.want(c.ok("/v1/refunds", "amount=200&payment_intent="+pi["id"].(string)), map[string]any{"amount": 200, "status": "succeeded"})
			c.want(c.ok("/v1/refunds", "charge="+pi["latest_charge"].(string)), map[string]any{"amount": 1000})
			_, v := c.do("POST", "/v1/refunds", "charge="+pi["latest_charge"].(string))
			c.want(v, map[string]any{"error.code": "charge_already_refunded"})
			c.want(c.get("/v1/charges/"+pi["latest_charge"].(string)), map[string]any{"refunded": true, "amount_refunded": 1200})
		}, moves{"usd": 2400}, 3},
		"transfers and payouts leave the balance until it is empty": {func(c stripe) {
			c.want(c.ok("/v1/transfers", "amount=700&currency=usd&destination=acct_1"), map[string]any{"destination": "acct_1"})
			c.want(c.ok("/v1/payouts", "amount=300&currency=usd"), map[string]any{"status": "pending"})
			available := c.get("/v1/balance")["available"].([]any)[0].(map[string]any)
			c.want(available, map[string]any{"amount": opening - 1000, "currency": "usd"})
			_, v := c.do("POST", "/v1/payouts", "amount=99999999&currency=usd")
			c.want(v, map[string]any{"error.code": "balance_insufficient"})
		}, moves{"usd": 1000}, 2},
		"accounts and modes do not see each other": {func(c stripe) {
			id := c.ok("/v1/payment_intents", paid, "Stripe-Account: acct_2")["id"].(string)
			_, v := c.do("GET", "/v1/payment_intents/"+id, "")
			c.want(v, map[string]any{"error.code": "resource_missing"})
			_, v = c.do("GET", "/v1/payment_intents/"+id, "", "Stripe-Account: acct_2", "Authorization: Bearer rk_live_1")
			c.want(v, map[string]any{"error.code": "resource_missing"})
		}, moves{"usd": 1200}, 1},
		"a customer pays with the card that is on file": {func(c stripe) {
			id := c.ok("/v1/customers", "email=a@example.com&source=tok_visa")["id"].(string)
			ch := c.ok("/v1/charges", "amount=100&currency=usd&expand[0]=customer&customer="+id)
			c.want(ch, map[string]any{"customer.email": "a@example.com", "paid": true})
			c.want(c.get("/v1/customers/"+id), map[string]any{"object": "customer"})
		}, moves{"usd": 100}, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			c, s := newStripe(t, Options{})
			tc.run(c)
			if got := s.Moved(); !maps.Equal(got, tc.moved) {
				t.Errorf("moved %v, want %v", got, tc.moved)
			}
			if s.Count() != tc.count {
				t.Errorf("%d money calls, want %d: %v", s.Count(), tc.count, s.Ledger())
			}
		})
	}
}

func TestRefusalsHaveStripesShapes(t *testing.T) {
	for sentence, tc := range map[string]struct {
		method, target, form, header string
		status                       int
		typ, code, param             string
	}{
		"a call without a key":             {"POST", "/v1/payment_intents", paid, "Authorization: ", 401, "invalid_request_error", "", ""},
		"a key that is none of Stripe's":   {"POST", "/v1/payment_intents", paid, "Authorization: Bearer nonsense", 401, "invalid_request_error", "", ""},
		"an object that does not exist":    {"GET", "/v1/charges/ch_1", "", "", 404, "invalid_request_error", "resource_missing", "charge"},
		"an amount that is missing":        {"POST", "/v1/payment_intents", "currency=usd", "", 400, "invalid_request_error", "parameter_missing", "amount"},
		"an amount that is empty":          {"POST", "/v1/payment_intents", "amount=&currency=usd", "", 400, "invalid_request_error", "parameter_invalid_empty", "amount"},
		"an amount that is no integer":     {"POST", "/v1/charges", "amount=1e3&currency=usd&source=tok_visa", "", 400, "invalid_request_error", "parameter_invalid_integer", "amount"},
		"an amount with a sign":            {"POST", "/v1/charges", "amount=%2B10&currency=usd&source=tok_visa", "", 400, "invalid_request_error", "parameter_invalid_integer", "amount"},
		"an amount below one":              {"POST", "/v1/charges", "amount=0&currency=usd&source=tok_visa", "", 400, "invalid_request_error", "parameter_invalid_integer", "amount"},
		"an amount of nine digits":         {"POST", "/v1/charges", "amount=100000000&currency=usd&source=tok_visa", "", 400, "invalid_request_error", "amount_too_large", "amount"},
		"a parameter that nobody knows":    {"POST", "/v1/charges", "amount=1&currency=usd&price=2", "", 400, "invalid_request_error", "parameter_unknown", "price"},
		"a charge on nobody's card":        {"POST", "/v1/charges", "amount=1&currency=usd", "", 400, "invalid_request_error", "parameter_missing", "source"},
		"a payment method that is unknown": {"POST", "/v1/payment_intents", "amount=1&currency=usd&payment_method=pm_1", "", 400, "invalid_request_error", "resource_missing", "payment_method"},
		"an expansion that is none":        {"POST", "/v1/payment_intents", paid + "&expand[]=nothing", "", 400, "invalid_request_error", "", "expand"},
		"a path that does not exist":       {"POST", "/v1/charges/", "amount=1&currency=usd", "", 404, "invalid_request_error", "", ""},
		"a path with two slashes":          {"POST", "/v1//charges", "amount=1&currency=usd", "", 404, "invalid_request_error", "", ""},
		"a JSON body":                      {"POST", "/v1/charges", `{"amount":1}`, "Content-Type: application/json", 400, "invalid_request_error", "", ""},
		"a list with a limit of a hundred and one": {"GET", "/v1/charges?limit=101", "", "", 400, "invalid_request_error",
			"parameter_invalid_integer", "limit"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c, s := newStripe(t, Options{})
			var headers []string
			if tc.header != "" {
				headers = []string{tc.header}
			}
			re, v := c.do(tc.method, tc.target, tc.form, headers...)
			if re.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %v", re.StatusCode, tc.status, v)
			}
			want := map[string]any{"error.type": tc.typ}
			if tc.code != "" {
				want["error.code"] = tc.code
			}
			if tc.param != "" {
				want["error.param"] = tc.param
			}
			c.want(v, want)
			if id := re.Header.Get("Request-Id"); !strings.HasPrefix(id, "req_") {
				t.Errorf("Request-Id %q", id)
			}
			if s.Count() != 0 {
				t.Errorf("money moved: %v", s.Ledger())
			}
		})
	}
}

func TestParametersAreOneBucket(t *testing.T) {
	c, _ := newStripe(t, Options{})
	c.want(c.ok("/v1/payment_intents?amount=999&currency=usd", "amount=5"), map[string]any{"amount": 5, "currency": "usd"})
	c.want(c.ok("/v1/payment_intents", "amount=5&amount=7&currency=usd"), map[string]any{"amount": 7})
	c.want(c.ok("/v1/payment_intents", "am%6funt=8&currency=usd"), map[string]any{"amount": 8})
}

func TestListsAreNewestFirstAndPaged(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	c, _ := newStripe(t, Options{Clock: func() time.Time { return now }})
	var ids []string
	for range 5 {
		now = now.Add(time.Second)
		ids = append(ids, c.ok("/v1/payment_intents", "amount=5&currency=usd")["id"].(string))
	}
	for sentence, tc := range map[string]struct {
		query string
		want  []string
		more  bool
	}{
		"all":                       {"", []string{ids[4], ids[3], ids[2], ids[1], ids[0]}, false},
		"the first two":             {"?limit=2", []string{ids[4], ids[3]}, true},
		"the two after":             {"?limit=2&starting_after=" + ids[3], []string{ids[2], ids[1]}, true},
		"the two before the oldest": {"?limit=2&ending_before=" + ids[0], []string{ids[2], ids[1]}, false},
		"those of a time":           {"?created[gte]=1790000002&created[lt]=1790000004", []string{ids[2], ids[1]}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			l := c.get("/v1/payment_intents" + tc.query)
			var got []string
			for _, o := range l["data"].([]any) {
				got = append(got, o.(map[string]any)["id"].(string))
			}
			if strings.Join(got, " ") != strings.Join(tc.want, " ") || l["has_more"] != tc.more {
				t.Errorf("got %v (more %v), want %v (more %v)", got, l["has_more"], tc.want, tc.more)
			}
		})
	}
}

func TestSameSeedSameIdentifiers(t *testing.T) {
	a, _ := newStripe(t, Options{Seed: [32]byte{1}})
	b, _ := newStripe(t, Options{Seed: [32]byte{1}})
	d, _ := newStripe(t, Options{})
	x, y, z := a.ok("/v1/payment_intents", paid), b.ok("/v1/payment_intents", paid), d.ok("/v1/payment_intents", paid)
	if x["id"] != y["id"] || x["id"] == z["id"] {
		t.Errorf("ids %v, %v from one seed, %v from another", x["id"], y["id"], z["id"])
	}
}

func TestIdempotencyKeys(t *testing.T) {
	const key = "Idempotency-Key: k1"
	t.Run("the same call is answered again and not executed", func(t *testing.T) {
		c, s := newStripe(t, Options{})
		first, a := c.do("POST", "/v1/payment_intents", paid, key)
		again, b := c.do("POST", "/v1/payment_intents", "payment_method=pm_card_visa&confirm=true&currency=usd&amount=1200", key)
		if a["id"] != b["id"] || s.Count() != 1 {
			t.Errorf("ids %v and %v, %d money calls", a["id"], b["id"], s.Count())
		}
		if again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Original-Request") != first.Header.Get("Request-Id") ||
			again.Header.Get("Request-Id") == first.Header.Get("Request-Id") || first.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("headers %v then %v", first.Header, again.Header)
		}
	})
	t.Run("a declined card is answered again", func(t *testing.T) {
		c, _ := newStripe(t, Options{})
		declined := strings.Replace(paid, "visa", "chargeDeclined", 1)
		_, a := c.do("POST", "/v1/payment_intents", declined, key)
		re, b := c.do("POST", "/v1/payment_intents", declined, key)
		if re.StatusCode != 402 || re.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %v", re.StatusCode, re.Header)
		}
		c.want(b, map[string]any{"error.charge": a["error"].(map[string]any)["charge"]})
	})
	t.Run("other parameters or another path are refused", func(t *testing.T) {
		c, s := newStripe(t, Options{})
		c.ok("/v1/payment_intents", paid, key)
		for _, target := range []string{"/v1/payment_intents", "/v1/refunds"} {
			re, v := c.do("POST", target, "amount=1", key)
			if re.StatusCode != 400 {
				t.Errorf("%s: %d", target, re.StatusCode)
			}
			c.want(v, map[string]any{"error.type": "idempotency_error"})
		}
		if s.Count() != 1 {
			t.Errorf("%d money calls", s.Count())
		}
	})
	t.Run("a call that failed validation leaves the key free", func(t *testing.T) {
		c, _ := newStripe(t, Options{})
		c.do("POST", "/v1/payment_intents", "amount=1", key)
		c.ok("/v1/payment_intents", paid, key)
	})
	t.Run("another credential or account has its own keys", func(t *testing.T) {
		c, s := newStripe(t, Options{})
		c.ok("/v1/payment_intents", paid, key)
		c.ok("/v1/payment_intents", paid, key, "Authorization: Bearer sk_test_2")
		c.ok("/v1/payment_intents", paid, key, "Stripe-Account: acct_1")
		if s.Count() != 3 {
			t.Errorf("%d money calls, want 3", s.Count())
		}
	})
	t.Run("after a day the key is forgotten", func(t *testing.T) {
		now := time.Unix(1_790_000_000, 0)
		c, s := newStripe(t, Options{Clock: func() time.Time { return now }})
		c.ok("/v1/payment_intents", paid, key)
		now = now.Add(keyLife)
		c.ok("/v1/payment_intents", paid, key)
		if s.Count() != 2 {
			t.Errorf("%d money calls, want 2", s.Count())
		}
	})
	t.Run("while the call is under way the key is in use", func(t *testing.T) {
		entered, leave := make(chan struct{}), make(chan struct{})
		c, s := newStripe(t, Options{Before: func(*http.Request) error { close(entered); <-leave; return nil }})
		var wg sync.WaitGroup
		wg.Go(func() {
			r := httptest.NewRequest("POST", "/v1/payment_intents?"+paid, nil)
			r.Header.Set("Authorization", "Bearer sk_test_1")
			r.Header.Set("Idempotency-Key", "k1")
			s.ServeHTTP(httptest.NewRecorder(), r)
		})
		<-entered
		re, v := c.do("POST", "/v1/payment_intents?"+paid, "", key)
		close(leave)
		wg.Wait()
		if re.StatusCode != 409 {
			t.Errorf("status %d, want 409", re.StatusCode)
		}
		c.want(v, map[string]any{"error.code": "idempotency_key_in_use"})
	})
}

func TestHooksInjectFaults(t *testing.T) {
	fail := func(err error) func(*http.Request) error {
		failed := false
		return func(*http.Request) error {
			if failed {
				return nil
			}
			failed = true
			return err
		}
	}
	overload := &Error{Status: 503, Type: "api_error", Message: "overloaded"}
	for sentence, tc := range map[string]struct {
		o      Options
		status int // 0: the connection is cut
		count  int
	}{
		"an error before: nothing happened":          {Options{Before: fail(overload)}, 503, 0},
		"a plain error before is a 500":              {Options{Before: fail(errors.New("broken"))}, 500, 0},
		"a cut before: nothing happened":             {Options{Before: fail(ErrDrop)}, 0, 0},
		"a cut after: money moved and nobody heard":  {Options{After: fail(ErrDrop)}, 0, 1},
		"an error after: money moved and it is lied": {Options{After: fail(overload)}, 503, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := New(tc.o)
			srv := httptest.NewServer(s)
			defer srv.Close()
			send := func() (int, error) {
				r, err := http.NewRequest("POST", srv.URL+"/v1/payment_intents", strings.NewReader(paid))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Idempotency-Key", "k")
				r.SetBasicAuth("sk_test_1", "")
				r.Body = io.NopCloser(r.Body) // no GetBody: the transport must not send it twice by itself
				r.GetBody = nil
				re, err := srv.Client().Do(r)
				if err != nil {
					return 0, err
				}
				defer func() { _ = re.Body.Close() }()
				return re.StatusCode, nil
			}
			if status, err := send(); status != tc.status || (err != nil) != (tc.status == 0) {
				t.Errorf("status %d, error %v; want %d", status, err, tc.status)
			}
			if s.Count() != tc.count {
				t.Errorf("%d money calls, want %d", s.Count(), tc.count)
			}
			if status, err := send(); status != 200 || err != nil {
				t.Errorf("sent again: status %d, error %v", status, err)
			}
			if s.Count() != 1 {
				t.Errorf("sent again: %d money calls, want 1", s.Count())
			}
		})
	}
}
