package stripe

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// overlaid is what gen/classes.tsv says of one operation.
type overlaid struct{ method, host, pattern, name, class string }

func overlay(t testing.TB) []overlaid {
	t.Helper()
	raw, err := os.ReadFile("gen/classes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []overlaid
	for _, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		if f := strings.Split(line, "\t"); !strings.HasPrefix(line, "#") {
			o := overlaid{f[0], "api.stripe.com", f[1], f[2], f[3]}
			if i := strings.IndexByte(o.pattern, '/'); i > 0 {
				o.host, o.pattern = o.pattern[:i], o.pattern[i:]
			}
			all = append(all, o)
		}
	}
	if len(all) < 500 {
		t.Fatalf("gen/classes.tsv has %d rows", len(all))
	}
	return all
}

// path writes ids into the pattern: id_1, then id_2, or a name.
func (o overlaid) path() string {
	path := strings.ReplaceAll(o.pattern, "{name}", "a-name.25")
	return strings.Replace(strings.Replace(path, "{id}", "id_1", 1), "{id}", "id_2", 1)
}

// ids are those that path writes.
func (o overlaid) ids() (ids [2]string) {
	n := 0
	for _, segment := range strings.Split(o.path(), "/") {
		if segment == "a-name.25" || strings.HasPrefix(segment, "id_") {
			ids[n] = segment
			n++
		}
	}
	return ids
}

func TestEveryListedOperationIsFound(t *testing.T) {
	classes := map[string]spend.Class{"spend": spend.Spend, "capability": spend.Capability, "other": spend.Other, "test": spend.Other, "read": spend.Read}
	for _, o := range overlay(t) {
		op, ids, err := find(o.host, o.method, o.path())
		if err != nil || op == nil {
			t.Errorf("%s %s%s: %v, %v", o.method, o.host, o.path(), op, err)
			continue
		}
		if op.name != o.name || op.class != classes[o.class] || op.test != (o.class == "test") {
			t.Errorf("%s %s is %s of class %s (test: %v), want %s of class %s", o.method, o.path(), op.name, op.class, op.test, o.name, o.class)
		}
		if want := o.ids(); ids != want {
			t.Errorf("%s has the ids %q, want %q", o.path(), ids, want)
		}
	}
}

func TestWhatIsNotListedIsNotFound(t *testing.T) {
	all := overlay(t)
	known := map[string]bool{}
	for _, o := range all {
		known[o.method+" "+o.host+o.pattern] = true
	}
	refused := func(host, method, path string) {
		t.Helper()
		if op, _, err := find(host, method, path); err != nil || op != nil {
			t.Errorf("%s %s%s is %v, %v; want nothing", method, host, path, op, err)
		}
	}
	for _, o := range all {
		path := o.path()
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "post", "", "POST "} {
			if !known[method+" "+o.host+o.pattern] {
				refused(o.host, method, path)
			}
		}
		_, unversioned, _ := strings.Cut(path[1:], "/")
		for _, other := range []string{"/v3/" + unversioned, "/V1/" + unversioned, "/" + unversioned, "//" + path[1:], strings.Replace(path, "/", "//", 2), path[1:], "/x" + path} {
			refused(o.host, o.method, other)
		}
		if !known[o.method+" "+o.host+o.pattern+"/{name}"] {
			refused(o.host, o.method, path+"/nosuch")
		}
		for _, host := range []string{"", "stripe.com", "API.stripe.com", "api.stripe.com.", "mcp.stripe.com", "dashboard.stripe.com"} {
			refused(host, o.method, path)
		}
	}
	for _, path := range []string{"", "/", "/v1", "/v2", "/v1/nosuch", "/v1/charges/ch_1/nosuch", "/v1/payment_intents/pi_1/confirm/pi_2", "/v1/payment_intents/search", "/v1/{id}", "/v1/Charges"} {
		refused("api.stripe.com", "POST", path)
	}
	refused("files.stripe.com", "POST", "/v1/charges")
	refused("api.stripe.com", "POST", "/v1/files")
	refused("api.stripe.com", "POST", "/oauth/token")
}

func TestAWordIsNoID(t *testing.T) {
	// An operation that Stripe adds below a collection must not pass for an update of
	// one of its objects.
	for _, path := range []string{"/v1/invoices/create_preview/pay", "/v1/payouts/create_all", "/v1/transfers/batch/reversals"} {
		if op, _, err := find("api.stripe.com", "POST", path); op != nil || err != nil {
			t.Errorf("%s is %v, %v", path, op, err)
		}
	}
}

func TestPathsThatReadersDisagreeOnAreRefused(t *testing.T) {
	for path, want := range map[string]spend.Code{
		"/v1/charges/":              spend.Ambiguous,
		"/v1/charges/ch-1":          spend.Malformed,
		"/v1/charges/%63h_1":        spend.Malformed,
		"/v1/charges//refund":       spend.Malformed,
		"/v1/charges/../refund":     spend.Malformed,
		"/v1/coupons/a%2Fb":         spend.Malformed,
		"/v1/coupons/a b":           spend.Malformed,
		"/v1/charges/ch_1;x/refund": spend.Malformed,
		"/v1/charges/" + strings.Repeat("x", 256) + "/refund": spend.Malformed,
	} {
		op, _, err := find("api.stripe.com", "POST", path)
		var refusal *rails.Refusal
		if op != nil || !errors.As(err, &refusal) || refusal.Code != want {
			t.Errorf("%s: %v, %v; want %s", path, op, err, want)
		}
	}
}

func TestFindingTakesNoMemory(t *testing.T) {
	for _, path := range []string{"/v1/payment_intents", "/v1/customers/cus_1/bank_accounts/ba_1/verify", "/v2/money_management/outbound_payments", "/v1/nosuch"} {
		if n := testing.AllocsPerRun(100, func() { _, _, _ = find("api.stripe.com", "POST", path) }); n != 0 {
			t.Errorf("%s takes %v allocations", path, n)
		}
	}
}

func TestNamesAreListedOnce(t *testing.T) {
	names := listed()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("the names are not sorted, or one stands twice")
	}
	for _, o := range overlay(t) {
		if _, found := slices.BinarySearch(names, o.name); !found {
			t.Errorf("%s is not among the names", o.name)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for name, path := range map[string]string{"short": "/v1/payment_intents", "deep": "/v1/customers/cus_1/bank_accounts/ba_1/verify"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if op, _, _ := find("api.stripe.com", "POST", path); op == nil {
					b.Fatal("nothing is found")
				}
			}
		})
	}
}
