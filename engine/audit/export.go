package audit

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Format is a form of export.
type Format string

// The formats. JSON is one document that has everything: whoever holds it can
// compute each hash again. CSV is a row for each entry, for a spreadsheet.
const (
	JSON Format = "json"
	CSV  Format = "csv"
)

// Entries yields the chain's entries in order, from sequence from on. What
// cannot be read is yielded with its sequence, where its key tells that, and an
// error; the last pair has an error when the store cannot be read.
func (c *Chain) Entries(r store.Reader, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for s, err := range c.stored(r, max(from, 1)-1) {
			switch {
			case err != nil:
				err = fmt.Errorf("read audit entries: %w", err)
			case s.seq == 0:
				err = fmt.Errorf("%w: %.80q is no entry", ErrBroken, s.key)
			case s.err != nil:
				s.Entry, err = Entry{Seq: s.seq}, fmt.Errorf("%w: entry %d cannot be read: %w", ErrBroken, s.seq, s.err)
			}
			if !yield(s.Entry, err) {
				return
			}
		}
	}
}

// Write exports every entry to w, each with what rep found wrong at its place,
// and, in JSON, the report as a whole. Faults of no entry, and those of entries
// that are not there, have a line of their own. It fails with spend.Invalid on
// an unknown format.
func (c *Chain) Write(w io.Writer, f Format, r store.Reader, rep *Report) error {
	var out exporter
	switch f {
	case JSON:
		out = &jsonExport{w: bufio.NewWriter(w)}
	case CSV:
		out = &csvExport{w: csv.NewWriter(w)}
	default:
		return fmt.Errorf("export audit chain: %w: format %.20q, want json or csv", spend.Invalid, f)
	}
	if err := c.write(out, r, rep); err != nil {
		return fmt.Errorf("export audit chain: %w", err)
	}
	return nil
}

// An exporter writes one format.
type exporter interface {
	begin(*Report) error
	line(exported) error
	end() error
}

// exported is an entry with what is wrong with it.
type exported struct {
	Entry
	Finding string `json:"finding,omitempty"`
}

func (c *Chain) write(out exporter, r store.Reader, rep *Report) error {
	if err := out.begin(rep); err != nil {
		return err
	}
	left := findingsOf(rep)
	for e, err := range c.Entries(r, 1) {
		if err != nil && !errors.Is(err, ErrBroken) {
			return err
		}
		for len(left) > 0 && left[0].Seq < e.Seq {
			if err := out.line(left[0]); err != nil {
				return err
			}
			left = left[1:]
		}
		x := exported{Entry: e}
		if err != nil {
			x.Finding = err.Error()
		}
		if len(left) > 0 && left[0].Seq == e.Seq {
			x.Finding, left = left[0].Finding, left[1:]
		}
		if err := out.line(x); err != nil {
			return err
		}
	}
	for _, x := range left {
		if err := out.line(x); err != nil {
			return err
		}
	}
	return out.end()
}

// findingsOf returns a line for each place where something is wrong, in order.
func findingsOf(rep *Report) []exported {
	words := make(map[uint64][]string)
	for _, f := range rep.Faults {
		words[f.Seq] = append(words[f.Seq], f.Text)
	}
	var lines []exported
	for _, seq := range slices.Sorted(maps.Keys(words)) {
		lines = append(lines, exported{Entry: Entry{Seq: seq}, Finding: strings.Join(words[seq], "; ")})
	}
	return lines
}

type jsonExport struct {
	w     *bufio.Writer
	lines int
}

func (x *jsonExport) begin(rep *Report) error {
	head, err := json.Marshal(struct {
		Sound bool `json:"sound"`
		*Report
	}{rep.Sound(), rep})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(x.w, "{\"verification\":%s,\n\"entries\":[", head)
	return err
}

func (x *jsonExport) line(e exported) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	sep := ",\n"
	if x.lines == 0 {
		sep = "\n"
	}
	x.lines++
	_, err = x.w.WriteString(sep + string(b))
	return err
}

func (x *jsonExport) end() error {
	if _, err := x.w.WriteString("\n]}\n"); err != nil {
		return err
	}
	return x.w.Flush()
}

type csvExport struct{ w *csv.Writer }

func (x *csvExport) begin(*Report) error {
	return x.w.Write([]string{
		"sequence", "at", "event", "request", "from", "to", "who", "why", "note", "amounts", "policies",
		"fingerprint", "reply", "receipt", "records", "previous", "hash", "finding",
	})
}

func (x *csvExport) line(e exported) error {
	policies := make([]string, len(e.Policies))
	for i, p := range e.Policies {
		policies[i] = fmt.Sprintf("%s@%d (%s)", p.ID, p.Version, p.Name)
	}
	at := ""
	if !e.At.IsZero() {
		at = e.At.Format(time.RFC3339Nano)
	}
	row := []string{
		strconv.FormatUint(e.Seq, 10), at, e.Event, string(e.Request), string(e.From), string(e.To), e.Who, string(e.Why), e.Note,
		strings.Join(e.Amounts, "; "), strings.Join(policies, "; "), e.Fingerprint, e.Reply.String(), e.Receipt.String(),
		strconv.Itoa(len(e.Records)), e.Prev.String(), e.Hash.String(), e.Finding,
	}
	for i := range row {
		row[i] = cell(row[i])
	}
	return x.w.Write(row)
}

func (x *csvExport) end() error {
	x.w.Flush()
	return x.w.Error()
}

// cell makes text safe for a spreadsheet, which would take some cells for
// formulas, and for a terminal: control and format characters become spaces.
func cell(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	switch first := []rune(strings.TrimLeftFunc(s, unicode.IsSpace) + " ")[0]; first {
	case '=', '+', '-', '@', '＝', '＋', '－', '＠':
		return "'" + s
	default:
		return s
	}
}
