package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine/spend"
)

// Render writes v as the JSON body.
func Render(ctx *fasthttp.RequestCtx, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Problem(ctx, 500, "the answer could not be written")
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(b, '\n'))
}

// Problem renders an error as application/problem+json (RFC 9457).
func Problem(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	b, _ := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{fasthttp.StatusMessage(status), status, message}) //nolint:errcheck // three plain fields always marshal
	ctx.SetContentType("application/problem+json")
	ctx.SetBody(append(b, '\n'))
}

// Invalid returns an error of that Kind.
func Invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), spend.Invalid)
}

// Minor renders an amount as the JSON number of its smallest unit, as a string
// when it is beyond what every JSON reader keeps exactly (2^53), and as null when
// there is none.
func Minor(a spend.Amount) json.RawMessage {
	if a.IsZero() {
		return json.RawMessage("null")
	}
	if n, ok := a.Int64(); ok && n < 1<<53 && n > -1<<53 {
		return json.RawMessage(a.Decimal())
	}
	return json.RawMessage(`"` + a.Decimal() + `"`)
}

// Stamp renders a time in UTC with milliseconds, or null for the zero time.
func Stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}
