package spend

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Decision is what the policies say of a payment.
type Decision string

// The decisions.
const (
	Allow           Decision = "ALLOW"
	Deny            Decision = "DENY"
	RequireApproval Decision = "REQUIRE_APPROVAL"
)

// Code is the reason for a decision or a refusal.
type Code string

// The codes of verdicts stand in Order below, each decided by the first rule
// in that order. The rest name refusals that no policy made.
const (
	Frozen               Code = "FROZEN"
	NoActivePolicy       Code = "NO_ACTIVE_POLICY"
	ClaimMismatch        Code = "CLAIM_MISMATCH"
	BlockedMerchant      Code = "BLOCKED_MERCHANT"
	MerchantNotAllowed   Code = "MERCHANT_NOT_ALLOWED"
	PayeeNotAllowed      Code = "PAYEE_NOT_ALLOWED"
	MerchantLocked       Code = "MERCHANT_LOCKED"
	BlockedCategory      Code = "BLOCKED_CATEGORY"
	CategoryNotAllowed   Code = "CATEGORY_NOT_ALLOWED"
	MCCNotAllowed        Code = "MCC_NOT_ALLOWED"
	CapabilityNotAllowed Code = "CAPABILITY_NOT_ALLOWED"
	OutsideHours         Code = "OUTSIDE_HOURS"
	IntentRequired       Code = "INTENT_REQUIRED"
	Duplicate            Code = "DUPLICATE"
	RiskTooHigh          Code = "RISK_TOO_HIGH"
	ExceedsSingleLimit   Code = "EXCEEDS_SINGLE_LIMIT"
	VelocityLimitMinute  Code = "VELOCITY_LIMIT_MINUTE"
	VelocityLimitHour    Code = "VELOCITY_LIMIT_HOUR"
	Cooldown             Code = "COOLDOWN"
	CircuitOpen          Code = "CIRCUIT_OPEN"
	ExceedsDailyLimit    Code = "EXCEEDS_DAILY_LIMIT"
	ExceedsMonthlyLimit  Code = "EXCEEDS_MONTHLY_LIMIT"
	ExposureLimit        Code = "EXPOSURE_LIMIT"
	FeeTooHigh           Code = "FEE_TOO_HIGH"
	RequiresApproval     Code = "REQUIRES_APPROVAL"
	OK                   Code = "OK"

	Malformed        Code = "MALFORMED"          // the bytes break their own format
	Ambiguous        Code = "AMBIGUOUS"          // two parsers could read the bytes differently
	UnrecognisedCall Code = "UNRECOGNISED"       // no rail knows this call
	TooLarge         Code = "TOO_LARGE"          // more bytes than outgo judges
	WrongNetwork     Code = "WRONG_NETWORK"      // signed for another chain
	LookupFailed     Code = "LOOKUP_FAILED"      // the provider did not tell the amount
	TooManyHolds     Code = "TOO_MANY_HOLDS"     // the agent has too many calls waiting
	ApprovalPending  Code = "APPROVAL_PENDING"   // held, and nobody has decided yet
	ApprovalRejected Code = "APPROVAL_REJECTED"  // a person said no
	ApprovalExpired  Code = "APPROVAL_EXPIRED"   // nobody decided in time
	ObjectBusy       Code = "OBJECT_BUSY"        // another write on the same object is under way
	KeyReused        Code = "KEY_REUSED"         // same idempotency key, other request
	OutcomeUnknown   Code = "OUTCOME_UNKNOWN"    // it may have been paid
	GuardUnavailable Code = "GUARD_UNAVAILABLE"  // outgo could not decide or not record
	NeverSent        Code = "NEVER_SENT"         // outgo began it and could not send it
	UpstreamFailed   Code = "UPSTREAM_FAILED"    // the provider could not be reached
	KeyRevoked       Code = "KEY_REVOKED"        // the agent's own key to the proxy has ended
	HostMismatch     Code = "HOST_MISMATCH"      // tunnel, certificate and Host name differ
	HostDenied       Code = "HOST_DENIED"        // config allows no traffic to this host
	PlainHTTP        Code = "PLAIN_HTTP_REFUSED" // a guarded host, without TLS
)

