package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// Whatever a request holds, its stored form reads as the request.
func TestAStoredRequestReadsAsWhatItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var r spend.Request
		draw(rt, "r", reflect.ValueOf(&r).Elem())
		r.ID = "01890000-0000-7000-8000-000000000001"
		for i := range r.Verdict.Balances {
			b := &r.Verdict.Balances[i]
			if rest, err := b.Limit.Sub(b.Used); err == nil && rapid.Bool().Draw(rt, "as computed") {
				b.Remaining = rest
			}
		}
		sameAgain(rt, &r)
	})
}

// What was written before of a request is written the same, whatever has changed
// since of what may change.
func TestWhatIsKnownOfARequestChangesNothing(t *testing.T) {
	k := newKeys("main")
	rapid.Check(t, func(rt *rapid.T) {
		var r, later spend.Request
		draw(rt, "r", reflect.ValueOf(&r).Elem())
		draw(rt, "later", reflect.ValueOf(&later).Elem())
		r.ID = "01890000-0000-7000-8000-000000000001"
		if rapid.Bool().Draw(rt, "without rules") {
			r.Verdict.Rules = nil
		}
		body := requestBody{intent: intentForm(&r.Intent)}
		for range 2 {
			want, exact, err := k.storedRequest(&r, new(requestBody))
			got, same, err2 := k.storedRequest(&r, &body)
			if (err == nil) != (err2 == nil) || exact != same || !bytes.Equal(got, want) {
				rt.Fatalf("written %x, %t, %v, want %x, %t, %v", got, same, err2, want, exact, err)
			}
			q := r.Clone() // as one that borrows it
			q.State, q.Why, q.Changed, q.Receipts, q.Told = later.State, later.Why, later.Changed, later.Receipts, later.Told
			if rapid.Bool().Draw(rt, "counted elsewhere") {
				q.Reservations = later.Reservations
			}
			if rapid.Bool().Draw(rt, "attached anew") {
				q.AttachedKey = later.AttachedKey
			}
			r = q
		}
	})
}

// A request with something in every field loses nothing: this fails for a field
// that stored.go does not know.
func TestEveryFieldOfARequestIsStored(t *testing.T) {
	var r spend.Request
	n := 0
	fillAll(reflect.ValueOf(&r).Elem(), &n)
	r.Intent.Claims.Authorization, r.Intent.LookedUp, r.Intent.Call, r.Intent.Maskable = "", time.Time{}, "", false
	stored := sameAgain(t, &r)
	got, err := newKeys("main").readRequest(r.ID, "", stored)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got  %+v\nwant %+v (%v)", got, r, err)
	}
}

func TestTheStoredFormOfAPaymentIsSmall(t *testing.T) {
	r, _ := begunExample("01890000-0000-7000-8000-000000000001")
	policies := []spend.PolicyRef{{ID: "01890000-0000-7000-8000-000000000002", Name: "default", Version: 3}}
	r.AttachedKey = strings.Repeat("0", 64)
	r.Intent.DedupKey = r.AttachedKey
	r.Verdict = spend.Verdict{Decision: spend.Allow, Code: spend.OK, At: r.Created, Policies: policies, Balances: []spend.Balance{{
		Policy: "default", PolicyID: policies[0].ID, Period: "day", Limit: spend.NewAmount("USD", 50), Used: spend.NewAmount("USD", 20), Remaining: spend.NewAmount("USD", 30),
	}}}
	r.Reservations = []spend.Reservation{{Counter: "v1/main/bud/" + string(policies[0].ID) + "/USD/day/2026-11-21", Amount: spend.NewAmount("USD", 5)}}
	stored := string(sameAgain(t, &r))
	raw := func(id spend.ID) string { b, _ := id.AppendRaw(nil); return string(b) }
	for what, times := range map[string]int{raw(policies[0].ID): 1, strings.Repeat("\x00", 32): 1, raw(r.ID): 0, "30 USD": 0, "default": 1, "v1/main": 0} {
		if n := strings.Count(stored, what); n != times {
			t.Errorf("%q stands there %d times, want %d: %q", what, n, times, stored)
		}
	}
	if len(stored) > 256 {
		t.Errorf("%d bytes: %q", len(stored), stored)
	}
}

