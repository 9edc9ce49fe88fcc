package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/storetest"
)

func moments() []storetest.Moment {
	return []storetest.Moment{storetest.BeforeCommit, storetest.AfterCommit, storetest.WithPanic, storetest.WhileReading}
}

// doubtful is a world whose store can be told to fail.
func doubtful(t *testing.T, p policy.Policy) (*world, *storetest.Doubtful, <-chan error) {
	t.Helper()
	w := newWorld(t)
	d := &storetest.Doubtful{Store: w.store}
	alarms := make(chan error, 10)
	w.opt.AnchorPath, w.opt.Alarm = filepath.Join(t.TempDir(), "anchor"), func(err error) { alarms <- err }
	w.Engine.Close()
	w.set(nil)
	w.store = d
	w.start()
	w.policies(p)
	return w, d, alarms
}

// readBack waits until the ledger takes work again.
func (w *world) readBack() {
	w.t.Helper()
	for range 10_000 {
		if !w.Stats().Stopped {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("the ledger does not go on within 10 s")
}

// states are the requests of the ledger by their states.
func (w *world) states() map[spend.State][]spend.Request {
	w.t.Helper()
	page, err := w.Requests(w.t.Context(), engine.Filter{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(map[spend.State][]spend.Request)
	for _, r := range page.Requests {
		out[r.State] = append(out[r.State], r)
	}
	return out
}

// left spends the rest of a daily budget in steps, and returns how much it was.
func (w *world) left(step int64) (sum int64) {
	w.t.Helper()
	for range 1000 {
		r, err := w.Authorize(w.t.Context(), charge(step, string(spend.NewID(noon))))
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Next != spend.Forward {
			return sum
		}
		sum += step
	}
	w.t.Fatal("the budget has no end")
	return 0
}

func wide() policy.Policy {
	return policy.Policy{Name: "daily", Unit: "USD", Active: true, Daily: usd(10000), RequireApprovalOver: usd(5000)}
}

// A begun payment whose commit is in doubt is never forwarded, whatever became of
// the commit, and its money is there again once that is known.
func TestABeginInDoubtIsNeverSentAndGivesItsMoneyBack(t *testing.T) {
	for _, at := range moments() {
		t.Run(string(at), func(t *testing.T) {
			w, d, _ := doubtful(t, wide())
			held := charge(6000, "held")
			h := w.authorize(held, spend.Await)
			w.resolve(h.ID, true)
			d.Fail(at, 0)
			if _, err := w.Authorize(t.Context(), charge(1000, "a")); !errors.Is(err, spend.Unavailable) {
				t.Fatalf("authorize: %v, want Unavailable", err)
			}
			w.readBack()
			d.Fail(at, 0)
			if _, err := w.Begin(t.Context(), h.ID, held); !errors.Is(err, spend.Unavailable) {
				t.Fatalf("begin: %v, want Unavailable", err)
			}
			w.readBack()
			by := w.states()
			if n := len(by[spend.Executing]); n != 0 {
				t.Errorf("%d are executing that nobody sends", n)
			}
			failed, authorized := 0, 1 // the hold is approved still, if its begin was not kept
			if at == storetest.AfterCommit {
				failed, authorized = 2, 0
			}
			if len(by[spend.Failed]) != failed || len(by[spend.Authorized]) != authorized {
				t.Errorf("failed %d, authorized %d, want %d and %d", len(by[spend.Failed]), len(by[spend.Authorized]), failed, authorized)
			}
			for _, r := range by[spend.Failed] {
				if r.Why != spend.NeverSent || len(r.Receipts) > 0 {
					t.Errorf("failed for %s with %v, want %s", r.Why, r.Receipts, spend.NeverSent)
				}
			}
			// The same call comes again and is a new one.
			w.authorize(charge(1000, "a"), spend.Forward)
			if got, want := w.left(1000), int64(9000-6000*authorized); got != want {
				t.Errorf("%d are left of the budget, want %d", got, want)
			}
			w.verified()
			if d.Reopens != 2 {
				t.Errorf("opened again %d times, want 2", d.Reopens)
			}
		})
	}
}

// Several callers share the batch in doubt, and others come while it is read back.
func TestABatchInDoubtForwardsNothingTwiceAndLosesNoMoney(t *testing.T) {
	for _, at := range moments() {
		t.Run(string(at), func(t *testing.T) {
			w, d, _ := doubtful(t, wide())
			var mu sync.Mutex
			var forwarded []spend.ID
			told := 0
			for round := range 5 {
				d.Fail(at, round%2)
				var wg sync.WaitGroup
				for i := range 16 {
					wg.Go(func() {
						r, err := w.Authorize(t.Context(), charge(100, fmt.Sprintf("%d-%d", round, i)))
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err == nil && r.Next == spend.Forward:
							forwarded = append(forwarded, r.Request.ID)
						case errors.Is(err, spend.Unavailable):
							told++
						default:
							t.Errorf("authorize: %s, %v", r.Next, err)
						}
					})
				}
				wg.Wait()
				w.readBack()
			}
			if told == 0 {
				t.Fatal("nothing has failed")
			}
			by := w.states()
			var executing []spend.ID
			for _, r := range by[spend.Executing] {
				executing = append(executing, r.ID)
			}
			slices.Sort(executing)
			slices.Sort(forwarded)
			if !slices.Equal(executing, forwarded) {
				t.Errorf("%d are executing and %d were forwarded, want the same", len(executing), len(forwarded))
			}
			if got, want := w.left(100), 10000-100*int64(len(forwarded)); got != want {
				t.Errorf("%d are left of the budget, want %d", got, want)
			}
			w.verified()
		})
	}
}

// What a provider has answered is not lost by a doubt: its caller records it again.
func TestAFinishInDoubtIsRecordedAgain(t *testing.T) {
	for _, at := range moments() {
		t.Run(string(at), func(t *testing.T) {
			w, d, _ := doubtful(t, wide())
			r := w.authorize(charge(1000, "a"), spend.Forward)
			d.Fail(at, 0)
			if err := w.Finish(t.Context(), r.ID, paid(1000)); !errors.Is(err, spend.Unavailable) {
				t.Fatalf("finish: %v, want Unavailable", err)
			}
			w.readBack()
			w.finish(r.ID, paid(1000))
			if by := w.states(); len(by[spend.Settled]) != 1 || len(by[spend.Settled][0].Receipts) != 1 {
				t.Errorf("the ledger holds %v", by)
			}
			if got := w.left(1000); got != 9000 {
				t.Errorf("%d are left of the budget, want 9000", got)
			}
		})
	}
}

// A store that cannot be opened again in place stops the ledger until a new start,
// which still knows what was never sent. What was sent stays executing.
func TestWhatWasNeverSentIsKnownToTheNextStart(t *testing.T) {
	w, d, alarms := doubtful(t, wide())
	sent := w.authorize(charge(1000, "sent"), spend.Forward)
	d.Stays = errors.New("the disk is gone")
	d.Fail(storetest.AfterCommit, 0)
	if _, err := w.Authorize(t.Context(), charge(1000, "a")); !errors.Is(err, spend.Unavailable) {
		t.Fatalf("authorize: %v, want Unavailable", err)
	}
	if err := <-alarms; !errors.Is(err, engine.ErrStopped) || !errors.Is(err, d.Stays) {
		t.Errorf("the operator is told %v, want ErrStopped for the cause", err)
	}
	if _, err := w.Authorize(t.Context(), charge(1000, "b")); !errors.Is(err, spend.Unavailable) {
		t.Errorf("a stopped ledger answers %v", err)
	}
	if !w.Stats().Stopped {
		t.Error("it does not say that it is stopped")
	}
	w.Engine.Close()
	w.store = d.Store
	w.start()
	by := w.states()
	if len(by[spend.Failed]) != 1 || by[spend.Failed][0].Why != spend.NeverSent {
		t.Errorf("failed: %v, want the one that was never sent", by[spend.Failed])
	}
	if len(by[spend.Executing]) != 1 || by[spend.Executing][0].ID != sent.ID {
		t.Errorf("executing: %v, want the one that was sent", by[spend.Executing])
	}
	if got := w.left(1000); got != 9000 {
		t.Errorf("%d are left of the budget, want 9000", got)
	}
	w.restart() // the note is used up
	w.verified()
}

// After a crash nobody can say what was sent.
func TestWhatExecutesAtACrashStaysExecuting(t *testing.T) {
	w, _, _ := doubtful(t, wide())
	r := w.authorize(charge(1000, "a"), spend.Forward)
	w.restart()
	if by := w.states(); len(by[spend.Executing]) != 1 || by[spend.Executing][0].ID != r.ID {
		t.Errorf("the ledger holds %v", by)
	}
	if got := w.left(1000); got != 9000 {
		t.Errorf("%d are left of the budget, want 9000", got)
	}
}

// A slowStore lets a test look on while it is opened again.
type slowStore struct {
	*storetest.Doubtful
	opening, open chan struct{}
}

func (s *slowStore) Reopen(ctx context.Context) error {
	close(s.opening)
	<-s.open
	return s.Doubtful.Reopen(ctx)
}

// An agent whose payment was made, and whose reply is in doubt, sends its call again
// at once. It is told what came of it, and not that nothing was sent.
func TestWhoComesDuringADoubtIsToldHowItEnded(t *testing.T) {
	for _, at := range []storetest.Moment{storetest.BeforeCommit, storetest.AfterCommit} {
		t.Run(string(at), func(t *testing.T) {
			w, d, _ := doubtful(t, wide())
			slow := &slowStore{d, make(chan struct{}), make(chan struct{})}
			w.Engine.Close()
			w.store = slow
			w.start()
			r := w.authorize(charge(1000, "a"), spend.Forward)
			d.Fail(at, 0)
			if err := w.Finish(t.Context(), r.ID, paid(1000)); !errors.Is(err, spend.Unavailable) {
				t.Fatalf("finish: %v, want Unavailable", err)
			}
			<-slow.opening
			rulings, errs := make([]spend.Ruling, 3), make([]error, 3)
			var wg sync.WaitGroup
			for i := range rulings {
				wg.Go(func() { rulings[i], errs[i] = w.Authorize(t.Context(), charge(1000, "a")) })
			}
			if !w.Stats().Stopped {
				t.Error("it does not say that it is stopped")
			}
			close(slow.open)
			wg.Wait()
			want := spend.Follow
			if at == storetest.AfterCommit {
				want = spend.Replay
			}
			for i, got := range rulings {
				if errs[i] != nil || got.Next != want {
					t.Errorf("the same call again: %s, %v, want %s", got.Next, errs[i], want)
				}
			}
		})
	}
}

// A relapsing store cannot tell a second time, just when what was never sent is ended.
type relapsing struct{ *storetest.Doubtful }

func (s relapsing) Reopen(ctx context.Context) error {
	err := s.Doubtful.Reopen(ctx)
	s.Fail(storetest.BeforeCommit, 0)
	return err
}

// A doubt within a doubt stops the ledger for good. What was never sent is known to
// the next start all the same.
func TestADoubtWithinADoubtForgetsNothing(t *testing.T) {
	w, d, alarms := doubtful(t, wide())
	w.Engine.Close()
	w.store = relapsing{d}
	w.start()
	d.Fail(storetest.AfterCommit, 0)
	if _, err := w.Authorize(t.Context(), charge(1000, "a")); !errors.Is(err, spend.Unavailable) {
		t.Fatalf("authorize: %v, want Unavailable", err)
	}
	if err := <-alarms; !errors.Is(err, engine.ErrStopped) {
		t.Errorf("the operator is told %v, want ErrStopped", err)
	}
	if _, err := w.Authorize(t.Context(), charge(1000, "b")); !errors.Is(err, spend.Unavailable) {
		t.Errorf("a stopped ledger answers %v", err)
	}
	w.Engine.Close()
	if n := len(alarms); n > 0 {
		t.Errorf("the operator is told %d times more: %v", n, <-alarms)
	}
	w.store = d.Store
	w.start()
	if by := w.states(); len(by[spend.Failed]) != 1 || len(by[spend.Executing]) != 0 {
		t.Errorf("the ledger holds %v, want the one that was never sent to have failed", by)
	}
	if got := w.left(1000); got != 10000 {
		t.Errorf("%d are left of the budget, want 10000", got)
	}
}

// A list of what was never sent that comes back later, from a disk that has lost its
// deletion or from somebody's copy, gives no money back for what was sent since.
func TestAnOldNoteOfWhatWasNeverSentEndsNothing(t *testing.T) {
	for _, at := range []storetest.Moment{storetest.BeforeCommit, storetest.AfterCommit} {
		t.Run(string(at), func(t *testing.T) {
			w, d, alarms := doubtful(t, wide())
			call := charge(6000, "held")
			h := w.authorize(call, spend.Await)
			w.resolve(h.ID, true)
			d.Stays = errors.New("the disk is gone")
			d.Fail(at, 0)
			if _, err := w.Begin(t.Context(), h.ID, call); !errors.Is(err, spend.Unavailable) {
				t.Fatalf("begin: %v, want Unavailable", err)
			}
			<-alarms
			w.Engine.Close()
			name := w.opt.AnchorPath + ".unsent"
			note, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			w.store = d.Store
			w.pass(time.Second)
			w.start()
			if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the note is still there: %v", err)
			}
			if at == storetest.BeforeCommit { // it is approved still
				if r, err := w.Begin(t.Context(), h.ID, call); err != nil || r.Next != spend.Forward {
					t.Fatalf("begin: %s, %v", r.Next, err)
				}
			} else {
				w.authorize(charge(6000, "again"), spend.Await)
			}
			before := w.states()
			w.Engine.Close()
			if err := os.WriteFile(name, note, 0o600); err != nil {
				t.Fatal(err)
			}
			w.start()
			after := w.states()
			if len(after[spend.Executing]) != len(before[spend.Executing]) || len(after[spend.Failed]) != len(before[spend.Failed]) {
				t.Errorf("the ledger holds %v, and held %v", after, before)
			}
			w.verified()
		})
	}
}
