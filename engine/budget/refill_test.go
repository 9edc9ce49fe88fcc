package budget

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

func refill(t fataler, a Account, tx store.Tx, now time.Time, facts ...Fact) []Open {
	t.Helper()
	open, err := a.Refill(tx, now, slices.Values(facts))
	if err != nil {
		t.Fatalf("refill: %v", err)
	}
	return open
}

func TestRefillCountsWhatTheLedgerKnows(t *testing.T) {
	const day, month, gauge = "v1/main/bud/p1/USD/day/2026-11-21", "v1/main/bud/p1/USD/month/2026-11", "v1/main/bud/p1/USD/exposure"
	all := spend.Unlimited("USD")
	tests := map[string]struct {
		fact                 Fact
		day, month, exposure spend.Amount
		counters             []string // of the reservations that stay open; nil if posted
	}{
		"open today":                {Fact{At: noon, Amount: usd(5)}, usd(5), usd(5), usd(0), []string{day, month}},
		"posted today":              {Fact{At: noon, Amount: usd(5), Posted: true}, usd(5), usd(5), usd(0), nil},
		"open since yesterday":      {Fact{At: noon.AddDate(0, 0, -1), Amount: usd(5)}, usd(0), usd(5), usd(0), []string{month}},
		"posted yesterday":          {Fact{At: noon.AddDate(0, 0, -1), Amount: usd(5), Posted: true}, usd(0), usd(5), usd(0), nil},
		"open since last month":     {Fact{At: noon.AddDate(0, -1, 0), Amount: usd(5)}, usd(0), usd(0), usd(0), []string{}},
		"an allowance of last year": {Fact{At: noon.AddDate(-1, 0, 0), Amount: usd(5), Exposure: usd(5), Posted: true}, usd(0), usd(0), usd(5), nil},
		"an open allowance":         {Fact{At: noon, Amount: all, Exposure: all}, all, all, all, []string{day, month, gauge}},
		"from a clock set back":     {Fact{At: noon.AddDate(0, 1, 1), Amount: usd(5)}, usd(5), usd(5), usd(0), []string{day, month}},
		"not this policy's any more": {
			Fact{At: noon}, usd(0), usd(0), usd(0), []string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, tx := account(), memory{}
			reserve(t, a, tx, noon, usd(1000)) // of an earlier life; forgotten
			expose(t, a, tx, all)
			tt.fact.Request = "r1"
			open := refill(t, a, tx, noon, tt.fact)
			if s := read(t, a, tx, noon); s.Day != tt.day || s.Month != tt.month || s.Exposure != tt.exposure {
				t.Errorf("day %s, month %s, exposure %s", s.Day, s.Month, s.Exposure)
			}
			if tt.counters == nil {
				if len(open) > 0 {
					t.Errorf("%+v is still open", open)
				}
				return
			}
			if len(open) != 1 || open[0].Request != "r1" {
				t.Fatalf("%+v is still open", open)
			}
			got := []string{}
			for _, r := range open[0].Reservations {
				got = append(got, r.Counter)
				if !a.Owns(r) {
					t.Errorf("%s is not the account's own", r.Counter)
				}
			}
			if !slices.Equal(got, tt.counters) {
				t.Errorf("it is reserved in %q, want %q", got, tt.counters)
			}
			if err := Void(tx, open[0].Reservations); err != nil {
				t.Error(err)
			}
			if s := read(t, a, tx, noon); s.Day != usd(0) || s.Month != usd(0) || s.Exposure != usd(0) {
				t.Errorf("voided, it leaves day %s, month %s, exposure %s", s.Day, s.Month, s.Exposure)
			}
		})
	}
}

func TestRefillGathersTheFactsOfOneRequest(t *testing.T) {
	a, tx := account(), memory{}
	f := Fact{Request: "r1", At: noon, Amount: usd(5)}
	open := refill(t, a, tx, noon, f, f, Fact{Request: "r2", At: noon, Amount: usd(7)})
	if len(open) != 2 || len(open[0].Reservations) != 4 || len(open[1].Reservations) != 2 {
		t.Fatalf("%+v is open", open)
	}
	if err := Void(tx, open[0].Reservations); err != nil {
		t.Fatal(err)
	}
	if got := read(t, a, tx, noon).Day; got != usd(7) {
		t.Errorf("the other holds %s", got)
	}
}

func TestOwnsTellsAccountsApart(t *testing.T) {
	a := account()
	euros := a
	euros.Unit = "EUR"
	other := a
	other.Policy = "p11"
	tx := memory{}
	for name, tt := range map[string]struct {
		of   Account
		unit string
		want bool
	}{
		"its own":                 {a, "USD", true},
		"its own of another unit": {euros, "EUR", true},
		"those of another policy": {other, "USD", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range reserve(t, tt.of, tx, noon, spend.NewAmount(tt.unit, 1)) {
				if got := a.Owns(r); got != tt.want {
					t.Errorf("Owns(%s) = %v", r.Counter, got)
				}
			}
		})
	}
}

