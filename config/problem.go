package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in the configuration.
type Problem struct {
	Source string `json:"file"`           // the file; else the variable or the "--set field" at fault; else ""
	Line   int    `json:"line,omitempty"` // from 1; 0 when Source is not a file
	Column int    `json:"column,omitempty"`
	Field  string `json:"field,omitempty"` // "policies[0].dailyLimit"
	What   string `json:"problem"`
	Remedy string `json:"remedy,omitempty"`
	// Excerpt is the line at fault with a caret below it, secrets masked; ""
	// when there is none to show.
	Excerpt string `json:"-"`
}

// Error returns "file:line:col: field: what is wrong; what to do".
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.What)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is every mistake that was found, in the order of the file.
type Problems []*Problem

// Error returns one line for each problem, followed by its excerpt.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
		if p.Excerpt != "" {
			b.WriteString("\n" + p.Excerpt)
		}
	}
	return b.String()
}

// Unwrap lets errors.As find a Problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// err returns the problems in the order of the file, or nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Source, b.Source), strings.Compare(a.Field, b.Field))
	})
	return ps
}

// mark is where a field got its value.
type mark struct {
	source    string // the variable or flag; "" for the file
	line, col int
	secret    bool
}

// Problem returns a Problem with field at the place where it, or the nearest
// field around it, was written. field is spelled as in Problem.Field.
func (c *Config) Problem(field, what, remedy string) *Problem {
	p := &Problem{Field: field, What: what, Remedy: remedy}
	for at := field; ; {
		if m, ok := c.marks[at]; ok {
			p.Source, p.Line, p.Column = m.source, m.line, m.col
			if m.source == "" {
				p.Source = c.file
				if !m.secret {
					p.Excerpt = excerpt(c.lines, m.line, m.col)
				}
			}
			return p
		}
		cut := strings.LastIndexAny(at, ".[")
		if cut <= 0 {
			p.Source = c.file
			return p
		}
		at = at[:cut]
	}
}

// masked finds values that must not be shown even when the mistake stands
// elsewhere in their line: what follows a key that sounds secret, and userinfo.
var (
	maskedValue = regexp.MustCompile(`(?i)([\w-]*(?:tok|secret|passw|key|credential|placeholder|webhook|store)[\w-]*["']?\s*:\s*)[^\s,}].*`)
	maskedUser  = regexp.MustCompile(`://[^\s/@"']*@`)
)

// excerpt shows line (from 1) with a caret under col (from 1, in characters).
func excerpt(lines []string, line, col int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	text := strings.TrimRight(lines[line-1], "\r")
	text = maskedUser.ReplaceAllString(maskedValue.ReplaceAllString(text, "${1}…"), "://…@")
	text = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	const width = 160
	if runes := []rune(text); len(runes) > width {
		text = string(runes[:width]) + "…"
	}
	margin := fmt.Sprintf("%6d | ", line)
	if col < 1 || col > utf8.RuneCountInString(text)+1 {
		return margin + text
	}
	return margin + text + "\n       | " + strings.Repeat(" ", col-1) + "^"
}

// Nearest returns the one of known that was most likely meant by name, or "".
func Nearest(name string, known []string) string {
	best, bestAt := "", 1+max(1, len(name)/3)
	for _, k := range known {
		short, long := fold(name), fold(k)
		d := distance(short, long)
		if len(short) >= 4 && len(short) < len(long) {
			d = min(d, distance(short, long[:len(short)])) // "dayly" for dailyLimit
		}
		if d < bestAt && d < len(k) {
			best, bestAt = k, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance is the number of single-byte insertions, deletions, substitutions and
// swaps of neighbours between a and b.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
