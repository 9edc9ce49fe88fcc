package stripe

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// laxPaths are what servers may make of a path: decoded once and twice, with what
// stands behind semicolons cut off, doubled slashes made one, dots followed,
// backslashes turned, in small letters, and cut at NUL.
func laxPaths(raw string) []string {
	once, _ := laxUnescape(strings.ReplaceAll(raw, "+", "%2B"), true)
	twice, _ := laxUnescape(strings.ReplaceAll(once, "+", "%2B"), true)
	var all []string
	for _, p := range []string{raw, once, twice} {
		cut, _, _ := strings.Cut(p, "\x00")
		query, _, _ := strings.Cut(p, "?")
		fragment, _, _ := strings.Cut(p, "#")
		segments := strings.Split(p, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		for _, q := range []string{p, cut, query, fragment, strings.Join(segments, "/"), strings.ReplaceAll(p, `\`, "/"), strings.TrimSpace(p)} {
			clean := path.Clean("/" + q)
			all = append(all, q, clean, strings.ToLower(clean), strings.TrimSuffix(clean, ".json"))
		}
	}
	return all
}

// A path under which some server finds an operation is refused, or judged as a call
// of that very operation.
func TestNoPathIsAnotherOperation(t *testing.T) {
	r, n := New(Options{}), properties(t)
	patterns := []string{"/v1/charges", "/v1/payment_intents/pi_1/confirm", "/v1/refunds", "/v1/payouts/po_1/reverse", "/v1/customers/cus_1", "/v1/invoices/in_1/pay",
		"/v1/subscriptions/sub_1", "/v1/checkout/sessions", "/v1/issuing/cards/ic_1", "/v2/money_management/outbound_payments", "/v1/coupons/FREE", "/v1/accounts/acct_1/external_accounts/ba_1"}
	judged := 0
	for i := range n {
		rng := rand.New(rand.NewPCG(13, uint64(i))) //nolint:gosec // a test must be repeatable
		target := patterns[rng.IntN(len(patterns))]
		for range rng.IntN(3) {
			target = spoilPath(rng, target)
		}
		c := post(target, "", "Authorization", "Bearer sk_test_1", "Stripe-Version", "2026-08-26.dahlia")
		if c.Method = pick(rng, "POST", "POST", "DELETE"); strings.Contains(strings.ToLower(target), "v2") {
			c.Header[0] = rails.Field{Name: "Content-Type", Value: "application/json"}
		}
		j, err := r.Intent(c, nil)
		if err != nil || j.Intent.Class == spend.Unrecognised {
			continue
		}
		judged++
		for _, p := range laxPaths(target) {
			if op, _, err := find("api.stripe.com", c.Method, p); err == nil && op != nil && op.name != j.Intent.Operation {
				t.Fatalf("call %d: %s %q is judged as %s, and read as %q it is %s", i, c.Method, target, j.Intent.Operation, p, op.name)
			}
		}
	}
	t.Logf("%d paths, %d of them of a known operation", n, judged)
	if judged*10 < n {
		t.Errorf("of %d paths %d were judged: the property says little", n, judged)
	}
}

func spoilPath(rng *rand.Rand, p string) string {
	switch i := 1 + rng.IntN(len(p)-1); rng.IntN(12) {
	case 0:
		return p[:i] + fmt.Sprintf("%%%02x", p[i]) + p[i+1:]
	case 1:
		return p[:i] + fmt.Sprintf("%%25%02x", p[i]) + p[i+1:]
	case 2:
		return strings.Replace(p, "/", pick(rng, "//", "/./", "/x/../", "/x/%2e%2e/", `\`, "%2F", "%5C", "/%2f", "/;x/"), 1+rng.IntN(2))
	case 3:
		return p + pick(rng, "/", "//", ";x=1", "%3Bx", "#x", "%23x", "%3Fx=1", "%00", "%20", ".json", "/.", "/..", "/../charges", "/%2e%2e/charges", "%0d%0a", "/confirm", "/capture")
	case 4:
		return strings.ToUpper(p[:i]) + p[i:]
	case 5:
		return insert(rng, p, pick(rng, "%00", "%", "%zz", " ", "\t", "\x7f", "é", "%c3%a9", "%c0%ae", "%ef%bc%8f", ":", "@", "*", "+", "~", "-", ".", ","))
	case 6:
		return strings.Replace(p, "_1", pick(rng, "_1/confirm", "_1%2Fconfirm", "_1;/confirm", "_1%252Fconfirm", "", "_", "_1.", "_../ch_1", "_1/../ch_2"), 1)
	case 7:
		return strings.Replace(p, "/v1/", pick(rng, "/v2/", "/v1.0/", "/V1/", "/v01/", "/v1//", "/api/v1/", "/v1/v1/"), 1)
	}
	return p
}
