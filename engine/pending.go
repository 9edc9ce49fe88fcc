package engine

import (
	"sync"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
)

// A txn is what an action sees of the store: its own overlay, and the one time
// of its batch. An action may run more than once, so it must touch nothing but
// its txn and what it has promised to overwrite on each run.
type txn struct {
	*overlay
	lent    *lent
	now     time.Time
	seq     uint64        // of the next request
	entries []audit.Entry // what the action did, for the audit chain
	begun   []spend.ID    // the requests that its caller may send once it is durable
	kept    []kept        // the requests that it wrote
	after   []func()      // run once, after the commit of the run that counted
}

// then registers what is to happen after the commit.
func (t *txn) then(f func()) { t.after = append(t.after, f) }

// next draws a sequence number.
func (t *txn) next() uint64 { t.seq++; return t.seq - 1 }

// restart makes t that of a run over o, in a batch that stands at h and has l to lend.
func (t *txn) restart(o *overlay, l *lent, h position) {
	t.forget()
	t.overlay, t.lent, t.now, t.seq = o, l, h.Time, h.Seq
}

// forget drops what a run has left.
func (t *txn) forget() {
	t.entries, t.begun, t.kept, t.after = t.entries[:0], t.begun[:0], t.kept[:0], t.after[:0]
}

// large reports whether t has more memory than most actions need.
func (t *txn) large() bool {
	const most = 4
	return max(cap(t.entries), cap(t.begun), cap(t.kept), cap(t.after)) > most
}

type action func(*txn) error

// A pending action waits for its batch. Who leads writes err and did before it
// answers, and looks at neither again.
type pending struct {
	act      action
	told     chan struct{} // that it is answered, or is to lead; nil where nobody waits
	leads    bool          // it is to lead the next batch; guarded by committer.mu
	gone     bool          // its caller has left; guarded by committer.mu
	answered bool          // of interest to who leads alone
	err      error
	did      txn
}

// wait returns true once p was told something, and false when ended comes first.
func (p *pending) wait(ended <-chan struct{}) bool {
	if ended == nil {
		<-p.told
		return true
	}
	select {
	case <-p.told:
		return true
	case <-ended:
		return false
	}
}

// answer tells p's caller, who may use p for another action at once.
func (p *pending) answer(err error) {
	p.err, p.answered = err, true
	if p.told != nil {
		p.told <- struct{}{}
	}
}

// pendings are those of earlier actions, whose memory is used again.
type pendings struct{ pool sync.Pool }

func (s *pendings) take(act action) *pending {
	p, ok := s.pool.Get().(*pending)
	if !ok {
		p = &pending{told: make(chan struct{}, 1)}
	}
	p.act = act
	return p
}

// giveBack takes a pending that was answered, and of which its caller was told.
func (s *pendings) giveBack(p *pending) {
	if p.did.large() {
		return
	}
	p.did.forget()
	p.act, p.err, p.leads, p.gone, p.answered = nil, nil, false, false, false
	s.pool.Put(p)
}
