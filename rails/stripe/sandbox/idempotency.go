package sandbox

import (
	"fmt"
	"net/http"
	"time"
)

// keyLife is how long Stripe remembers an idempotency key at least.
const keyLife = 24 * time.Hour

// keyID is what makes an idempotency key one key: who sent it and for whom.
type keyID struct {
	secret string
	scope  scope
	key    string
}

// keyUse is the first use of an idempotency key.
type keyUse struct {
	id        keyID
	endpoint  string // method and path
	params    string // canonical
	requestID string
	at        time.Time
	reply     *reply // nil while the call is under way
}

// claim takes the idempotency key of a POST. It returns the reply to replay when
// the same call was answered before, and refuses a key that is in use or that
// came with other parameters. Calls without a key get a nil use.
func (s *Server) claim(r *http.Request, secret string, sc scope, p *params, requestID string) (*keyUse, *reply, *Error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" || r.Method != http.MethodPost {
		return nil, nil, nil
	}
	if len(key) > 255 {
		return nil, nil, badRequest("", "", "Idempotency-Key must be at most 255 characters")
	}
	use := &keyUse{
		id:       keyID{secret: secret, scope: sc, key: key},
		endpoint: r.Method + " " + r.URL.EscapedPath(), params: p.canonical(),
		requestID: requestID, at: s.clock(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.keys[use.id]
	if seen == nil || (seen.reply != nil && use.at.Sub(seen.at) >= keyLife) {
		s.keys[use.id] = use
		return use, nil, nil
	}
	misuse := &Error{Status: http.StatusBadRequest, Type: "idempotency_error"}
	switch {
	case seen.endpoint != use.endpoint:
		misuse.Message = fmt.Sprintf("Keys for idempotent requests can only be used for the same endpoint they were first used for "+
			"('%s' vs '%s'). Try using a key other than '%s' if you meant to execute a different request.", use.endpoint, seen.endpoint, key)
	case seen.params != use.params:
		misuse.Message = fmt.Sprintf("Keys for idempotent requests can only be used with the same parameters they were first used with. "+
			"Try using a key other than '%s' if you meant to execute a different request.", key)
	case seen.reply == nil:
		misuse.Status, misuse.Code = http.StatusConflict, "idempotency_key_in_use"
		misuse.Message = fmt.Sprintf("There is currently another in-progress request using this Idempotent Key (that probably means you "+
			"submitted twice, and the other request is still going through): %s. Please try again later.", key)
	default:
		again := *seen.reply
		again.header = map[string]string{"Idempotent-Replayed": "true", "Original-Request": seen.requestID}
		return nil, &again, nil
	}
	return nil, nil, misuse
}

// keep remembers the reply to the call that claimed a key.
func (s *Server) keep(use *keyUse, re reply) {
	if use == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	use.reply = &re
}

// release frees the key of a call that did not begin.
func (s *Server) release(use *keyUse) {
	if use == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, use.id)
}
