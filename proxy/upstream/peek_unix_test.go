//go:build unix

package upstream

import (
	"errors"
	"syscall"
	"testing"
)

// idleGone waits until the peer's last act has reached the one idle connection.
func idleGone(t *testing.T, tr *Transport) {
	t.Helper()
	waitFor(t, "the end of the pooled connection", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for _, p := range tr.pools {
			for _, c := range p.idle {
				var b [1]byte
				var n int
				var err error
				_ = c.wire.raw.Read(func(fd uintptr) bool {
					n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
					return true
				})
				return n > 0 || err == nil || !errors.Is(err, syscall.EAGAIN)
			}
		}
		return false
	})
}
