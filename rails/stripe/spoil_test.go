package stripe

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// spoil makes a call of an operation that is in order, spells it in other ways that
// servers agree on, and plays some of the tricks on it that they do not.
func spoil(rng *rand.Rand, o *oracle, known []trick) (query, body string, tricks []string) {
	currency := pick(rng, "usd", "USD", "eur", "jpy", "kwd")
	n := 10 * (1 + rng.IntN(2000))
	var segments []string
	for _, s := range o.base {
		s = strings.ReplaceAll(s, "{n}", strconv.Itoa(n))
		segments = append(segments, strings.ReplaceAll(s, "{c}", currency))
	}
	for range rng.IntN(4) {
		segments = append(segments, pick(rng, "metadata[order]=6735", "description=caf%C3%A9%20%26amount%3D9", "expand[]=customer", "expand[]=charge.refunds",
			"metadata[a b]=c+d", "metadata[confirm]=true", "statement_descriptor=x%3By", "metadata[amount]=999999", "shipping[address][city]=Bonn", "metadata[Case]=", "transfer_group=ORDER10"))
	}
	if rng.IntN(4) == 0 {
		rng.Shuffle(len(segments), func(i, j int) { segments[i], segments[j] = segments[j], segments[i] })
	}
	separators := "&"
	queried := []string(nil)
	count := []int{0, 0, 0, 1, 1, 1, 2, 3}[rng.IntN(8)]
	for range count {
		t := known[rng.IntN(len(known))]
		segments = t.play(rng, segments)
		tricks = append(tricks, t.name)
	}
	for range rng.IntN(3) { // spellings
		i := rng.IntN(len(segments) + 1)
		if i == len(segments) {
			continue
		}
		segments[i] = respell(rng, segments[i])
	}
	switch rng.IntN(12) {
	case 0:
		i := rng.IntN(len(segments) + 1)
		queried, segments = slices.Clone(segments[i:]), segments[:i:i]
	case 1:
		if len(segments) > 0 {
			again := segments[rng.IntN(len(segments))]
			name, _, _ := strings.Cut(again, "=")
			queried = append(queried, name+"="+pick(rng, "999999", "true", "acct_2", "eur", "ch_2"))
			tricks = append(tricks, "query and body")
		}
	case 2:
		separators = pick(rng, "&&", ";", "& ", "&+", "&", "&%20")
		tricks = append(tricks, "separator "+separators)
	}
	return strings.Join(queried, "&"), strings.Join(segments, separators), tricks
}

func pick(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }

// respell writes a segment in another way that all servers undo.
func respell(rng *rand.Rand, s string) string {
	name, value, _ := strings.Cut(s, "=")
	switch rng.IntN(4) {
	case 0:
		return url.QueryEscape(name) + "=" + value
	case 1:
		return strings.NewReplacer("[", "%5b", "]", "%5D").Replace(name) + "=" + value
	case 2:
		if i := rng.IntN(len(name) + 1); i < len(name) && name[i] > ' ' && name[i] != '%' && !strings.Contains(name, "%") {
			return name[:i] + fmt.Sprintf("%%%02x", name[i]) + name[i+1:] + "=" + value
		}
	case 3:
		if i := rng.IntN(len(value) + 1); i < len(value) && !strings.Contains(value, "%") && value[i] != '+' {
			return name + "=" + value[:i] + fmt.Sprintf("%%%02X", value[i]) + value[i+1:]
		}
	}
	return s
}

// A trick is a row of what servers disagree on.
type trick struct {
	name string
	play func(rng *rand.Rand, segments []string) []string
}

// onOne makes a trick of what it does to the name and value of one segment.
func onOne(name string, play func(rng *rand.Rand, name, value string) []string) trick {
	return trick{name, func(rng *rand.Rand, segments []string) []string {
		if len(segments) == 0 {
			return segments
		}
		i := rng.IntN(len(segments))
		n, v, _ := strings.Cut(segments[i], "=")
		return slices.Concat(segments[:i:i], play(rng, n, v), segments[i+1:])
	}}
}

func insert(rng *rand.Rand, into, what string) string {
	i := rng.IntN(len(into) + 1)
	return into[:i] + what + into[i:]
}

