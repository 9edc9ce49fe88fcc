package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// BenchmarkDecisions is how many payments a second are decided and finished,
// durably on disk, under one policy that all of them count against: by the
// engine, whose committer takes the actions of many callers into one commit, and
// by a transaction of its own for every action, with the same reads and writes
// and none of the engine's work. Both take turns, so that what the machine does
// meanwhile concerns both.
func BenchmarkDecisions(b *testing.B) {
	const rounds, during = 3, 400 * time.Millisecond
	per := recordDecision(b)
	callers := []int{1, 16, 64, 256}
	ours, naive := make([][]run, len(callers)), make([][]run, len(callers))
	for range rounds {
		for i, n := range callers {
			ours[i] = append(ours[i], benchEngine(b, n, during))
			naive[i] = append(naive[i], per.benchTransactions(b, n, during))
		}
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(os.Stdout, "\nmedians of %d rounds of %s; a decision is Authorize and Finish: %d keys and %d bytes written\n", rounds, during, per.keys(), per.bytes())
	fmt.Fprintln(t, "callers\tengine 1/s\tp50 µs\tp99 µs\tCPU µs each\tcommits each\ttransactions 1/s\tp50 µs\tp99 µs\tratio\t")
	for i, n := range callers {
		o, v := medianRun(ours[i]), medianRun(naive[i])
		var ratios []float64
		for k := range ours[i] {
			ratios = append(ratios, ours[i][k].rate/naive[i][k].rate)
		}
		ratio := mid(ratios)
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.3f\t%.0f\t%.0f\t%.0f\t%.1f\t\n", n, o.rate, o.p50, o.p99, o.cpu, o.commits, v.rate, v.p50, v.p99, ratio)
		b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
			b.ReportMetric(0, "ns/op") // it was measured above
			b.ReportMetric(o.rate, "decisions/s")
			b.ReportMetric(o.p50, "p50-µs")
			b.ReportMetric(o.p99, "p99-µs")
			b.ReportMetric(o.cpu, "cpu-µs")
			b.ReportMetric(o.commits, "commits/decision")
			b.ReportMetric(ratio, "x-transactions")
		})
	}
	t.Flush()
}

// run is what one measurement gave.
type run struct {
	rate, p50, p99 float64 // decisions a second; microseconds for one
	cpu            float64 // microseconds of this process for each decision, the caller's share included
	commits        float64 // for each decision
}

func medianRun(rs []run) run {
	of := func(field func(run) float64) float64 {
		var all []float64
		for _, r := range rs {
			all = append(all, field(r))
		}
		return mid(all)
	}
	return run{
		rate: of(func(r run) float64 { return r.rate }), p50: of(func(r run) float64 { return r.p50 }),
		p99: of(func(r run) float64 { return r.p99 }), cpu: of(func(r run) float64 { return r.cpu }),
		commits: of(func(r run) float64 { return r.commits }),
	}
}

