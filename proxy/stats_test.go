package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/rails"
)

// How a client that does not trust the authority looks on this side, as measured.
func TestTheCauseOfAFailedHandshakeIsGuessed(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"OpenSSL 3.0 over TLS 1.3":     {errors.New("local error: tls: bad record MAC"), "ca_untrusted_suspected"},
		"OpenSSL over TLS 1.2":         {errors.New("remote error: tls: unknown certificate authority"), "ca_untrusted_suspected"},
		"Go":                           {errors.New("remote error: tls: bad certificate"), "ca_untrusted_suspected"},
		"rustls and BoringSSL":         {errors.New("remote error: tls: unknown certificate"), "ca_untrusted_suspected"},
		"Node, Java and aiohttp":       {fmt.Errorf("read: %w", io.EOF), "ca_untrusted_suspected"},
		"one that resets":              {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "ca_untrusted_suspected"},
		"one that is gone":             {&net.OpError{Op: "write", Err: syscall.EPIPE}, "ca_untrusted_suspected"},
		"one that waits":               {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "timeout"},
		"one of long ago":              {errors.New("tls: client offered only unsupported versions: [301]"), "protocol"},
		"one that asks for another":    {fmt.Errorf("handshake: %w", ca.ErrServerName), "name_mismatch"},
		"one for what is not vouched":  {fmt.Errorf("handshake: %w", ca.ErrNotPermitted), "no_certificate"},
		"one that fails for something": {errors.New("remote error: tls: internal error"), "other"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := handshakeCause(c.err); got != c.want {
				t.Errorf("%v: %s, want %s", c.err, got, c.want)
			}
		})
	}
}

func TestWhyACallCouldNotBeDecidedIsOneWord(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a shutdown":                      {errDraining, "draining"},
		"a look-up":                       {&lookupError{rails.Lookup{Target: "/v1/x"}, io.EOF}, "lookup"},
		"a look-up that took too long":    {&lookupError{rails.Lookup{Target: "/v1/x"}, context.DeadlineExceeded}, "lookup"},
		"a ledger that refuses":           {fmt.Errorf("authorize call: %w", spend.Unavailable), "ledger"},
		"a ledger that takes too long":    {fmt.Errorf("commit: %w: %w", spend.Unknown, context.DeadlineExceeded), "timeout"},
		"something that nobody foresaw":   {errors.New("evil label \n{x=\"y\"}"), "internal"},
		"a ledger that was given no time": {fmt.Errorf("commit: %w: %w", spend.Unavailable, context.DeadlineExceeded), "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failCause(c.err); got != c.want {
				t.Errorf("%v: %s, want %s", c.err, got, c.want)
			}
		})
	}
}