// A policy that follows the sun from Tokyo to Los Angeles counts there as if it
// had always been there, today and on the days that follow.
func TestRefillAfterAChangeOfZone(t *testing.T) {
	tokyo, west, tx := account(), account(), memory{}
	tokyo.Zone, west.Zone = zone(t, "Asia/Tokyo"), zone(t, "America/Los_Angeles")
	now := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC) // 1 December in Tokyo, 30 November out west
	rs := reserve(t, tokyo, tx, now, usd(40))
	if err := Post(tx, rs); err != nil {
		t.Fatal(err)
	}
	refill(t, west, tx, now, Fact{Request: "r1", At: now, Amount: usd(40), Posted: true})
	if s := read(t, west, tx, now); s.Day != usd(40) || s.Month != usd(40) {
		t.Errorf("today: day %s, month %s", s.Day, s.Month)
	}
	if s := read(t, west, tx, now.AddDate(0, 0, 1)); s.Day != usd(0) || s.Month != usd(0) {
		t.Errorf("tomorrow begins with day %s, month %s", s.Day, s.Month)
	}
}

func TestRefillKeepsTheGreaterVelocity(t *testing.T) {
	a, tx := account(), memory{}
	for range 3 { // of which the ledger knows one
		if err := a.Count(tx, noon.Add(-10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	refill(t, a, tx, noon,
		Fact{Request: "r1", At: noon.Add(-10 * time.Second)},
		Fact{Request: "r3", At: noon.Add(-30 * time.Minute)},
		Fact{Request: "r2", At: noon.Add(-5 * time.Second)},
		Fact{Request: "r4", At: noon.AddDate(0, 0, -3)},
	)
	// The hour's ring has r1, r2 in one bucket with the three counted calls.
	if s := read(t, a, tx, noon); s.Minute != 4 || s.Hour != 4 {
		t.Errorf("counts %d a minute, %d an hour, want 4 and 4", s.Minute, s.Hour)
	}
	before := tx.clone()
	refill(t, a, tx, noon, Fact{Request: "r3", At: noon.Add(-30 * time.Minute)})
	for _, step := range []time.Duration{perSecond, perMinuteOfHour} {
		if key := a.ringKey(step); string(before[key]) != string(tx[key]) {
			t.Errorf("%s went from %x to %x", key, before[key], tx[key])
		}
	}
}

func TestRefillRefusesWhatItCannotCount(t *testing.T) {
	for name, f := range map[string]Fact{
		"another unit":        {At: noon, Amount: spend.NewAmount("EUR", 1)},
		"a negative amount":   {At: noon, Amount: usd(-1)},
		"a negative exposure": {At: noon, Exposure: usd(-1)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := account().Refill(memory{}, noon, slices.Values([]Fact{f})); !errors.Is(err, spend.Invalid) {
				t.Errorf("got %v, want Invalid", err)
			}
		})
	}
}

// An account that is refilled from its own history holds what it held before,
// and whatever was open can still be ended, exactly once.
func TestRefillIsFaithful(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, tx, clock := account(), memory{}, noon
		var facts []Fact
		for i := range rapid.IntRange(0, 20).Draw(t, "payments") {
			clock = clock.Add(time.Duration(rapid.Int64Range(0, int64(8*time.Hour)).Draw(t, "wait")))
			f := Fact{
				Request: spend.ID(fmt.Sprint("r", i)), At: clock, Amount: usd(rapid.Int64Range(0, 1000).Draw(t, "amount")),
				Posted: rapid.Bool().Draw(t, "posted"),
			}
			rs := reserve(t, a, tx, clock, f.Amount)
			if rapid.Bool().Draw(t, "exposes") {
				f.Exposure = usd(rapid.Int64Range(0, 1000).Draw(t, "exposure"))
				rs = append(rs, expose(t, a, tx, f.Exposure)...)
			}
			if err := a.Count(tx, clock); err != nil {
				t.Fatal(err)
			}
			if f.Posted {
				if err := Post(tx, rs); err != nil {
					t.Fatal(err)
				}
			}
			facts = append(facts, f)
		}
		want := read(t, a, tx, clock)
		facts = rapid.Permutation(facts).Draw(t, "order")
		open := refill(t, a, tx, clock, facts...)
		if got := read(t, a, tx, clock); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		fresh := memory{}
		refill(t, a, fresh, clock, facts...)
		if got := read(t, a, fresh, clock); !reflect.DeepEqual(got, want) {
			t.Fatalf("in an empty store\ngot  %+v\nwant %+v", got, want)
		}
		for _, o := range open {
			end := Void
			if rapid.Bool().Draw(t, "post") {
				end = Post
			}
			if err := end(tx, o.Reservations); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{a.dayKey(a.windowsAt(clock)), a.monthKey(a.windowsAt(clock)), a.exposureKey()} {
			c, err := readCounter(tx, key, a.Unit)
			if err != nil || c.reserved.finite.Sign() != 0 {
				t.Fatalf("%s keeps %v reserved: %v", key, c.reserved, err)
			}
		}
	})
}