func mid(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// hot is a policy with every counter that a policy can have.
func hot() policy.Policy {
	often := 1 << 30
	return policy.Policy{
		Name: "hot", Unit: "USD", Active: true, PerMinute: &often, PerHour: &often,
		MaxSingle: usd(10000), Daily: usd(1 << 50), Monthly: usd(1 << 50),
	}
}

// openBench opens an engine on st with the hot policy.
func openBench(b *testing.B, st store.Store) *engine.Engine {
	b.Helper()
	e, err := engine.Open(context.Background(), engine.Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := e.CreatePolicy(context.Background(), hot()); err != nil {
		b.Fatal(err)
	}
	return e
}

// decide takes the nth payment from its intent to its receipt.
func decide(e *engine.Engine, n uint64) error {
	r, err := e.Authorize(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Operation: "payment_intents.create", Network: "stripe", Mode: spend.Test,
		DedupKey: fmt.Sprintf("%064x", n), Fingerprint: fmt.Sprintf("%064x", ^n),
		Legs: []spend.Leg{{Kind: spend.Charge, Amount: usd(2000)}},
	})
	if err != nil || r.Next != spend.Forward {
		return fmt.Errorf("payment %d: %s: %w", n, r.Next, err)
	}
	return e.Finish(context.Background(), r.Request.ID, spend.Outcome{
		Result: spend.Happened, Reply: stripeReply(n),
		Receipt: spend.Receipt{
			Source: spend.FromWire, TransactionID: fmt.Sprintf("pi_%024d", n), Status: "succeeded", Amount: usd(2000),
			RequestID: "req_benchmarkSuite", HTTPStatus: 200,
		},
	})
}

// stripeReply is a payment intent as Stripe renders one, 2.2 KB with its head.
func stripeReply(n uint64) []byte {
	return fmt.Appendf(nil, `HTTP/1.1 200 OK
Content-Type: application/json
Idempotency-Key: outgo_%032x
Original-Request: req_%014x
Request-Id: req_%014x
Stripe-Version: 2025-09-30.clover

{
  "id": "pi_%024d",
  "object": "payment_intent",
  "amount": 2000,
  "amount_capturable": 0,
  "amount_details": {
    "tip": {}
  },
  "amount_received": 2000,
  "application": null,
  "application_fee_amount": null,
  "automatic_payment_methods": {
    "allow_redirects": "never",
    "enabled": true
  },
  "canceled_at": null,
  "cancellation_reason": null,
  "capture_method": "automatic_async",
  "client_secret": "pi_%024d_secret_%025d",
  "confirmation_method": "automatic",
  "created": 1795262400,
  "currency": "usd",
  "customer": "cus_NffrFeUfNV2Hib",
  "description": "API credits",
  "excluded_payment_method_types": null,
  "last_payment_error": null,
  "latest_charge": "ch_%024d",
  "livemode": false,
  "metadata": {
    "order": "%d"
  },
  "next_action": null,
  "on_behalf_of": null,
  "payment_method": "pm_%024d",
  "payment_method_configuration_details": {
    "id": "pmc_1MwptELkdIwHu7ixO8QXmzAg",
    "parent": null
  },
  "payment_method_options": {
    "card": {
      "installments": null,
      "mandate_options": null,
      "network": null,
      "request_three_d_secure": "automatic"
    },
    "link": {
      "persistent_token": null
    }
  },
  "payment_method_types": [
    "card",
    "link"
  ],
  "processing": null,
  "receipt_email": "ops@example.com",
  "review": null,
  "setup_future_usage": null,
  "shipping": null,
  "source": null,
  "statement_descriptor": null,
  "statement_descriptor_suffix": null,
  "status": "succeeded",
  "transfer_data": null,
  "transfer_group": null
}
`, n*0x9e3779b97f4a7c15, n*0xbf58476d1ce4e5b9>>8, n*0x94d049bb133111eb>>8, n, n, n*7919, n*31, n, n*17)
}

func benchEngine(b *testing.B, callers int, during time.Duration) run {
	b.Helper()
	st, closeStore := onDisk(b)
	defer closeStore()
	e := openBench(b, st)
	defer e.Close()
	before := e.Stats()
	r, done := measure(b, callers, during, func(n uint64) error { return decide(e, n) })
	r.commits = float64(e.Stats().Batches-before.Batches) / float64(done)
	return r
}

// onDisk opens a store that leaves nothing behind.
func onDisk(b *testing.B) (st store.Store, end func()) {
	b.Helper()
	dir, err := os.MkdirTemp(b.TempDir(), "ledger")
	if err != nil {
		b.Fatal(err)
	}
	st, err = badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return st, func() {
		if err := errors.Join(st.Close(), os.RemoveAll(dir)); err != nil {
			b.Error(err)
		}
	}
}

// measure has callers decide one payment after another for a while.
func measure(b *testing.B, callers int, during time.Duration, one func(n uint64) error) (r run, done int) {
	b.Helper()
	var over atomic.Bool
	var number atomic.Uint64
	var wg sync.WaitGroup
	took, errs := make([][]time.Duration, callers), make([]error, callers)
	began, spent := time.Now(), cpuTime()
	for i := range callers {
		wg.Go(func() {
			for !over.Load() && errs[i] == nil {
				start := time.Now()
				errs[i] = one(number.Add(1))
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	time.Sleep(during)
	over.Store(true)
	wg.Wait()
	elapsed, spent := time.Since(began), cpuTime()-spent
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return run{rate: float64(len(all)) / elapsed.Seconds(), p50: micros(all[len(all)/2]), p99: micros(all[len(all)*99/100]), cpu: micros(spent) / float64(len(all))}, len(all)
}

// A recorded is what the actions of one decision read and write.
type recorded struct{ actions []recordedAction }

type recordedAction struct {
	reads  []string
	writes []store.Entry // in order of the commit; a nil value deletes
}

func (r recorded) keys() (n int) {
	for _, a := range r.actions {
		n += len(a.writes)
	}
	return n
}

func (r recorded) bytes() (n int) {
	for _, a := range r.actions {
		for _, w := range a.writes {
			n += len(w.Key) + len(w.Value)
		}
	}
	return n
}

// recordDecision watches a decision at the store. Keys that an earlier decision
// has used too are those that all decisions share.
func recordDecision(b *testing.B) recorded {
	b.Helper()
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // it is in memory
	rec := &recorder{Store: st, shared: map[string]bool{}}
	e := openBench(b, rec)
	defer e.Close()
	for n := range uint64(2) {
		for _, a := range rec.actions {
			for _, w := range a.writes {
				rec.shared[w.Key] = true
			}
		}
		rec.actions = nil
		if err := decide(e, n); err != nil {
			b.Fatal(err)
		}
	}
	for _, a := range rec.actions {
		for i := range a.writes {
			if !rec.shared[a.writes[i].Key] {
				a.writes[i].Key += own
			}
		}
		for i := range a.reads {
			if !rec.shared[a.reads[i]] {
				a.reads[i] += own
			}
		}
	}
	return rec.recorded
}

// own marks, at its end, a key that each decision has for itself.
const own = "\x00"

// recorder is a store that notes what is read and written.
type recorder struct {
	store.Store
	recorded
	shared map[string]bool
}

func (r *recorder) Update(ctx context.Context, fn func(store.Tx) error) error {
	return r.Store.Update(ctx, func(tx store.Tx) error {
		t := recordingTx{Tx: tx, action: &recordedAction{}}
		err := fn(t)
		r.actions = append(r.actions, *t.action)
		return err
	})
}

type recordingTx struct {
	store.Tx
	action *recordedAction
}

func (t recordingTx) Get(key string) ([]byte, error) {
	t.action.reads = append(t.action.reads, key)
	return t.Tx.Get(key)
}

func (t recordingTx) Put(key string, value []byte) error {
	t.action.writes = append(t.action.writes, store.Entry{Key: key, Value: slices.Clone(value)})
	return t.Tx.Put(key, value)
}

func (t recordingTx) Delete(key string) error {
	t.action.writes = append(t.action.writes, store.Entry{Key: key})
	return t.Tx.Delete(key)
}

// benchTransactions reads and writes what the engine does, with a transaction
// for each action.
func (r recorded) benchTransactions(b *testing.B, callers int, during time.Duration) run {
	b.Helper()
	st, closeStore := onDisk(b)
	defer closeStore()
	res, _ := measure(b, callers, during, func(n uint64) error {
		for _, a := range r.actions {
			if err := a.commit(st, fmt.Sprintf("/%d", n)); err != nil {
				return err
			}
		}
		return nil
	})
	return res
}

// commit does the action again for the decision that suffix names. A store that
// gives up on a contended transaction is asked again, as a caller would.
func (a recordedAction) commit(st store.Store, suffix string) error {
	name := func(key string) string {
		if shared, is := strings.CutSuffix(key, own); is {
			return shared + suffix
		}
		return key
	}
	for {
		err := st.Update(context.Background(), func(tx store.Tx) error {
			for _, key := range a.reads {
				if _, err := tx.Get(name(key)); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			for _, w := range a.writes {
				write := tx.Delete
				if w.Value != nil {
					write = func(key string) error { return tx.Put(key, w.Value) }
				}
				if err := write(name(w.Key)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), "conflicts") {
			return err
		}
	}
}
