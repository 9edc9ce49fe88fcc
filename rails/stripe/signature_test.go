package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

const endpointSecret, nextSecret = "whsec_testSecretOfAnEndpoint", "whsec_testSecretThatFollows"

// signed is a signature of a body, as the scheme describes it.
func signed(secret string, at time.Time, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return hex.EncodeToString(mac.Sum(nil))
}

// stamped is the whole header field.
func stamped(at time.Time, parts ...string) string {
	return fmt.Sprintf("t=%d,%s", at.Unix(), strings.Join(parts, ","))
}

func TestOnlyWhatTheEndpointsSecretSignsIsBelieved(t *testing.T) {
	const body = `{"id":"evt_1"}`
	good, other := "v1="+signed(endpointSecret, began, body), "v1="+strings.Repeat("ab", 32)
	field := stamped(began, good)
	for sentence, c := range map[string]struct {
		fields []string
		body   string
		now    time.Time
		ok     bool
	}{
		"a signature of now":                   {[]string{field}, body, began, true},
		"one of five minutes ago":              {[]string{field}, body, began.Add(5 * time.Minute), true},
		"one of longer ago":                    {[]string{field}, body, began.Add(5*time.Minute + time.Second), false},
		"one of a clock that is ahead":         {[]string{field}, body, began.Add(-5 * time.Minute), true},
		"one of the future":                    {[]string{field}, body, began.Add(-5*time.Minute - time.Second), false},
		"one of a time that was not signed":    {[]string{stamped(began.Add(time.Second), good)}, body, began, false},
		"one with spaces":                      {[]string{strings.ReplaceAll(field, ",", ", ")}, body, began, true},
		"a good one behind another":            {[]string{stamped(began, other, good)}, body, began, true},
		"a good one before another":            {[]string{stamped(began, good, other)}, body, began, true},
		"one of a scheme that is not known":    {[]string{stamped(began, good, "v2=x")}, body, began, true},
		"one of the next secret":               {[]string{stamped(began, "v1="+signed(nextSecret, began, body))}, body, began, true},
		"one in capital letters":               {[]string{stamped(began, "v1="+strings.ToUpper(good[3:]))}, body, began, true},
		"one of the test scheme alone":         {[]string{stamped(began, "v0="+good[3:])}, body, began, false},
		"one of another secret":                {[]string{stamped(began, "v1="+signed("whsec_other", began, body))}, body, began, false},
		"one of an empty secret":               {[]string{stamped(began, "v1="+signed("", began, body))}, body, began, false},
		"a body with one byte changed":         {[]string{field}, `{"id":"evt_2"}`, began, false},
		"a body with a byte more":              {[]string{field}, body + "\n", began, false},
		"no body":                              {[]string{field}, "", began, false},
		"no field":                             {nil, body, began, false},
		"an empty field":                       {[]string{""}, body, began, false},
		"two fields":                           {[]string{field, field}, body, began, false},
		"no time":                              {[]string{good}, body, began, false},
		"two times":                            {[]string{field + fmt.Sprintf(",t=%d", began.Unix())}, body, began, false},
		"a time that is no number":             {[]string{"t=now," + good}, body, began, false},
		"a time with a sign":                   {[]string{fmt.Sprintf("t=+%d,%s", began.Unix(), good)}, body, began, false},
		"a time beyond all":                    {[]string{"t=9999999999999999999," + good}, body, began, false},
		"no signature":                         {[]string{stamped(began, "v2=x")}, body, began, false},
		"half a signature":                     {[]string{stamped(began, good[:35])}, body, began, false},
		"a signature that is no number in hex": {[]string{stamped(began, "v1="+strings.Repeat("xy", 32))}, body, began, false},
		"a part without a value":               {[]string{field + ",v1"}, body, began, false},
		"more signatures than there can be":    {[]string{stamped(began, strings.Repeat(other+",", 16)+good)}, body, began, false},
		"a field that is too long":             {[]string{field + "," + strings.Repeat("v2=x,", 1000) + "v2=x"}, body, began, false},
	} {
		err := verify([]string{nextSecret, endpointSecret}, c.fields, []byte(c.body), c.now)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, spend.Unauthenticated) {
			t.Errorf("%s: %v", sentence, err)
		}
		if err != nil && (strings.Contains(err.Error(), "whsec_") || strings.Contains(err.Error(), good[3:])) {
			t.Errorf("%s: the error says too much: %v", sentence, err)
		}
	}
	if err := verify(nil, []string{field}, []byte(body), began); !errors.Is(err, spend.Unauthenticated) {
		t.Errorf("without a secret: %v", err)
	}
}

// FuzzSignature reads whatever comes as a signature: nothing panics, and nothing that
// was not made with the secret is believed.
func FuzzSignature(f *testing.F) {
	const body = `{"id":"evt_1"}`
	good := signed(endpointSecret, began, body)
	f.Add(stamped(began, "v1="+good), body)
	f.Add("t=1,v1=", body)
	f.Add(",,=,t==,v1=00", "")
	f.Fuzz(func(t *testing.T, field, text string) {
		err := verify([]string{endpointSecret}, []string{field}, []byte(text), began)
		if err != nil {
			return
		}
		var stamp string
		for part := range strings.SplitSeq(field, ",") {
			if at, ok := strings.CutPrefix(strings.TrimSpace(part), "t="); ok {
				stamp = at
			}
		}
		mac := hmac.New(sha256.New, []byte(endpointSecret))
		mac.Write([]byte(stamp + "." + text))
		if !strings.Contains(strings.ToLower(field), hex.EncodeToString(mac.Sum(nil))) {
			t.Errorf("%q was believed of %q", field, text)
		}
	})
}
