package budget

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

const usdc = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"

func TestKeys(t *testing.T) {
	a, tx := account(), memory{}
	reserve(t, a, tx, noon, usd(5))
	expose(t, a, tx, usd(6))
	if err := a.Count(tx, noon); err != nil {
		t.Fatal(err)
	}
	coins := Account{Prefix: a.Prefix, Policy: "p2", Unit: usdc}
	reserve(t, coins, tx, noon, spend.NewAmount(usdc, 7))
	want := map[string]string{
		"v1/main/bud/p1/USD/day/2026-11-21": "\x015 0",
		"v1/main/bud/p1/USD/month/2026-11":  "\x015 0",
		"v1/main/bud/p1/USD/exposure":       "\x016 0",
		"v1/main/bud/p2/eip155%3A1%2Ferc20%3A0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48/day/2026-11-21": "\x017 0",
		"v1/main/bud/p2/eip155%3A1%2Ferc20%3A0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48/month/2026-11":  "\x017 0",
	}
	for key, value := range tx {
		if strings.Contains(key, "/calls/") {
			continue
		}
		if want[key] != string(value) {
			t.Errorf("%s holds %q, want %q", key, value, want[key])
		}
		delete(want, key)
	}
	for key := range want {
		t.Errorf("%s is missing", key)
	}
	for _, key := range []string{"v1/main/bud/p1/calls/minute", "v1/main/bud/p1/calls/hour"} {
		if len(tx[key]) < 62 {
			t.Errorf("%s holds %q", key, tx[key])
		}
	}
}

func TestAmountsThatCannotBeReserved(t *testing.T) {
	for name, amount := range map[string]spend.Amount{
		"another unit": spend.NewAmount("EUR", 1),
		"no amount":    {},
		"a negative":   usd(-1),
	} {
		t.Run(name, func(t *testing.T) {
			tx := memory{}
			if _, err := account().Reserve(tx, noon, amount); !errors.Is(err, spend.Invalid) {
				t.Errorf("Reserve = %v, want Invalid", err)
			}
			if _, err := account().Expose(tx, amount); !errors.Is(err, spend.Invalid) {
				t.Errorf("Expose = %v, want Invalid", err)
			}
			if len(tx) > 0 {
				t.Errorf("it left %v", tx)
			}
		})
	}
}

func TestEndingAReservationTwiceIsAnError(t *testing.T) {
	ends := map[string]func(memory, []spend.Reservation) error{
		"post": func(tx memory, rs []spend.Reservation) error { return Post(tx, rs) },
		"void": func(tx memory, rs []spend.Reservation) error { return Void(tx, rs) },
	}
	for first, end := range ends {
		for second, again := range ends {
			for what, amount := range map[string]spend.Amount{"five": usd(5), "unlimited": spend.Unlimited("USD")} {
				t.Run(first+" then "+second+" "+what, func(t *testing.T) {
					a, tx := account(), memory{}
					rs := expose(t, a, tx, amount)
					if err := end(tx, rs); err != nil {
						t.Fatal(err)
					}
					before := string(tx[rs[0].Counter])
					if err := again(tx, rs); !errors.Is(err, ErrNotReserved) {
						t.Errorf("got %v, want ErrNotReserved", err)
					}
					if after := string(tx[rs[0].Counter]); after != before {
						t.Errorf("%q became %q", before, after)
					}
				})
			}
		}
	}
	if err := Void(memory{}, []spend.Reservation{{Counter: "none", Amount: usd(1)}}); !errors.Is(err, ErrNotReserved) {
		t.Errorf("void of what was never reserved: %v", err)
	}
	if err := Post(memory{}, []spend.Reservation{{Counter: "none", Amount: usd(-1)}}); !errors.Is(err, ErrNotReserved) {
		t.Errorf("post of less than nothing: %v", err)
	}
}