func TestADamagedRequestIsNotRead(t *testing.T) {
	k := newKeys("main")
	r, _ := begunExample("01890000-0000-7000-8000-000000000001")
	whole, _, err := k.storedRequest(&r, new(requestBody))
	if err != nil {
		t.Fatal(err)
	}
	for sentence, stored := range map[string][]byte{
		"nothing":                {},
		"a format of the future": append([]byte{9}, whole[1:]...),
		"JSON":                   []byte("\x01{}"),
		"something behind it":    append(slices.Clone(whole), 0),
	} {
		if r, err := k.readRequest("1", "request/1", stored); err == nil {
			t.Errorf("%s: read as %+v", sentence, r)
		}
	}
	for n := range whole {
		if got, err := k.readRequest("1", "request/1", whole[:n]); err == nil {
			t.Errorf("cut short after %d of %d bytes: read as %+v", n, len(whole), got)
		}
	}
}

// A part of a request that refers to what is not there is an error, which does not
// look like one of a caller's.
func TestAPartThatCannotBeReadIsAnError(t *testing.T) {
	k := newKeys("main")
	one := []spend.PolicyRef{{ID: "p", Name: "p"}}
	of := func(n int) func(*packer) { return func(p *packer) { p.int(&n) } }
	balance := func(p *packer) { balanceFields(p, &spend.Balance{}, one) }
	for sentence, c := range map[string]struct {
		put  func(*packer)
		read func(*packer)
	}{
		"a balance of a policy that is not there":   {of(2), balance},
		"a balance of a policy below none":          {of(-1), balance},
		"a reservation with a policy out of bounds": {of(2), func(p *packer) { k.reservationFields(p, &spend.Reservation{}, one) }},
		"neither yes nor no":                        {of(1), func(p *packer) { p.flag(false) }},
		"no amount":                                 {func(p *packer) { s := "five"; text(p, &s) }, func(p *packer) { p.amount(&spend.Amount{}) }},
		"more items than bytes":                     {of(8), func(p *packer) { list(p, &[]int{}, p.int) }},
		"a number of no end":                        {func(p *packer) { p.b = bytes.Repeat([]byte{0xff}, 11) }, func(p *packer) { p.int(new(int)) }},
		"a text longer than all":                    {of(1000), func(p *packer) { p.readText() }},
		"no JSON":                                   {func(p *packer) { s := "{"; text(p, &s) }, func(p *packer) { asJSON(p, &one, false) }},
		"what remains cannot be computed": {func(p *packer) {
			of(1)(p)
			day, limit, used := "day", spend.NewAmount("USD", 1), spend.NewAmount("EUR", 1)
			text(p, &day)
			p.amount(&limit)
			p.amount(&used)
			p.flag(true)
			p.since(&time.Time{})
		}, balance},
	} {
		t.Run(sentence, func(t *testing.T) {
			written := packer{b: []byte{formatRequest}}
			c.put(&written)
			p := packer{b: written.b[1:], reading: true}
			if sentence == "a number of no end" {
				p.b = written.b
			}
			if c.read(&p); p.end() == nil {
				t.Errorf("%x was read", written.b)
			}
		})
	}
	broken, _, err := k.storedRequest(&spend.Request{Told: spend.NewAmount("USD", 5)}, new(requestBody))
	if err != nil {
		t.Fatal(err)
	}
	broken = bytes.Replace(broken, []byte("5 USD"), []byte("x USD"), 1)
	if _, err := k.readRequest("1", "request/1", broken); err == nil || errors.Is(err, spend.Invalid) {
		t.Errorf("an amount that is none: %v", err)
	}
}

func FuzzReadRequest(f *testing.F) {
	k := newKeys("main")
	var r spend.Request
	n := 0
	fillAll(reflect.ValueOf(&r).Elem(), &n)
	for _, r := range []spend.Request{{}, r} {
		stored, _, err := k.storedRequest(&r, new(requestBody))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := k.readRequest("1", "request/1", b)
		if err != nil {
			return
		}
		stored, _, err := k.storedRequest(&r, new(requestBody))
		if err != nil {
			t.Fatalf("%x is read and cannot be written: %v", b, err)
		}
		q, err := k.readRequest("1", "request/1", stored)
		if err != nil {
			t.Fatalf("%x, as which %x is written, is not read: %v", stored, b, err)
		}
		if again, _, err := k.storedRequest(&q, new(requestBody)); err != nil || !bytes.Equal(again, stored) {
			t.Fatalf("%x\nis written again as\n%x, %v", stored, again, err)
		}
	})
}