// Order returns the codes of verdicts in the order in which they decide.
func Order() []Code {
	return []Code{
		Frozen, NoActivePolicy, ClaimMismatch, BlockedMerchant, MerchantNotAllowed, PayeeNotAllowed,
		MerchantLocked, BlockedCategory, CategoryNotAllowed, MCCNotAllowed, CapabilityNotAllowed,
		OutsideHours, IntentRequired, Duplicate, RiskTooHigh, ExceedsSingleLimit, VelocityLimitMinute,
		VelocityLimitHour, Cooldown, CircuitOpen, ExceedsDailyLimit, ExceedsMonthlyLimit, ExposureLimit,
		FeeTooHigh, RequiresApproval, OK,
	}
}

// Rule is one rule that applied to a payment.
type Rule struct {
	Code     Code     `json:"code"`
	Decision Decision `json:"decision"`
	Policy   string   `json:"policy,omitempty"` // name, as a person knows it
	PolicyID ID       `json:"policyId,omitempty"`
	// Asked says what asks for an approval: "amount", "capability", "unknown
	// payee", "off hours", "risk", "duplicate", "unrecognised", "unmatched".
	Asked string `json:"asked,omitempty"`
	// Limit is the rule's bound, Amount what was held against it, Remaining
	// what the bound leaves; zero where the rule has none.
	Limit     Amount `json:"limit,omitzero"`
	Amount    Amount `json:"amount,omitzero"`
	Remaining Amount `json:"remaining,omitzero"`
	Count     int    `json:"count,omitempty"` // bound of a rule that counts calls
	Value     string `json:"value,omitempty"` // the merchant, category, payee, operation or earlier request at fault
	// RetryAt is when the rule may say otherwise; zero when waiting does not help.
	RetryAt time.Time `json:"retryAt,omitzero"`
}