func knownTricks() []trick {
	return []trick{
		onOne("twice", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + pick(rng, v, "1", "999999", "true", "false", "acct_2", "eur"), n + "=" + v}
		}),
		onOne("twice, spelled otherwise", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + v, respell(rng, n+"="+pick(rng, "999999", "true", "acct_2", "jpy"))}
		}),
		onOne("brackets", func(rng *rand.Rand, n, v string) []string {
			odd := pick(rng, "["+n+"]", n+"]", n+"[", n+"%5B", n+"[]", n+"[a]", "[]"+n, n+"[", "["+n, n+"]]", n+"[[a]]", n+"[0]", n+"%00[a]", n+"[a]b")
			if rng.IntN(2) == 0 {
				return []string{odd + "=" + v}
			}
			return []string{odd + "=" + pick(rng, "999999", "true", "acct_2"), n + "=" + v}
		}),
		onOne("a number", func(rng *rand.Rand, n, v string) []string {
			v = pick(rng, "%2B"+v, "0"+v, "00"+v, "-"+v, "0", "", "1e9", "%20"+v, v+"%20", v+".5", v+".0", "0x64", "1_000", "%EF%BC%91%EF%BC%90", "9223372036854775808",
				"1%2C000", v+"%00", "%EF%BB%BF"+v, "+"+v, v+"%0A", "%D9%A1%D9%A0", "999999999999999999999", "Infinity", v+"e0", "0b11", "0o17")
			return []string{n + "=" + v}
		}),
		onOne("a truth value", func(rng *rand.Rand, _, _ string) []string {
			return []string{pick(rng, "confirm", "confirm", "auto_advance", "paid_out_of_band", "invoice_now", "balance") + "=" + pick(rng, "True", "TRUE", "1", "t", "T", "yes", "on", "true%20", "%20true", "false%00", "False", "0", "f", "", "no", "nil", "null", "tru%C3%A9", "y")}
		}),
		onOne("bytes", func(rng *rand.Rand, n, v string) []string {
			odd := pick(rng, "%00", "%EF%BB%BF", "%", "%4", "%zz", "%FF", "%C0%AF", "%E2%80%8B", "\x00", "\xff", "\x7f", "\t", "%0D%0A", "%1F", "%u0061")
			if rng.IntN(2) == 0 {
				return []string{insert(rng, n, odd) + "=" + v}
			}
			return []string{n + "=" + insert(rng, v, odd)}
		}),
		onOne("bytes and the name without", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + v, insert(rng, n, pick(rng, "%00", "%20", "+", "%EF%BB%BF", "%FF", "%E2%80%8B")) + "=" + pick(rng, "999999", "true", "acct_2")}
		}),
		onOne("white space around a name", func(rng *rand.Rand, n, v string) []string {
			odd := pick(rng, "+"+n, " "+n, n+"+", n+"%20", "%09"+n, "%0A"+n, n+"%C2%A0")
			return []string{n + "=" + v, odd + "=" + pick(rng, "999999", "true", "acct_2")}
		}),
		onOne("the case of a name", func(rng *rand.Rand, n, v string) []string {
			odd := pick(rng, strings.ToUpper(n), strings.ToUpper(n[:min(1, len(n))])+n[min(1, len(n)):], strings.ReplaceAll(n, "s", "%C5%BF"))
			return []string{odd + "=" + pick(rng, "999999", "true", v), n + "=" + v}
		}),
		onOne("dots for brackets and the like", func(rng *rand.Rand, n, v string) []string {
			odd := pick(rng, strings.NewReplacer("[", ".", "]", "").Replace(n), strings.ReplaceAll(n, "_", "."), strings.ReplaceAll(n, "_", "+"), strings.ReplaceAll(n, "_", "-"), strings.ReplaceAll(n, "_", "[")+"]")
			return []string{odd + "=" + pick(rng, "999999", "true", "acct_2"), n + "=" + v}
		}),
		onOne("a separator inside", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + v + pick(rng, ";", "%3B", "%26", "&&", "& ", "&+", ";+", "%00&") + pick(rng, "amount=999999", "confirm=true", "destination=acct_2")}
		}),
		onOne("a value that is a hash", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + v, n + pick(rng, "[account]", "[destination]", "[value]", "[amount]", "[0]", "[]", "[][a]") + "=" + pick(rng, "acct_2", "999999", "true")}
		}),
		onOne("left out", func(*rand.Rand, string, string) []string { return nil }),
		onOne("no value", func(rng *rand.Rand, n, _ string) []string { return []string{n + pick(rng, "", "=")} }),
		onOne("one more", func(rng *rand.Rand, n, v string) []string {
			return []string{n + "=" + v, pick(rng, "items[0][quantity]", "line_items[0][quantity]", "items[1][quantity]", "items[][quantity]", "quantity", "line_items[0][adjustable_quantity][enabled]", "trial_end", "add_invoice_items[0][price]", "discounts[0][coupon]", "balance", "account_balance", "source", "auto_advance", "paid_out_of_band", "invoice_now", "prorate", "mode", "payouts_action", "confirm", "amount", "destination", "currency", "transfer_data[destination]", "destination[account]", "payment_intent", "charge", "_method",
				"transfer_data[amount]", "key", "_stripe_account", "amount_to_capture", "on_behalf_of", "customer", "capture", "off_session", "confirmation_method", "error_on_requires_action", "application_fee_amount") +
				"=" + pick(rng, "true", "999999", "acct_2", "eur", "pi_2", "ch_2", "false", "", "1")}
		}),
		{"backwards", func(_ *rand.Rand, segments []string) []string { slices.Reverse(segments); return segments }},
	}
}
