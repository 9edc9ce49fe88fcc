package policy

import "github.com/outgo/outgo/engine/spend"

// capability judges what gives away future spending power: by the class, and by
// an allowance among the legs of a call whose class is graver.
func (e *evaluation) capability(in *spend.Intent, p *Policy) {
	gives := in.Class == spend.Capability
	for i := range in.Legs {
		gives = gives || in.Legs[i].Kind == spend.Allowance
	}
	if gives {
		e.givesAway(in, p)
	}
}

func (e *evaluation) givesAway(in *spend.Intent, p *Policy) {
	switch p.capabilityWord(in.Operation) {
	case "allow":
	case "", "hold":
		e.addFor(p, spend.Rule{Code: spend.RequiresApproval, Decision: spend.RequireApproval, Asked: "capability", Value: in.Operation})
	default:
		e.addFor(p, spend.Rule{Code: spend.CapabilityNotAllowed, Decision: spend.Deny, Value: in.Operation})
	}
}

// capabilityWord returns what the policy says of the capability that an operation
// gives: in the rule of its own name, else in that of the longest family that it is
// of, else in Capabilities.
func (p *Policy) capabilityWord(operation string) string {
	if word, ok := p.CapabilityRules[operation]; ok {
		return word
	}
	word, longest := p.Capabilities, 0
	for pattern, w := range p.CapabilityRules {
		if len(pattern) > longest && matchesOperation(pattern, operation) {
			word, longest = w, len(pattern)
		}
	}
	return word
}
