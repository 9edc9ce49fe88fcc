package stripe

import (
	"slices"
	"strings"
)

// previewOf writes the parameters of a preview: fixed ones, and those of the call under
// the names that the preview has for them, which names gives by the names without
// brackets. Discounts end, so that none is taken over; nor are words.
func previewOf(f *form, names map[string]string, fixed ...string) string {
	b := []byte(strings.Join(append(fixed, "discounts="), "&"))
	for i := range f.all {
		p := &f.all[i]
		name, ok := names[p.top()]
		if !ok || slices.ContainsFunc([]string{"[discounts]", "[metadata]", "[billing_thresholds]", "[period]"}, func(part string) bool {
			return strings.Contains(p.name, part)
		}) {
			continue
		}
		name += strings.Replace(p.name[p.base:], "[plan]", "[price]", 1)
		b = append(append(appendEscaped(append(b, '&'), name, inName), '='), appendEscaped(nil, p.text(), isFree)...)
	}
	return string(b)
}

// taxed returns what Stripe's preview comes to where that is more than n.
func (x *reading) taxed(body, unit string, n int64) (string, int64, error) {
	invoice, err := x.preview(body)
	if err != nil {
		return "", 0, err
	}
	own, err := invoice.currency()
	if err != nil {
		return "", 0, err
	}
	if own != unit {
		return "", 0, unclear("the preview is in " + own + ", and the prices are in " + unit)
	}
	total, err := invoice.signed("total")
	return unit, max(n, total), err
}