// PolicyRef names a policy at one version.
type PolicyRef struct {
	ID      ID     `json:"id"`
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// Balance is what one budget held when a verdict was given, before the payment.
type Balance struct {
	Policy    string    `json:"policy"`
	PolicyID  ID        `json:"policyId"`
	Period    string    `json:"period"` // "day", "month" or "exposure"
	Limit     Amount    `json:"limit"`
	Used      Amount    `json:"used"` // reserved and posted
	Remaining Amount    `json:"remaining"`
	Resets    time.Time `json:"resets,omitzero"`
}

// Verdict is the record of one evaluation: every rule that applied, not the
// first refusal, and what every budget held. It is never rewritten.
type Verdict struct {
	Decision Decision    `json:"decision"`
	Code     Code        `json:"code"`            // of the deciding rule
	Rules    []Rule      `json:"rules,omitempty"` // in the order of Order
	Policies []PolicyRef `json:"policies,omitempty"`
	Balances []Balance   `json:"balances,omitempty"`
	At       time.Time   `json:"at"`
}

// Conclude sorts the rules, and sets Decision and Code: any denial denies, else
// any approval holds, else it is allowed.
func (v *Verdict) Conclude() {
	order := Order()
	slices.SortStableFunc(v.Rules, func(a, b Rule) int {
		return slices.Index(order, a.Code) - slices.Index(order, b.Code)
	})
	v.Decision, v.Code = Allow, OK
	for _, r := range v.Rules {
		if r.Decision == Deny {
			v.Decision, v.Code = Deny, r.Code
			return
		}
		if r.Decision == RequireApproval && v.Decision == Allow {
			v.Decision, v.Code = RequireApproval, r.Code
		}
	}
}

// Codes returns the code of every rule that applied, deciding ones first, or OK.
func (v Verdict) Codes() []Code {
	var codes []Code
	for _, r := range v.Rules {
		if !slices.Contains(codes, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	if len(codes) == 0 {
		return []Code{OK}
	}
	return codes
}

// Deciding returns the rule that decided, or a rule with code OK.
func (v Verdict) Deciding() Rule {
	for _, r := range v.Rules {
		if r.Code == v.Code && r.Decision == v.Decision {
			return r
		}
	}
	return Rule{Code: OK, Decision: Allow}
}

// Message says in one or two sentences, for an agent to act on, which rule
// decided, over what amount, what remains, and whether waiting helps.
func (v Verdict) Message() string {
	r := v.Deciding()
	var b strings.Builder
	b.WriteString(string(v.Code))
	b.WriteString(": ")
	b.WriteString(v.Reason())
	b.WriteByte('.')
	balances := v.Balances
	if r.movesNothing() {
		balances = nil // which no budget decides about
	}
	for _, l := range balances {
		if v.Decision != Allow && !l.Limit.IsZero() && (r.PolicyID == "" || l.PolicyID == r.PolicyID) {
			fmt.Fprintf(&b, " %s of %s left this %s.", l.Remaining.Decimal(), l.Limit, l.Period)
		}
	}
	if v.Decision != Allow && (len(balances) > 0 || !r.Limit.IsZero()) {
		b.WriteString(" Amounts are in the smallest unit of their currency.")
	}
	switch {
	case r.Code == Frozen:
		b.WriteString(" It can succeed once an operator has lifted the freeze.")
	case !r.RetryAt.IsZero():
		fmt.Fprintf(&b, " It can succeed after %s.", r.RetryAt.UTC().Format(time.RFC3339))
	case v.Decision == Deny:
		b.WriteString(" Sending it again will not help.")
	}
	return b.String()
}

// Reason says which rule decided, in half a sentence, and of which policy it is.
func (v Verdict) Reason() string {
	r := v.Deciding()
	if r.Policy == "" {
		return r.sentence()
	}
	return fmt.Sprintf("%s (policy %q)", r.sentence(), r.Policy)
}

// movesNothing reports whether the rule is about a call that states no amount.
func (r Rule) movesNothing() bool {
	return r.Code == CapabilityNotAllowed || r.Code == RequiresApproval && (r.Asked == "capability" || r.Asked == "unrecognised")
}

func (r Rule) sentence() string {
	switch r.Code {
	case Frozen:
		if r.Value != "" {
			return "spending is frozen: " + r.Value
		}
		return "spending is frozen by an operator"
	case NoActivePolicy:
		if v := r.Value; v != "" {
			return "no active policy covers a payment in " + v
		}
		return "no active policy covers this payment"
	case BlockedMerchant:
		return fmt.Sprintf("merchant %q is blocked", r.Value)
	case MerchantNotAllowed:
		if r.Value == "" {
			return "the call names no merchant, and only listed merchants are allowed"
		}
		return fmt.Sprintf("merchant %q is not on the list of allowed merchants", r.Value)
	case PayeeNotAllowed:
		return fmt.Sprintf("payee %q is not on the list of allowed payees", r.Value)
	case BlockedCategory:
		return fmt.Sprintf("category %q is blocked", r.Value)
	case CategoryNotAllowed:
		if r.Value == "" {
			return "the call names no category, and only listed categories are allowed"
		}
		return fmt.Sprintf("category %q is not on the list of allowed categories", r.Value)
	case Duplicate:
		if r.Value == "" {
			return "the same call has been sent before"
		}
		return fmt.Sprintf("the same call has been sent before, as request %s, under another idempotency key or none", r.Value)
	case CapabilityNotAllowed:
		return fmt.Sprintf("%s gives away spending power, which is not allowed", r.Value)
	case ExceedsSingleLimit:
		return fmt.Sprintf("%s is over the limit of %s for one payment", r.Amount, r.Limit)
	case VelocityLimitMinute:
		return fmt.Sprintf("more than %d payments a minute", r.Count)
	case VelocityLimitHour:
		return fmt.Sprintf("more than %d payments an hour", r.Count)
	case ExceedsDailyLimit:
		return fmt.Sprintf("%s is more than what remains of the daily limit of %s", r.Amount, r.Limit)
	case ExceedsMonthlyLimit:
		return fmt.Sprintf("%s is more than what remains of the monthly limit of %s", r.Amount, r.Limit)
	case ExposureLimit:
		return fmt.Sprintf("%s is more than what remains of the exposure limit of %s", r.Amount, r.Limit)
	case FeeTooHigh:
		return fmt.Sprintf("a fee of %s is over the cap of %s", r.Amount, r.Limit)
	case RequiresApproval:
		switch r.Asked {
		case "amount":
			return fmt.Sprintf("%s is over %s and needs a person's approval", r.Amount, r.Limit)
		case "capability":
			return r.Value + " gives away spending power and needs a person's approval"
		case "unrecognised":
			return "outgo cannot tell what money " + r.Value + " moves, and a person must approve it"
		}
		return "a person must approve this (" + r.Asked + ")"
	case OK:
		return "allowed"
	default:
		return strings.ToLower(strings.ReplaceAll(string(r.Code), "_", " "))
	}
}