func TestUnlimitedAmountsComeAndGo(t *testing.T) {
	a, tx := account(), memory{}
	all := spend.Unlimited("USD")
	exposure := func() spend.Amount { return read(t, a, tx, noon).Exposure }
	first, five, second := expose(t, a, tx, all), expose(t, a, tx, usd(5)), expose(t, a, tx, all)
	if got := string(tx[a.exposureKey()]); got != "\x015+2u 0" {
		t.Errorf("the gauge reads %q", got)
	}
	for _, err := range []error{Void(tx, first), Post(tx, second), Post(tx, five)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := exposure(); got != all {
		t.Errorf("one that is left weighs %s", got)
	}
	if err := Release(tx, second); err != nil {
		t.Fatal(err)
	}
	if got := exposure(); got != usd(5) {
		t.Errorf("after its release %s are left", got)
	}
	if err := Release(tx, second); !errors.Is(err, ErrNotReserved) {
		t.Errorf("released twice: %v", err)
	}
	if err := Release(tx, five); err != nil {
		t.Fatal(err)
	}
	if got := exposure(); got != usd(0) {
		t.Errorf("at the end %s are left", got)
	}
}

func TestAdjust(t *testing.T) {
	tests := map[string]struct {
		diff spend.Amount
		want spend.Amount // of the day, after 100 were posted; zero for Invalid
	}{
		"more was spent":              {usd(7), usd(107)},
		"less was spent":              {usd(-30), usd(70)},
		"nought changes nothing":      {usd(0), usd(100)},
		"no amount changes nothing":   {spend.Amount{}, usd(100)},
		"it may fall below nought":    {usd(-101), usd(-1)},
		"another unit is an error":    {spend.NewAmount("EUR", 1), spend.Amount{}},
		"no bound at all is an error": {spend.Unlimited("USD"), spend.Amount{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, tx := account(), memory{}
			rs := reserve(t, a, tx, noon, usd(100))
			if err := Post(tx, rs); err != nil {
				t.Fatal(err)
			}
			err := Adjust(tx, rs, func(r spend.Reservation) (spend.Amount, error) {
				if !slices.Contains(rs, r) {
					t.Errorf("asked about %+v", r)
				}
				return tt.diff, nil
			})
			if tt.want.IsZero() {
				if !errors.Is(err, spend.Invalid) {
					t.Errorf("Adjust = %v, want Invalid", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := read(t, a, tx, noon); s.Day != tt.want || s.Month != tt.want {
				t.Errorf("day %s, month %s, want %s", s.Day, s.Month, tt.want)
			}
		})
	}
	failed := errors.New("no difference")
	err := Adjust(memory{}, []spend.Reservation{{Counter: "c", Amount: usd(1)}}, func(spend.Reservation) (spend.Amount, error) { return usd(1), failed })
	if !errors.Is(err, failed) {
		t.Errorf("Adjust = %v, want the error of diff", err)
	}
}

func TestADamagedCounterIsAnError(t *testing.T) {
	huge := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for name, value := range map[string]string{
		"an empty value":               "",
		"another format":               "\x025 0",
		"one number":                   "\x015",
		"a word":                       "\x01five 0",
		"a negative reservation":       "\x01-5 0",
		"unlimited without a count":    "\x01unlimited 0",
		"a count that is none":         "\x015+xu 0",
		"a count of nought":            "\x015+0u 0",
		"three numbers":                "\x015 0 0",
		"a total that cannot be added": "\x01" + huge + " " + huge,
	} {
		t.Run(name, func(t *testing.T) {
			a := account()
			tx := memory{a.exposureKey(): []byte(value)}
			if _, err := a.Read(tx, noon, 0, 0); err == nil {
				t.Error("it was read")
			}
			if _, err := a.Expose(tx, usd(1)); err == nil {
				t.Error("it was reserved in")
			}
			if got := string(tx[a.exposureKey()]); got != value {
				t.Errorf("it became %q", got)
			}
		})
	}
	a := account()
	if _, err := a.Read(broken{memory{}, a.exposureKey()}, noon, 0, 0); !errors.Is(err, errDisk) {
		t.Errorf("read from a broken store: %v", err)
	}
}

func TestACounterNeverHoldsATotalThatNobodyCanRead(t *testing.T) {
	a, tx := account(), memory{}
	huge, err := spend.ParseAmount("USD", "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	if err != nil {
		t.Fatal(err)
	}
	rs := expose(t, a, tx, huge)
	if err := Post(tx, rs); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Expose(tx, usd(1)); !errors.Is(err, spend.Invalid) {
		t.Errorf("one more: %v", err)
	}
	if got := read(t, a, tx, noon).Exposure; got != huge {
		t.Errorf("the gauge reads %s", got)
	}
}

// Whatever is reserved, posted, voided and adjusted, in whatever order and over
// several days, each counter holds the sum of what is reserved in its window and
// of what was posted there.
func TestCountersAddUp(t *testing.T) {
	type held struct {
		rs     []spend.Reservation
		day    string
		amount int64
	}
	rapid.Check(t, func(t *rapid.T) {
		a, tx, clock := account(), memory{}, noon
		var open []held
		reserved, posted := map[string]int64{}, map[string]int64{}
		for range rapid.IntRange(1, 40).Draw(t, "moves") {
			clock = clock.AddDate(0, 0, rapid.SampledFrom([]int{0, 0, 1, 9}).Draw(t, "days"))
			day := clock.Format("2006-01-02")
			if len(open) == 0 || rapid.Bool().Draw(t, "reserve") {
				n := rapid.Int64Range(0, 1<<40).Draw(t, "amount")
				open = append(open, held{reserve(t, a, tx, clock, usd(n)), day, n})
				reserved[day] += n
			} else {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				h := open[i]
				open = slices.Delete(open, i, i+1)
				end, diff := Void, int64(0)
				reserved[h.day] -= h.amount
				if rapid.Bool().Draw(t, "post") {
					end, diff = Post, rapid.Int64Range(-10, 10).Draw(t, "difference")
					posted[h.day] += h.amount + diff
				}
				if err := end(tx, h.rs); err != nil {
					t.Fatal(err)
				}
				if err := Adjust(tx, h.rs, func(spend.Reservation) (spend.Amount, error) { return usd(diff), nil }); err != nil {
					t.Fatal(err)
				}
			}
			var month int64
			for d := range reserved {
				if d[:7] == day[:7] {
					month += reserved[d] + posted[d]
				}
			}
			s := read(t, a, tx, clock)
			if s.Day != usd(reserved[day]+posted[day]) || s.Month != usd(month) {
				t.Fatalf("on %s day %s, month %s, want %d, %d", day, s.Day, s.Month, reserved[day]+posted[day], month)
			}
		}
	})
}

func BenchmarkPayment(b *testing.B) {
	a, tx := account(), memory{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Read(tx, noon, 10, 100); err != nil {
			b.Fatal(err)
		}
		rs, err := a.Reserve(tx, noon, usd(100))
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Count(tx, noon); err != nil {
			b.Fatal(err)
		}
		if err := Post(tx, rs); err != nil {
			b.Fatal(err)
		}
	}
}
