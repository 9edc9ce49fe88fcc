package proxy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// An SDK whose time is over hangs up and sends the call again while the first one is
// still somewhere on its way, at whatever step: both are one payment.
func TestARetryThatComesMeanwhileIsTheSamePayment(t *testing.T) {
	all := moments()
	for _, at := range all[slices.Index(all, judged) : slices.Index(all, settled)+1] {
		for name, gone := range map[string]bool{"the first client has hung up": true, "the first client still waits": false} {
			t.Run(string(at)+", "+name, func(t *testing.T) {
				t.Parallel()
				r := stepRow{at: at}
				s, p := r.prepare(t, "key-1")
				first := s.callOnce(t, p, at)
				if gone {
					first.vanish(true)
				}
				second := make(chan answer, 1)
				go func() { a, _ := s.retry(t, p); second <- a }()
				select {
				case a := <-second: // it did not need the first one
					second <- a
				case <-time.After(100 * time.Millisecond):
				}
				s.stop.goOn()
				if r.held() {
					s.approve(t)
				}
				if a := <-second; learnt(a) != paid {
					t.Errorf("the retry learns %q", learnt(a))
				}
				if !gone {
					if a := first.answer(); learnt(a) != paid {
						t.Errorf("the first call learns %q", learnt(a))
					}
				}
				eventually(t, "end of the first call", func() bool { return s.proxy.Stats().Calls == 0 })
				b := s.books(t)
				if n := s.bank.Count(); n != 1 || b.used != r.cents() || len(b.states) != 1 || b.states[0] != spend.Settled {
					t.Errorf("the provider executed %d, the ledger has %v and counts %d; want one payment of %d", n, b.states, b.used, r.cents())
				}
			})
		}
	}
}
