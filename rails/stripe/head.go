package stripe

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// head is what the headers of an admitted call say.
type head struct {
	mode    spend.Mode
	account string // Stripe-Account or Stripe-Context
	key     string // Idempotency-Key
	version string // Stripe-Version
	claims  spend.Claims
}

// readHead refuses headers that servers weigh differently and returns the rest.
func readHead(c *rails.Call) (head, error) {
	if err := checkHeaders(c); err != nil {
		return head{}, err
	}
	if err := checkContent(c); err != nil {
		return head{}, err
	}
	h := head{mode: modeOf(c.Get("Authorization")), key: c.Get("Idempotency-Key"), version: c.Get("Stripe-Version")}
	if len(h.key) > 255 || !isVisible(h.key) {
		return head{}, rails.Refusef(spend.Malformed, "Idempotency-Key", "the Idempotency-Key must be at most 255 bytes of visible ASCII")
	}
	if len(h.version) > 255 || !isVisible(strings.ReplaceAll(h.version, " ", "")) {
		return head{}, rails.Refusef(spend.Malformed, "Stripe-Version", "the Stripe-Version must be visible ASCII")
	}
	var err error
	if h.account, err = accountOf(c); err != nil {
		return head{}, err
	}
	if h.claims, err = claimsOf(c); err != nil {
		return head{}, err
	}
	return h, nil
}

// checkHeaders refuses what names another method, and what changes the meaning of
// a call and stands twice, empty, or spelled with an underscore, which Rack and
// CGI take for the hyphen.
func checkHeaders(c *rails.Call) error {
	for _, name := range [...]string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		if hasField(c, name) {
			return rails.Refusef(spend.Ambiguous, name, "the header %s names another method than the request line; leave it out", name)
		}
	}
	for _, name := range [...]string{"Content-Type", "Authorization", "Idempotency-Key", "Stripe-Version", "Stripe-Account", "Stripe-Context"} {
		value, lines := c.Field(name)
		if lines > 1 || lines == 1 && value == "" {
			return rails.Refusef(spend.Ambiguous, name, "the header %s must stand once and not be empty", name)
		}
		if spelled(c, name) > lines {
			return rails.Refusef(spend.Ambiguous, name, "the header %s is spelled with an underscore, which some servers take for it", name)
		}
	}
	return nil
}

// hasField reports whether a header of that name is there, hyphen or underscore.
func hasField(c *rails.Call, name string) bool { return spelled(c, name) > 0 }

// spelled counts the headers of that name, hyphen or underscore.
func spelled(c *rails.Call, name string) (n int) {
	for i := range c.Header {
		f := c.Header[i].Name
		if len(f) < len(name) || f[0] < 0x80 && f[0]|0x20 != name[0]|0x20 {
			continue
		}
		if strings.EqualFold(strings.ReplaceAll(f, "_", "-"), name) {
			n++
		}
	}
	return n
}

// checkContent admits a body only as an uncompressed form. A call without a
// body may leave the type out, and may not name another.
func checkContent(c *rails.Call) error {
	if hasField(c, "Content-Encoding") {
		return rails.Refusef(spend.UnrecognisedCall, "Content-Encoding", "compressed request bodies are not read; send the form as it is")
	}
	value := c.Get("Content-Type")
	if value == "" && len(c.Body) == 0 {
		return nil
	}
	kind, parameter, hasParameter := strings.Cut(strings.ToLower(value), ";")
	if strings.TrimSpace(kind) != "application/x-www-form-urlencoded" ||
		hasParameter && strings.TrimSpace(parameter) != "charset=utf-8" {
		return rails.Refusef(spend.UnrecognisedCall, "Content-Type", "the content type %.80q is not read; use application/x-www-form-urlencoded", value)
	}
	return nil
}

// modeOf reads the mode off the credential: the token of a Bearer, or the user
// name of a Basic. What is not plainly one key has no mode.
func modeOf(authorization string) spend.Mode {
	scheme, token, _ := strings.Cut(authorization, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
	case "basic":
		raw, err := base64.StdEncoding.Strict().DecodeString(token)
		if err != nil {
			return ""
		}
		token, _, _ = strings.Cut(string(raw), ":")
	default:
		return ""
	}
	if !isID(token) {
		return ""
	}
	switch {
	case strings.HasPrefix(token, "sk_test_"), strings.HasPrefix(token, "rk_test_"):
		return spend.Test
	case strings.HasPrefix(token, "sk_live_"), strings.HasPrefix(token, "rk_live_"):
		return spend.Live
	}
	return ""
}

