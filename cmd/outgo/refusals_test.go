package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe"
)

// What each of outgo's own answers is to an SDK at its defaults: the exception's
// class, its code, our words, the request to ask about, and how often the SDK tries.
func TestEachRefusalReachesTheAgentInItsSDK(t *testing.T) {
	const words = "Ask for less: 12.00 USD is left this day."
	denied := []string{"StripePermissionError", "invalid_request_error", "PermissionError"}
	invalid := []string{"StripeInvalidRequestError", "invalid_request_error", "InvalidRequestError"}
	again := []string{"StripeRateLimitError", "invalid_request_error", "RateLimitError"}
	broken := []string{"StripeAPIError", "api_error", "APIError"}
	cases := map[string]struct {
		answer   rails.Answer
		types    []string // of stripe-node, stripe-go and Python
		status   int
		code     string
		attempts []int
	}{
		"denied":              {rails.Answer{Situation: rails.Denied}, denied, 403, "spend_policy_denied", []int{1, 1, 1}},
		"held, come back":     {rails.Answer{Situation: rails.HeldOn}, again, 429, "lock_timeout", []int{3, 3, 3}},
		"held for longer":     {rails.Answer{Situation: rails.HeldOver}, denied, 403, "approval_pending", []int{1, 1, 1}},
		"not understood":      {rails.Answer{Situation: rails.Refused, Param: "amount"}, invalid, 400, "request_refused", []int{1, 1, 1}},
		"not known yet":       {rails.Answer{Situation: rails.Uncertain}, again, 429, "lock_timeout", []int{3, 3, 3}},
		"not known":           {rails.Answer{Situation: rails.Unknown}, denied, 403, "outcome_unknown", []int{1, 1, 1}},
		"undecided":           {rails.Answer{Situation: rails.Unavailable}, broken, 503, "guard_unavailable", []int{1, 1, 1}},
		"Stripe out of reach": {rails.Answer{Situation: rails.Unreachable}, broken, 503, "upstream_unreachable", []int{3, 1, 3}},
		"the key used twice": {
			rails.Answer{Situation: rails.Refused, Code: spend.KeyReused},
			[]string{"StripeIdempotencyError", "idempotency_error", "InvalidRequestError"}, 400, "idempotency_key_reused", []int{1, 1, 1},
		},
	}
	for i, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			argv := p.argv(t)
			for name, tt := range cases {
				t.Run("is "+name, func(t *testing.T) {
					t.Parallel()
					a := tt.answer
					a.Request, a.Message = "019ab3c4", words
					reply := stripe.New(stripe.Options{}).Refuse(nil, a)
					var attempts atomic.Int64
					up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						attempts.Add(1)
						for _, f := range reply.Header {
							w.Header().Set(f.Name, f.Value)
						}
						w.WriteHeader(reply.Status)
						_, _ = w.Write(reply.Body) // a client that has gone is seen by what it prints
					}))
					defer up.Close()
					cmd := exec.CommandContext(t.Context(), argv[0], append(slices.Clone(argv[1:]), "1200", "usd")...) //nolint:gosec // the programs beside this test
					cmd.Env = append(os.Environ(), "STRIPE_API_KEY=sk_test_outgo", "STRIPE_API_BASE="+up.URL, "NO_PROXY=127.0.0.1")
					out, err := cmd.StdoutPipe()
					if err != nil {
						t.Fatal(err)
					}
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					var r result
					err = json.NewDecoder(out).Decode(&r)
					// stripe-node leaves answers unread that it does not take for final, and does
					// not end before their sockets' 80 s are over.
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
					if err != nil {
						t.Fatalf("it printed no result: %v", err)
					}
					want := result{Type: tt.types[i], Code: tt.code, StatusCode: tt.status, RequestID: "req_outgo_019ab3c4", Message: r.Message}
					if r != want || !strings.Contains(r.Message, words) {
						t.Errorf("got %+v, want %+v with %q", r, want, words)
					}
					if got := int(attempts.Load()); got != tt.attempts[i] {
						t.Errorf("tried %d times, want %d", got, tt.attempts[i])
					}
				})
			}
		})
	}
}
