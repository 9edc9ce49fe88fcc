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

// The header fields that are looked at, as indices into fields.
const (
	methodOverride = iota
	methodAlias
	overrideMethod
	contentEncoding
	contentType
	authorization
	idempotencyKey
	stripeVersion
	stripeAccount
	stripeContext
	outgoMerchant // the first claim
	outgoCategory
	outgoReason
	outgoTask
	outgoRequest
	outgoAuthorization
	lookedAt // how many they are
)

// fieldName is the name of a field that is looked at.
func fieldName(field int) string {
	switch field {
	case methodOverride:
		return "X-HTTP-Method-Override"
	case methodAlias:
		return "X-HTTP-Method"
	case overrideMethod:
		return "X-Method-Override"
	case contentEncoding:
		return "Content-Encoding"
	case contentType:
		return "Content-Type"
	case authorization:
		return "Authorization"
	case idempotencyKey:
		return "Idempotency-Key"
	case stripeVersion:
		return "Stripe-Version"
	case stripeAccount:
		return "Stripe-Account"
	case stripeContext:
		return "Stripe-Context"
	case outgoMerchant:
		return "Outgo-Merchant"
	case outgoCategory:
		return "Outgo-Category"
	case outgoReason:
		return "Outgo-Reason"
	case outgoTask:
		return "Outgo-Task"
	case outgoRequest:
		return "Outgo-Request"
	case outgoAuthorization:
		return "Outgo-Authorization"
	}
	return ""
}

// candidates returns the first of the fields that a name may resemble, and the one
// behind the last of them, by the letter that it starts with.
func candidates(name string) (from, to int) {
	if name == "" {
		return 0, 0
	}
	switch name[0] | 0x20 {
	case 'x':
		return methodOverride, contentEncoding
	case 'c':
		return contentEncoding, authorization
	case 'a':
		return authorization, idempotencyKey
	case 'i':
		return idempotencyKey, stripeVersion
	case 's':
		return stripeVersion, outgoMerchant
	case 'o':
		return outgoMerchant, lookedAt
	}
	if name[0] >= 0x80 {
		return 0, lookedAt // It may fold to any letter.
	}
	return 0, 0
}

// fields are those of a call's header fields that are looked at.
type fields [lookedAt]struct {
	value   string // of the first line
	lines   int    // that carry the name
	spelled int    // that carry it, or it with underscores, which Rack and CGI take for hyphens
}

func (f *fields) read(header []rails.Field) {
	for i := range header {
		name := header[i].Name
		from, to := candidates(name)
		for field := from; field < to; field++ {
			like, equal := resembles(name, fieldName(field))
			if !like {
				continue
			}
			f[field].spelled++
			if equal {
				if f[field].lines++; f[field].lines == 1 {
					f[field].value = header[i].Value
				}
			}
		}
	}
}

// resembles reports whether a header is called name but for case and underscores,
// and whether it is but for case.
func resembles(header, name string) (like, equal bool) {
	if header == name {
		return true, true
	}
	if len(header) != len(name) {
		// A letter outside ASCII may fold to one inside, and is longer.
		like = len(header) > len(name) && !isVisible(header) &&
			strings.EqualFold(strings.ReplaceAll(header, "_", "-"), name)
		return like, false
	}
	equal = true
	for i := range len(name) {
		c := header[i]
		if c == '_' && name[i] == '-' {
			equal = false
			continue
		}
		if c != name[i] && (c|0x20 != name[i]|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false, false
		}
	}
	return true, equal
}

// read refuses headers that servers weigh differently and takes in the rest.
func (h *head) read(c *rails.Call) (err error) {
	var f fields
	f.read(c.Header)
	if err := f.check(); err != nil {
		return err
	}
	if c.Method != "GET" || len(c.Body) > 0 { // many clients name a type for what they do not send
		if err := f.checkContent(mediaOf(c), len(c.Body)); err != nil {
			return err
		}
	}
	h.mode, h.key, h.version = modeOf(f[authorization].value), f[idempotencyKey].value, f[stripeVersion].value
	if len(h.key) > 255 || !isVisible(h.key) {
		return rails.Refusef(spend.Malformed, "Idempotency-Key", "the Idempotency-Key must be at most 255 bytes of visible ASCII")
	}
	if len(h.version) > 255 || !isVisible(h.version) && !isVisible(strings.ReplaceAll(h.version, " ", "")) {
		return rails.Refusef(spend.Malformed, "Stripe-Version", "the Stripe-Version must be visible ASCII")
	}
	if h.account, err = accountOf(f[stripeAccount].value, f[stripeContext].value); err != nil {
		return err
	}
	h.claims, err = f.claims()
	return err
}

// check refuses what names another method, and what changes the meaning of a call
// and stands twice, empty, or spelled with an underscore.
func (f *fields) check() error {
	for field := methodOverride; field <= overrideMethod; field++ {
		if f[field].spelled > 0 {
			name := fieldName(field)
			return rails.Refusef(spend.Ambiguous, name, "the header %s names another method than the request line; leave it out", name)
		}
	}
	for field := contentType; field <= stripeContext; field++ {
		if f[field].lines > 1 || f[field].lines == 1 && f[field].value == "" {
			name := fieldName(field)
			return rails.Refusef(spend.Ambiguous, name, "the header %s must stand once and not be empty", name)
		}
		if f[field].spelled > f[field].lines {
			name := fieldName(field)
			return rails.Refusef(spend.Ambiguous, name, "the header %s is spelled with an underscore, which some servers take for it", name)
		}
	}
	return nil
}

