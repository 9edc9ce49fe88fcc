package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
)

// watchEvery is how often a watch asks for what is new.
const watchEvery = time.Second

// A watch prints what comes in for a person to decide. It lives as long as its
// command: while no daemon serves it waits for one, and it never opens the data
// directory itself, which would keep the daemon from starting.
type watch struct {
	cfg     *config.Config
	keyFile string
	out     io.Writer
	notes   io.Writer
	json    bool

	key  string // found once, for a prompt must not come back with the daemon
	ctl  *control
	away bool // the last attempt found no daemon, and was noted
	seen map[string]bool
}

// watchApprovals prints each approval once, until the command is interrupted or
// its key is refused.
func watchApprovals(c *cobra.Command, opt *options, keyFile string) error {
	cfg, err := opt.loadBare()
	if err != nil {
		return err
	}
	w := &watch{
		cfg: cfg, keyFile: keyFile, out: c.OutOrStdout(), notes: c.ErrOrStderr(), json: opt.json, seen: make(map[string]bool),
	}
	defer w.hangUp()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := w.look(); err != nil {
			return err
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks once. Its error is one that asking again would not mend.
func (w *watch) look() error {
	if w.ctl == nil {
		ctl := dialControl(filepath.Join(w.cfg.DataDir, socketFile))
		if ctl == nil {
			w.note("no outgo is serving on %s; waiting for one", w.cfg.DataDir)
			return nil
		}
		w.ctl = ctl
		if w.key == "" {
			key, err := findKey(w.cfg, w.keyFile)
			if err != nil {
				return err
			}
			w.key = key
		}
		ctl.key = w.key
	}
	var raw []json.RawMessage
	err := w.ctl.do("GET", "/approvals?status=PENDING", nil, &raw)
	if refused := (*apiError)(nil); errors.As(err, &refused) && refused.status < 500 {
		return err
	}
	if err != nil {
		w.hangUp()
		w.note("outgo does not answer any more (%v); waiting for it to come back", err)
		return nil
	}
	if w.away {
		w.away = false
		fmt.Fprintln(w.notes, "outgo: watching")
	}
	return w.print(raw)
}

// note says once that there is nobody to ask.
func (w *watch) note(format string, args ...any) {
	if !w.away {
		w.away = true
		fmt.Fprintf(w.notes, "outgo: "+format+"\n", args...)
	}
}

func (w *watch) hangUp() {
	if w.ctl != nil {
		w.ctl.close()
		w.ctl = nil
	}
}

// print prints what has not been printed before, oldest first.
func (w *watch) print(raw []json.RawMessage) error {
	for _, m := range slices.Backward(raw) {
		var r shownRequest
		if err := json.Unmarshal(m, &r); err != nil {
			return fmt.Errorf("read outgo's answer: %w", err)
		}
		if w.seen[r.ID] {
			continue
		}
		w.seen[r.ID] = true
		if w.json {
			if err := printJSON(w.out, m); err != nil {
				return err
			}
			continue
		}
		with := ""
		if w.keyFile != "" {
			with = " --key-file " + word(w.keyFile)
		}
		fmt.Fprintf(w.out, "%s  %s  %s  %s  payee %s  merchant %s\n    %s\n    outgo approvals approve %s%s\n",
			r.ID, printable(r.AgentID), r.amount(), r.Operation, orDash(printable(r.Payee)), r.merchant(), r.Message, r.ID, with)
	}
	return nil
}

// word writes a path as a shell takes it for one word.
func word(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
