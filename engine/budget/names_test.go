package budget

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An account that remembers its keys has, at any time, those of one that does not.
func TestRememberedKeysAreThoseOfTheirTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		zone := rapid.SampledFrom([]string{"", "Europe/Berlin", "Pacific/Apia", "America/Sao_Paulo"}).Draw(rt, "zone")
		location, err := time.LoadLocation(zone)
		if err != nil {
			rt.Fatal(err)
		}
		plain := Account{Prefix: "v1/main/", Policy: "p/1", Unit: "eip155:1/erc20:0xA0b8", Zone: location}
		a := plain.Remembering()
		for range rapid.IntRange(1, 10).Draw(rt, "times") {
			at := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(rt, "time"), 0)
			for _, at := range []time.Time{at, at.Add(time.Hour), at.AddDate(0, 0, 1)} {
				got, want := a.at(at), plain.at(at)
				if *got != *want {
					rt.Fatalf("at %s: %+v, want %+v", at, *got, *want)
				}
			}
		}
		if a.exposureKey() != plain.exposureKey() || a.ringKey(perSecond) != plain.ringKey(perSecond) || a.ringKey(perMinuteOfHour) != plain.ringKey(perMinuteOfHour) {
			rt.Fatal("the keys without a window differ")
		}
	})
}

func TestALocalNameLeadsBackToItsCounter(t *testing.T) {
	mine := Account{Prefix: "v1/main/", Policy: "01890000", Unit: "USD"}
	day := mine.at(time.Unix(1e9, 0)).dayKey
	local, ok := mine.Local(day)
	if !ok || local != "USD/day/2001-09-09" || mine.Counter(local) != day {
		t.Errorf("%s is %q, %v, and that is %s", day, local, ok, mine.Counter(local))
	}
	for sentence, other := range map[string]Account{
		"another policy":                 {Prefix: "v1/main/", Policy: "0189000"},
		"another workspace":              {Prefix: "v1/other/", Policy: "01890000"},
		"a policy with a name that ends": {Prefix: "v1/main/", Policy: "01890000/USD"},
	} {
		if local, ok := other.Local(day); ok {
			t.Errorf("%s has %q", sentence, local)
		}
	}
}
