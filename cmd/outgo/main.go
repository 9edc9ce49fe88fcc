// Command outgo is a sidecar and forward proxy that reads an agent's payment
// calls off the wire, decides on them with a local engine, blocks or holds them,
// and keeps the provider's own answer as the receipt.
//
// main parses flags and wires: serve.go makes every part of the running sidecar,
// top to bottom, and is the place to begin. Every other subcommand is a file of
// its own. Commands that need the ledger talk to the daemon that holds it or, when
// there is none, open it themselves. A command prints its result on standard
// output and nothing else; its exit status is 0 for done, 1 for failed, and 2 for
// wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outgo/outgo/config"
)

// The exit statuses.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	opt := &options{env: env}
	root := newRoot(opt)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var status exitStatus
	var wrong usageError
	var problems config.Problems
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &problems):
		// These begin with file and line, where editors look for them.
		fmt.Fprintln(stderr, problems.Error())
		return statusFailed
	case !opt.started || errors.As(err, &wrong):
		fmt.Fprintf(stderr, "outgo: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return statusUsage
	default:
		fmt.Fprintf(stderr, "outgo: %v\n", err)
		return statusFailed
	}
}

// exitStatus ends the process with its number and without a word: whoever
// returns it has said what there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that makes no sense.
type usageError struct{ reason string }

func (e usageError) Error() string { return e.reason }
