package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
)

// defaultConfig is read when no --config is given, if it is there.
const defaultConfig = "outgo.yaml"

// options are what every command can be told.
type options struct {
	file string   // --config
	sets []string // --set, each "field=value"
	json bool     // --json
	env  []string
	// started says that flags and arguments were in order and a command has
	// begun its work, so that an error is not one of usage.
	started bool
}

// load reads the configuration. Its error is config.Problems for what is written
// in it.
func (o *options) load() (*config.Config, error) { return o.read(false) }

// loadBare is load for a command that needs no token and no credential.
func (o *options) loadBare() (*config.Config, error) { return o.read(true) }

func (o *options) read(noSecrets bool) (*config.Config, error) {
	file := o.file
	if file == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			file = defaultConfig
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	flags := make(map[string]string, len(o.sets))
	for _, s := range o.sets {
		field, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Sprintf("--set %q is not field=value", s)}
		}
		flags[field] = value
	}
	cfg, err := config.Load(config.Source{File: file, Env: o.env, Flags: flags, NoSecrets: noSecrets})
	if err != nil {
		return nil, err
	}
	// Paths below it go into the environment of programs that may run elsewhere.
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return cfg, nil
}

func newRoot(opt *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "outgo",
		Short: "A spending limit on the wire: reads an agent's payment calls, and blocks or holds them",
		Long: `outgo is a sidecar and forward proxy. It reads an AI agent's payment calls off the
wire, decides on them by local policies, blocks or holds them, and keeps the
provider's own answer as the receipt.`,
		Example: `  outgo demo
  outgo run -- python agent.py
  outgo explain < request.http`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			opt.started = true
		},
	}
	root.PersistentFlags().StringVar(&opt.file, "config", "", "configuration `FILE` (default "+defaultConfig+" if present)")
	root.PersistentFlags().StringArrayVar(&opt.sets, "set", nil, "override a `FIELD=VALUE` of the configuration, such as listen.proxy=127.0.0.1:0")
	root.PersistentFlags().BoolVar(&opt.json, "json", false, "print data as JSON")
	root.AddCommand(
		newServe(opt), newRun(opt), newDemo(opt), newExplain(opt), newCheck(opt), newCA(opt), newEnv(opt),
		newApprovals(opt), newRequests(opt), newKeys(opt), newFreeze(opt, true), newFreeze(opt, false),
		newAudit(opt),
		newHealthcheck(opt), newVersion(opt),
	)
	root.InitDefaultCompletionCmd()
	finish(root)
	return root
}

// finish gives every command below c what all have in common: a group without a
// subcommand is wrong usage rather than a page of help on standard output, and
// the commands that come with the library get an example like all others.
func finish(c *cobra.Command) {
	for _, sub := range c.Commands() {
		finish(sub)
	}
	if c.Example == "" && c.HasParent() && c.Parent().Name() == "completion" {
		c.Example = fmt.Sprintf("  outgo completion %s > outgo.%s", c.Name(), c.Name())
	}
	if c.Name() == "completion" {
		c.Example = "  source <(outgo completion bash)"
	}
	if !c.HasSubCommands() || c.Runnable() && c.Name() != "completion" {
		return
	}
	if c.HasParent() {
		c.Args = cobra.ArbitraryArgs
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		if len(args) > 0 {
			return usageError{fmt.Sprintf("unknown command %q for %q; there is %s", args[0], c.CommandPath(), strings.Join(names, ", "))}
		}
		return usageError{"say what to do: " + strings.Join(names, ", ")}
	}
}

// printJSON writes v, which may be JSON already, as indented JSON.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
