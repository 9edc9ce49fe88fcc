package stripe

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// asksForSecret reports whether a server may take the parameters for asking to be
// shown a secret.
func asksForSecret(p params) bool {
	for name, values := range p {
		if name != "expand" && !strings.HasPrefix(name, "expand[") {
			continue
		}
		for _, v := range values {
			v = strings.ToLower(strings.Trim(v, " \t\r\n\x00\ufeff"))
			switch v[strings.LastIndexByte(v, '.')+1:] {
			case "number", "cvc", "account_number", "payload":
				return true
			}
		}
	}
	return false
}

// No server shows a secret to a GET that is taken for a plain read.
func TestNoReadingOfAReadShowsMore(t *testing.T) {
	r, n, known, tricks := New(Options{}), properties(t), servers(), knownTricks()
	reads := []oracle{
		{path: "/v1/issuing/cards/ic_1", base: []string{"expand[]=number"}},
		{path: "/v1/issuing/cards", base: []string{"limit=3", "expand[]=data.cvc", "status=active"}},
		{path: "/v1/issuing/authorizations/iauth_1", base: []string{"expand[0]=card.number"}},
		{path: "/v1/treasury/financial_accounts/fa_1", base: []string{"expand[]=financial_addresses.aba.account_number"}},
		{path: "/v1/apps/secrets/find", base: []string{"name=a", "scope[type]=account", "expand[]=payload"}},
		{path: "/v1/charges", base: []string{"limit=3", "expand[]=data.customer"}},
	}
	classes := map[spend.Class]int{}
	for i := range n {
		rng := rand.New(rand.NewPCG(17, uint64(i))) //nolint:gosec // a test must be repeatable
		o := &reads[i%len(reads)]
		more, query, _ := spoil(rng, o, tricks)
		if more != "" {
			query += "&" + more
		}
		if rng.IntN(3) == 0 {
			query = strings.Replace(query, "=", pick(rng, "=+", "=%20", "=%09", "=x.", "=,", "%5B%5D=", ".0=", "%00="), 1)
		}
		c := &rails.Call{Host: "api.stripe.com", Method: "GET", Path: o.path, Query: query, HasQuery: true, Header: []rails.Field{{Name: "Authorization", Value: "Bearer sk_test_1"}}}
		class := r.Match(c)
		if class != spend.Read {
			j, err := r.Intent(c, nil)
			if err != nil {
				continue
			}
			class = j.Intent.Class
		}
		classes[class]++
		if class == spend.Capability || class == spend.Unrecognised {
			continue
		}
		for k := range known {
			if p, ok := known[k].read(query, ""); ok && asksForSecret(p) {
				t.Fatalf("call %d: GET %s?%s is judged as %s, and %s shows a secret for %q", i, o.path, query, class, known[k].name, p)
			}
		}
	}
	t.Log(classes)
	if classes[spend.Read] == 0 || classes[spend.Capability]*5 < n {
		t.Errorf("of %d reads %v: the property says little", n, classes)
	}
}
