package config

import (
	"fmt"
	"strings"
)

// heldAmounts checks the caps on held money: their units, each once whatever its
// case, and that there is a number.
func (k *checker) heldAmounts() {
	seen := map[string]string{}
	for unit, limit := range k.c.Proxy.Hold.MaxAmountPerAgent {
		field := join("proxy.hold.max_amount_per_agent", unit)
		if !isoUnit.MatchString(unit) && !caip19.MatchString(unit) {
			k.bad(field, fmt.Sprintf("%.140q is neither an ISO 4217 currency nor a CAIP-19 asset", unit), `write one such as "USD"`)
			continue
		}
		if other, twice := seen[strings.ToUpper(unit)]; twice {
			k.bad(field, fmt.Sprintf("the same unit as %q", other), "write each unit once")
		}
		seen[strings.ToUpper(unit)] = unit
		if limit == "" {
			k.bad(field, "missing", "write how much may be held, in the smallest unit, or leave the unit out for no limit")
		}
	}
}