// The content types of bodies: Stripe reads no other.
const (
	mediaForm  = "application/x-www-form-urlencoded"
	mediaJSON  = "application/json"
	mediaParts = "multipart/form-data"
)

// mediaOf returns the content type that Stripe takes where a call goes: JSON under
// /v2, a form under /v1 and elsewhere, and files in parts.
func mediaOf(c *rails.Call) string {
	switch {
	case strings.HasPrefix(c.Path, "/v2/"):
		return mediaJSON
	case c.Path == "/v1/files" && c.Host == "files.stripe.com":
		return mediaParts
	default:
		return mediaForm
	}
}

// checkContent admits a body only uncompressed and of the content type media. A call
// without a body may leave the type out, or name that of forms, as many clients do.
func (f *fields) checkContent(media string, size int) error {
	if f[contentEncoding].spelled > 0 {
		return rails.Refusef(spend.UnrecognisedCall, "Content-Encoding", "compressed request bodies are not read; send the body as it is")
	}
	value := f[contentType].value
	if value == "" && size == 0 || value == media && media != mediaParts {
		return nil
	}
	if size == 0 && value == mediaForm {
		return nil
	}
	kind, parameter, hasParameter := strings.Cut(strings.ToLower(value), ";")
	kind, parameter = strings.TrimSpace(kind), strings.TrimSpace(parameter)
	ok := !hasParameter || parameter == "charset=utf-8"
	if media == mediaParts {
		boundary, found := strings.CutPrefix(parameter, "boundary=")
		ok = found && isBoundary(boundary)
	}
	if kind == mediaParts && media != mediaParts {
		return rails.Refusef(spend.UnrecognisedCall, "Content-Type", "a body in parts is read at https://files.stripe.com/v1/files only; send others as %s", media)
	}
	if kind != media || !ok {
		return rails.Refusef(spend.UnrecognisedCall, "Content-Type", "the content type %.80q is not read here; use %s", value, media)
	}
	return nil
}

// isBoundary reports whether s separates parts, and is not followed by another
// parameter; see RFC 2046, section 5.1.1.
func isBoundary(s string) bool {
	s = strings.TrimPrefix(strings.TrimSuffix(s, `"`), `"`)
	return s != "" && len(s) <= 70 && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz'()+_,-./:=?") == ""
}

// modeOf reads the mode off the credential: the token of a Bearer, or the user
// name of a Basic. What is not plainly one key has no mode.
func modeOf(authorization string) spend.Mode {
	scheme, token := "bearer", ""
	if rest, ok := strings.CutPrefix(authorization, "Bearer "); ok { // as all SDKs spell it
		token = rest
	} else {
		scheme, token, _ = strings.Cut(authorization, " ")
	}
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
func accountOf(account, context string) (string, error) {
	if account == "" && context == "" {
		return "", nil
	}
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

// claims reads the claims in Outgo-* headers, merchant and category in their
// normal form.
func (f *fields) claims() (c spend.Claims, err error) {
	for field := outgoMerchant; field < lookedAt; field++ {
		claim := &f[field]
		if claim.lines == 0 {
			continue
		}
		header := fieldName(field)
		if claim.lines > 1 {
			return spend.Claims{}, rails.Refusef(spend.Ambiguous, header, "the header %s stands %d times; send it once", header, claim.lines)
		}
		if err := checkClaim(header, claim.value); err != nil {
			return spend.Claims{}, err
		}
		switch value := strings.TrimSpace(claim.value); field {
		case outgoMerchant:
			c.Merchant = spend.NormalMerchant(value)
		case outgoCategory:
			c.Category = normalCategory(value)
		case outgoReason:
			c.Reason = value
		case outgoTask:
			c.Task = value
		case outgoRequest:
			c.Request = spend.ID(value)
		case outgoAuthorization:
			c.Authorization = value
		}
	}
	return c, nil
}

// mergeClaims adds what metadata claims, and refuses two claims that differ: to
// pick one would let the agent show a reviewer one word and Stripe another.
func mergeClaims(claims *spend.Claims, f *form) (err error) {
	if !f.mayHave("metadata") {
		return nil
	}
	if claims.Merchant, err = f.mergeClaim("metadata[merchant]", "Outgo-Merchant", spend.NormalMerchant, claims.Merchant); err != nil {
		return err
	}
	if claims.Category, err = f.mergeClaim("metadata[category]", "Outgo-Category", normalCategory, claims.Category); err != nil {
		return err
	}
	id, err := f.mergeClaim("metadata[outgo_request]", "Outgo-Request", strings.TrimSpace, string(claims.Request))
	claims.Request = spend.ID(id)
	return err
}

// mergeClaim returns the claim in the parameter key, or the one that a header makes.
func (f *form) mergeClaim(key, header string, normal func(string) string, claimed string) (string, error) {
	value, present, err := f.scalar(key)
	if err != nil {
		return "", err
	}
	if !present {
		return claimed, nil
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
		if c := s[i]; classes[c]&isFree == 0 || c == '-' || c == '.' || c == '~' {
			return false
		}
	}
	return true
}
