package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/tokens/seal"
)

func newAudit(opt *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Verify and export the record of who did what",
		Example: "  outgo audit verify\n  outgo audit export --format csv > audit.csv",
	}
	var keyFile, format string
	var restored bool
	cmd.PersistentFlags().StringVar(&keyFile, "key-file", "", keyFileHelp)
	verify := &cobra.Command{
		Use: "verify", Short: "Say whether the ledger is as outgo has left it, and if not, where it was tampered with", Args: cobra.NoArgs,
		Long: `Looks at every entry and every value of the ledger, with the daemon or without it.
Exit status 1 means that it is not sound. What is found is said entry by entry:

  altered, misplaced, replaced   an entry or a value was changed or exchanged
  missing                        entries or values were deleted
  rolled back, cut off           the ledger ends before its anchor: an older copy stands there
  another ledger                 the database or the anchor file was exchanged as a whole`,
		Example: "  outgo audit verify --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withHistory(opt, keyFile, func(h history) error { return verifyHistory(c, opt, h) })
		},
	}
	export := &cobra.Command{
		Use: "export", Short: "Print every entry, each with what is wrong with it", Args: cobra.NoArgs,
		Example: "  outgo audit export --format csv > audit.csv",
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "json" && format != "csv" {
				return usageError{fmt.Sprintf("--format %q: want json or csv", format)}
			}
			return withHistory(opt, keyFile, func(h history) error { return h.Export(c.Context(), c.OutOrStdout(), format) })
		},
	}
	export.Flags().StringVar(&format, "format", "json", "json or csv")
	accept := &cobra.Command{
		Use: "accept --restored", Short: "Say that an older ledger is a backup that you have restored", Args: cobra.NoArgs,
		Long: `outgo does not open a ledger that ends before its anchor, since that is what an
attacker leaves who sets it back. If you have restored it from a backup yourself,
this says so: in the record, where the gap stays visible, and to the anchor.
Payments made since the backup are in no budget. A damaged ledger is not accepted.`,
		Example: "  outgo audit accept --restored",
		RunE: func(c *cobra.Command, _ []string) error {
			if !restored {
				return usageError{"say --restored: that you have restored the ledger from a backup"}
			}
			return acceptRestored(c, opt)
		},
	}
	accept.Flags().BoolVar(&restored, "restored", false, "the ledger is a restored backup")
	cmd.AddCommand(verify, export, accept)
	return cmd
}

// A history is the record of a ledger, here or with the daemon that holds it.
type history interface {
	Verify(context.Context) (engine.Report, error)
	Export(ctx context.Context, w io.Writer, format string) error
}

var (
	_ history = (*engine.History)(nil)
	_ history = (*control)(nil)
)

// withHistory gives fn the history: over the daemon that holds the data
// directory, or else from the directory itself, whatever state that is in.
func withHistory(opt *options, keyFile string, fn func(history) error) error {
	cfg, err := opt.loadBare()
	if err != nil {
		return err
	}
	if c := dialControl(filepath.Join(cfg.DataDir, socketFile)); c != nil {
		defer c.close()
		if c.key, err = findKey(cfg, keyFile); err != nil {
			return err
		}
		c.http.Timeout = 0 // a large ledger takes its time
		return fn(c)
	}
	return withOwnHistory(cfg, func(h *engine.History) error { return fn(h) })
}

// withOwnHistory opens the data directory of cfg without an engine.
func withOwnHistory(cfg *config.Config, fn func(*engine.History) error) (err error) {
	dir := filepath.Join(cfg.DataDir, "ledger")
	if err := keyNotLost(dir, cfg.SealFile()); err != nil {
		return err
	}
	for _, file := range []string{cfg.SealFile(), dir} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("there is no ledger in %s: %w", cfg.DataDir, err)
		}
	}
	key, err := seal.Load(cfg.SealFile())
	if err != nil {
		return fmt.Errorf("read sealing key: %w", err)
	}
	st, err := openStore(context.Background(), dir)
	if err != nil {
		return fmt.Errorf("open ledger in %s: %w", cfg.DataDir, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return fn(engine.NewHistory(engineOptions(cfg, st, key, listeners{})))
}

func verifyHistory(c *cobra.Command, opt *options, h history) error {
	rep, err := h.Verify(c.Context())
	if err != nil {
		return err
	}
	if opt.json {
		err = printJSON(c.OutOrStdout(), struct {
			Sound bool `json:"sound"`
			engine.Report
		}{rep.Sound(), rep})
	} else {
		_, err = fmt.Fprintln(c.OutOrStdout(), rep.String())
	}
	if err == nil && !rep.Sound() {
		err = errors.New("the ledger is not as outgo has left it; restore it from a backup, and find out who can write to it")
	}
	return err
}

func acceptRestored(c *cobra.Command, opt *options) error {
	cfg, err := opt.loadBare()
	if err != nil {
		return err
	}
	if d := dialControl(filepath.Join(cfg.DataDir, socketFile)); d != nil {
		d.close()
		return errors.New("outgo is running on this ledger, so there is nothing to accept; stop it first if you want to restore a backup")
	}
	return withOwnHistory(cfg, func(h *engine.History) error {
		found, err := h.Accept(c.Context(), "local operator")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "accepted: the ledger goes on behind entry %d; what came after it is lost, and the record says so\n", found.Head.Seq)
		return err
	})
}

// Verify has the daemon verify its ledger.
func (c *control) Verify(context.Context) (rep engine.Report, err error) {
	err = c.do("GET", "/audit", nil, &rep)
	return rep, err
}

// Export has the daemon export its ledger's history to w.
func (c *control) Export(ctx context.Context, w io.Writer, format string) error {
	resp, err := c.send(ctx, "GET", "/audit/export?format="+format, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or the error says so
	if resp.StatusCode >= 300 {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return fmt.Errorf("call outgo: %w", err)
		}
		return refusal(resp.StatusCode, answer)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("export ended early, what was written is not all of it: %w", err)
	}
	return nil
}
