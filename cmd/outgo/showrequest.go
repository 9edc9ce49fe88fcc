package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// maxShown is the longest text that is shown of a request, in bytes.
const maxShown = 2000

// writeRequest shows one request to a person: what was asked, what was decided and
// by whom, and what the provider said. What an agent wrote is marked as claimed and
// printed without anything that moves a cursor.
func writeRequest(w io.Writer, r *spend.Request) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	in := &r.Intent
	line("Request", "%s", r.ID)
	line("State", "%s%s", r.State, inBrackets(string(r.Why)))
	line("Agent", "%s", printable(in.Agent))
	line("Call", "%s on %s%s", orDash(printable(in.Operation)), orDash(in.Network), inBrackets(string(in.Mode)))
	if in.Object != "" {
		line("Object", "%s", printable(in.Object))
	}
	if in.ActingAccount != "" {
		line("On behalf of", "%s", printable(in.ActingAccount))
	}
	for i := range in.Legs {
		line("Amount", "%s", legLine(&in.Legs[i]))
	}
	if in.Claims.Reason != "" {
		line("Reason", "%s (claimed)", printableUpTo(maxShown, in.Claims.Reason))
	}
	if in.Claims.Task != "" {
		line("Task", "%s (claimed)", printable(in.Claims.Task))
	}
	line("Decision", "%s: %s", r.Verdict.Decision, printableUpTo(maxShown, r.Verdict.Message()))
	if r.Recheck != nil {
		line("Last look", "%s: %s", r.Recheck.Decision, printableUpTo(maxShown, r.Recheck.Message()))
	}
	for _, b := range r.Decisive().Balances {
		line("Budget", "%s, %s: %s of %s were left", printable(b.Policy), b.Period, moneyOf(b.Remaining), moneyOf(b.Limit))
	}
	if a := r.Approval; a != nil {
		line("Approval", "%s%s, asked for by %s", a.Status, decidedBy(a), strings.Join(a.Asked, ", "))
	}
	line("Made", "%s, %d %s", stamp(r.Created), r.Attempts, plural(r.Attempts, "call", "calls"))
	if !r.Began.IsZero() {
		line("Begun", "%s", stamp(r.Began))
	}
	if !r.Deadline.IsZero() && !r.State.Final() {
		line("Lapses", "%s", stamp(r.Deadline))
	}
	for i := range r.Receipts {
		line("Receipt", "%s", receiptLine(&r.Receipts[i]))
	}
	if r.Undoes != "" {
		line("Undoes", "request %s", r.Undoes)
	}
	for i := range r.Undone {
		line("Undone", "%s", reversalLine(&r.Undone[i]))
	}
	for _, a := range r.Anomalies {
		line("Anomaly", "%s", a)
	}
	if r.ReplacedBy != "" {
		line("Replaced by", "%s, which has to be approved anew: the policies, or what would have been sent, had changed since", r.ReplacedBy)
	}
	if r.State == spend.Executing && r.Why == spend.OutcomeUnknown {
		line("What to do", "look at the provider, then: outgo requests settle %s, or: outgo requests fail %s", r.ID, r.ID)
	}
	return t.Flush()
}

func legLine(l *spend.Leg) string {
	claimed := func(s string, is bool) string {
		if is {
			return s + " (claimed)"
		}
		return s
	}
	out := moneyOf(l.Amount) + " " + string(l.Kind)
	for _, f := range []struct{ name, value string }{
		{"payee", printable(l.Payee)},
		{"merchant", claimed(printable(l.Merchant), l.ClaimedMerchant && l.Merchant != "")},
		{"category", claimed(printable(l.Category), l.ClaimedCategory && l.Category != "")},
	} {
		if f.value != "" {
			out += ", " + f.name + " " + f.value
		}
	}
	return out
}

func receiptLine(rc *spend.Receipt) string {
	out := fmt.Sprintf("%s, by the %s", stamp(rc.At), rc.Source)
	if rc.TransactionID != "" {
		out += ": " + printable(rc.TransactionID)
	}
	if rc.Status != "" {
		out += ", " + printable(rc.Status)
	}
	if !rc.Amount.IsZero() {
		out += ", " + moneyOf(rc.Amount)
	}
	if rc.HTTPStatus != 0 {
		out += fmt.Sprintf(", HTTP %d", rc.HTTPStatus)
	}
	if rc.Note != "" {
		out += ", " + printable(rc.Note)
	}
	return out
}

func reversalLine(v *spend.Reversal) string {
	out := fmt.Sprintf("%s, by a %s", stamp(v.At), v.Kind)
	if v.Transaction != "" {
		out += ": " + printable(v.Transaction)
	}
	if v.Status != "" {
		out += ", " + printable(v.Status)
	}
	if !v.Amount.IsZero() {
		out += ", " + moneyOf(v.Amount)
	}
	if v.Request != "" {
		out += ", request " + string(v.Request)
	}
	if v.Event != "" {
		out += ", event " + printable(v.Event)
	}
	return out
}

func decidedBy(a *spend.Approval) string {
	if a.DecidedAt.IsZero() {
		return ""
	}
	out := fmt.Sprintf(" by %s at %s", printable(a.By), stamp(a.DecidedAt))
	if a.Note != "" {
		out += fmt.Sprintf(" (%s)", printable(a.Note))
	}
	return out
}

func moneyOf(a spend.Amount) string {
	if a.IsZero() {
		return "-"
	}
	return money(a.Decimal(), a.Unit())
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