type fataler interface{ Fatalf(string, ...any) }

func sameAgain(t fataler, r *spend.Request) (stored []byte) {
	k := newKeys("main")
	stored, exact, err := k.storedRequest(r, new(requestBody))
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	got, err := k.readRequest(r.ID, "request/1", stored)
	if err != nil {
		t.Fatalf("read %x: %v", stored, err)
	}
	want := r.Clone()
	want.Intent.Claims.Authorization, want.Intent.LookedUp, want.Intent.Call, want.Intent.Maskable = "", time.Time{}, "", false
	if !exact { // these go through JSON
		for _, v := range []any{&want.Verdict.Rules, &want.Recheck, &want.Approval, &want.Anomalies, &want.Again} {
			b, err := json.Marshal(v)
			if err == nil {
				reflect.ValueOf(v).Elem().SetZero()
				err = json.Unmarshal(b, v)
			}
			if err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
	inUTC(reflect.ValueOf(&want).Elem())
	inUTC(reflect.ValueOf(&got).Elem())
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("a field is not stored as it is:\nread %+v\nwant %+v", got, want)
	}
	if again, _, _ := k.storedRequest(&got, new(requestBody)); exact && string(again) != string(stored) {
		t.Fatalf("%x\nreads as one that is stored as %x", stored, again)
	}
	return stored
}

// inUTC takes the zones, which are not stored, out of the times under v.
func inUTC(v reflect.Value) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = at.UTC()
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			inUTC(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			inUTC(v.Index(i))
		}
	case reflect.Struct:
		if _, ok := v.Addr().Interface().(*spend.Amount); ok {
			return
		}
		for i := range v.NumField() {
			inUTC(v.Field(i))
		}
	}
}

// draw fills v with anything.
func draw(rt *rapid.T, name string, v reflect.Value) {
	switch at := v.Addr().Interface().(type) {
	case *spend.Amount:
		*at = rapid.SampledFrom([]spend.Amount{
			{}, spend.NewAmount("USD", 0), spend.NewAmount("USD", 50), spend.NewAmount("USD", -3), spend.NewAmount("EUR", 7),
			spend.Unlimited("USD"), spend.NewAmount(`odd"unit`, 7), spend.NewAmount("eip155:1/erc20:0xA0b8", 1<<62),
		}).Draw(rt, name)
		return
	case *time.Time:
		at0 := time.Unix(1795358741, 978231918).UTC()
		*at = rapid.SampledFrom([]time.Time{
			{}, at0, at0.Add(time.Nanosecond), at0.Add(-time.Hour), at0.AddDate(0, 1, 0), time.Unix(0, 0).UTC(),
			at0.In(time.FixedZone("", 3600)), at0.In(time.FixedZone("", -3600)), at0,
			rapid.SampledFrom([]time.Time{at0, at0, at0, at0.AddDate(1000, 0, 0), at0.AddDate(-1000, 0, 0)}).Draw(rt, name+" far"),
		}).Draw(rt, name)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if rapid.Bool().Draw(rt, name+" set") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(rt, name, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 2).Draw(rt, name+" items"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				draw(rt, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			draw(rt, name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{
			"", "x", "default", "01890000", "v1/main/bud/01890000/USD/day/2026-11-21", "v1/main/bud/x/calls", "ü<&>\u2028", "a\"b\\c\n", "bad\xffbyte",
		}).Draw(rt, name))
	case reflect.Int:
		v.SetInt(rapid.Int64Range(-5, 5).Draw(rt, name))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(rt, name))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, name))
	default:
		panic("what is a " + v.Type().String())
	}
}

// fillAll gives everything under v a value of its own.
func fillAll(v reflect.Value, n *int) {
	*n++
	switch at := v.Addr().Interface().(type) {
	case *spend.Amount:
		*at = spend.NewAmount("USD", int64(*n))
		return
	case *time.Time:
		*at = time.Unix(1795358741, int64(*n)).UTC()
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillAll(v.Index(0), n)
		fillAll(v.Index(1), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(v.Field(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Bool:
		v.SetBool(true)
	}
}
