package policy

import (
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
)

// lists judges the merchant, payee and category of each leg that p covers. What
// a leg does not name is on no list: it is not blocked, and not allowed where
// only listed ones are. Fees are the exception to the latter, because the
// network or provider that takes them is nobody's choice.
func (e *evaluation) lists(in *spend.Intent, p *Policy) {
	if len(p.BlockedMerchants)+len(p.AllowedMerchants)+len(p.BlockedCategories)+len(p.AllowedCategories)+len(p.AllowedPayees) == 0 {
		return
	}
	for i := range in.Legs {
		l := &in.Legs[i]
		if !p.covers(l) {
			continue
		}
		merchant, category := l.Merchant, l.Category
		if p.IgnoreClaims && l.ClaimedMerchant {
			merchant = ""
		}
		if p.IgnoreClaims && l.ClaimedCategory {
			category = ""
		}
		excused := l.Kind == spend.Fee
		e.list(p, p.BlockedMerchants, p.AllowedMerchants, merchant, excused, isMerchant, spend.BlockedMerchant, spend.MerchantNotAllowed)
		e.list(p, p.BlockedCategories, p.AllowedCategories, category, excused, strings.EqualFold, spend.BlockedCategory, spend.CategoryNotAllowed)
		e.list(p, nil, p.AllowedPayees, l.Payee, excused, isPayee, "", spend.PayeeNotAllowed)
	}
}

// list judges one name; excused says that not to give one is no fault.
func (e *evaluation) list(
	p *Policy, blocked, allowed []string, name string, excused bool,
	is func(entry, name string) bool, blockedCode, notAllowedCode spend.Code,
) {
	on := func(entries []string) bool {
		return name != "" && slices.ContainsFunc(entries, func(entry string) bool { return is(entry, name) })
	}
	if on(blocked) {
		e.addFor(p, spend.Rule{Code: blockedCode, Decision: spend.Deny, Value: name})
	}
	if len(allowed) > 0 && !on(allowed) && (name != "" || !excused) {
		e.addFor(p, spend.Rule{Code: notAllowedCode, Decision: spend.Deny, Value: name})
	}
}

// isMerchant reports whether name is the entry or a subdomain of it.
func isMerchant(entry, name string) bool {
	entry, name = spend.NormalMerchant(entry), spend.NormalMerchant(name)
	parent, ok := strings.CutSuffix(name, entry)
	return ok && entry != "" && (parent == "" || strings.HasSuffix(parent, "."))
}

// isPayee compares accounts as they are written, and hexadecimal addresses
// without their case, which is only a checksum.
func isPayee(entry, name string) bool {
	if strings.HasPrefix(entry, "0x") && strings.HasPrefix(name, "0x") {
		return strings.EqualFold(entry, name)
	}
	return entry == name
}
