package engine

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// Whatever a request holds, its stored form reads as the long JSON form does, and
// as the request itself where it says so.
func TestAStoredRequestReadsAsWhatItWas(t *testing.T) {
	short := 0
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
		if stored := sameAsLong(rt, &r); stored[0] == formatShort {
			short++
		}
	})
	if short == 0 {
		t.Error("no request had the short form")
	}
}

// A request with something in every field has the short form and loses nothing:
// this fails for a field that shorten.go does not know.
func TestEveryFieldOfARequestIsStored(t *testing.T) {
	var r spend.Request
	n := 0
	fillAll(reflect.ValueOf(&r).Elem(), &n)
	r.Intent.Claims.Authorization, r.Intent.LookedUp = "", time.Time{}
	stored := sameAsLong(t, &r)
	if stored[0] != formatShort {
		t.Fatalf("the form is %d", stored[0])
	}
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
	stored := string(sameAsLong(t, &r))
	for what, times := range map[string]int{string(policies[0].ID): 1, r.Intent.DedupKey: 1, string(r.ID): 0, "30 USD": 0, `"of":0`: 2} {
		if n := strings.Count(stored, what); n != times {
			t.Errorf("%s stands there %d times, want %d: %s", what, n, times, stored)
		}
	}
}

func TestADamagedRequestIsNotRead(t *testing.T) {
	k := newKeys("main")
	for sentence, stored := range map[string]string{
		"nothing":                         "",
		"a format of the future":          "\x09{}",
		"cut short":                       "\x02{\"seq\":1",
		"a balance of an unknown policy":  `{"seq":1,"verdict":{"balances":[{"of":0}]}}`,
		"a counter of an unknown policy":  `{"seq":1,"reservations":[{"of":-1,"counter":"x","amount":"5 USD"}]}`,
		"what remains cannot be computed": `{"seq":1,"verdict":{"balances":[{"limit":"1 USD","used":"1 EUR"}]}}`,
	} {
		if strings.HasPrefix(stored, "{") {
			stored = string(rune(formatShort)) + stored
		}
		if r, err := k.readRequest("1", "request/1", []byte(stored)); err == nil {
			t.Errorf("%s: read as %+v", sentence, r)
		}
	}
}

type fataler interface{ Fatalf(string, ...any) }

func sameAsLong(t fataler, r *spend.Request) (stored []byte) {
	k := newKeys("main")
	stored, exact, err := k.storedRequest(r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if !json.Valid(stored[1:]) {
		t.Fatalf("no JSON: %s", stored[1:])
	}
	long, err := encodeJSON("", r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	got, err := k.readRequest(r.ID, "request/1", stored)
	if err != nil {
		t.Fatalf("read %s: %v", stored, err)
	}
	want, err := k.readRequest(r.ID, "request/1", long)
	if err != nil {
		t.Fatalf("read %s: %v", long, err)
	}
	inUTC(reflect.ValueOf(&want).Elem())
	inUTC(reflect.ValueOf(&got).Elem())
	if !reflect.DeepEqual(got, want) {
		read, _ := encodeJSON("", got)
		t.Fatalf("a field is not stored as it is:\nread %s\nwant %s", read, long)
	}
	if again, _, _ := k.storedRequest(&got); exact && string(again) != string(stored) {
		t.Fatalf("%s\nreads as one that is stored as %s", stored, again)
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