// accountOf returns on whose behalf the call acts. A context ("acct_a/acct_b")
// supersedes an account at Stripe, so only one of the two is admitted.
func accountOf(c *rails.Call) (string, error) {
	account, context := c.Get("Stripe-Account"), c.Get("Stripe-Context")
	if account != "" && context != "" {
		return "", rails.Refusef(spend.Ambiguous, "Stripe-Context", "Stripe-Account and Stripe-Context name two acting accounts; send one")
	}
	if strings.Contains(account+context, ",") {
		return "", rails.Refusef(spend.Ambiguous, "Stripe-Account", "the acting account holds a comma, which stands for two headers")
	}
	if account != "" && !isID(account) {
		return "", rails.Refusef(spend.Malformed, "Stripe-Account", "the acting account %.80q is no id", account)
	}
	if context != "" {
		for part := range strings.SplitSeq(context, "/") {
			if !isID(part) || len(context) > 255 {
				return "", rails.Refusef(spend.Malformed, "Stripe-Context", "the acting context %.80q is no path of ids", context)
			}
		}
	}
	return account + context, nil
}

// claimsOf reads the claims in Outgo-* headers, merchant and category in their
// normal form.
func claimsOf(c *rails.Call) (spend.Claims, error) {
	var v [6]string
	for i, header := range [...]string{"Outgo-Merchant", "Outgo-Category", "Outgo-Reason", "Outgo-Task", "Outgo-Request", "Outgo-Authorization"} {
		value, lines := c.Field(header)
		if lines > 1 {
			return spend.Claims{}, rails.Refusef(spend.Ambiguous, header, "the header %s stands %d times; send it once", header, lines)
		}
		if lines == 1 {
			if err := checkClaim(header, value); err != nil {
				return spend.Claims{}, err
			}
			v[i] = strings.TrimSpace(value)
		}
	}
	return spend.Claims{
		Merchant: spend.NormalMerchant(v[0]), Category: normalCategory(v[1]), Reason: v[2], Task: v[3],
		Request: spend.ID(v[4]), Authorization: v[5],
	}, nil
}

// mergeClaims adds what metadata claims, and refuses two claims that differ: to
// pick one would let the agent show a reviewer one word and Stripe another.
func mergeClaims(claims spend.Claims, f *form) (_ spend.Claims, err error) {
	if claims.Merchant, err = f.mergeClaim("metadata[merchant]", "Outgo-Merchant", spend.NormalMerchant, claims.Merchant); err != nil {
		return spend.Claims{}, err
	}
	if claims.Category, err = f.mergeClaim("metadata[category]", "Outgo-Category", normalCategory, claims.Category); err != nil {
		return spend.Claims{}, err
	}
	id, err := f.mergeClaim("metadata[outgo_request]", "Outgo-Request", strings.TrimSpace, string(claims.Request))
	if err != nil {
		return spend.Claims{}, err
	}
	claims.Request = spend.ID(id)
	return claims, nil
}

// mergeClaim returns the claim in the parameter key, or the one that a header makes.
func (f *form) mergeClaim(key, header string, normal func(string) string, claimed string) (string, error) {
	value, _, err := f.scalar(key)
	if err != nil {
		return "", err
	}
	if err := checkClaim(key, value); err != nil {
		return "", err
	}
	if value = normal(value); value == "" {
		return claimed, nil
	}
	if claimed != "" && claimed != value {
		return "", rails.Refusef(spend.Ambiguous, key, "%s says %.80q and the header %s %.80q; say the same in both", key, value, header, claimed)
	}
	return value, nil
}

// checkClaim bounds a claim to what a person can be shown on one line. The
// longest is a spend authorization token.
func checkClaim(name, value string) error {
	if len(value) > 4096 || !utf8.ValidString(value) || !isPlainText(value) {
		return rails.Refusef(spend.Malformed, name, "%s must be one line of at most 4096 bytes of UTF-8", name)
	}
	return nil
}

// isVisible reports whether s is ASCII without spaces and control bytes.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isID reports whether s could be an id or a key of Stripe's.
func isID(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}
