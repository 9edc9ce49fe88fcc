package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/engine/spend"
)

func newRequests(opt *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "requests",
		Short:   "See spend requests, and settle unknown outcomes",
		Example: "  outgo requests list --agent billing-bot\n  outgo requests show 0190c5f0-…",
	}
	var keyFile string
	cmd.PersistentFlags().StringVar(&keyFile, "key-file", "", keyFileHelp)

	filters := url.Values{}
	flags := map[string]*string{}
	listCmd := &cobra.Command{
		Use: "list", Short: "List spend requests, newest first", Args: cobra.NoArgs,
		Example: "  outgo requests list --decision DENY --from 2026-11-01 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			for name, v := range flags {
				if *v != "" {
					filters.Set(name, *v)
				}
			}
			return withControl(opt, keyFile, func(ctl *control) error {
				return list(c.OutOrStdout(), opt, ctl, "/spend-requests?"+filters.Encode(), writeRequests)
			})
		},
	}
	for _, f := range []struct{ flag, query, usage string }{
		{"agent", "agentId", "only this agent's"},
		{"merchant", "merchant", "only at this merchant"},
		{"decision", "decision", "ALLOW, DENY or REQUIRE_APPROVAL"},
		{"state", "state", "held, authorized, executing, settled, denied, failed, expired or canceled"},
		{"from", "from", "made at or after this date or time"},
		{"to", "to", "made before this date or time"},
		{"text", "q", "with this text in an id, operation, payee, merchant or receipt"},
		{"limit", "limit", "at most this many (default 50, at most 200)"},
	} {
		flags[f.query] = listCmd.Flags().String(f.flag, "", f.usage)
	}
	cmd.AddCommand(listCmd,
		&cobra.Command{
			Use: "show ID", Short: "Show one request with its verdict and receipts", Args: cobra.ExactArgs(1),
			Example: "  outgo requests show 0190c5f0-…",
			RunE: func(c *cobra.Command, args []string) error {
				return withControl(opt, keyFile, func(ctl *control) error {
					var raw json.RawMessage
					if err := ctl.do("GET", "/requests/"+url.PathEscape(args[0]), nil, &raw); err != nil {
						return err
					}
					if opt.json {
						return printJSON(c.OutOrStdout(), raw)
					}
					var r spend.Request
					if err := json.Unmarshal(raw, &r); err != nil {
						return fmt.Errorf("read outgo's answer: %w", err)
					}
					return writeRequest(c.OutOrStdout(), &r)
				})
			},
		},
		newTestify(opt, &keyFile, "settle", "it was paid"),
		newTestify(opt, &keyFile, "fail", "it was not paid"),
	)
	return cmd
}

func newTestify(opt *options, keyFile *string, verb, what string) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: verb + " ID", Short: "Give your word on an unknown outcome: " + what, Args: cobra.ExactArgs(1),
		Example: "  outgo requests " + verb + " 0190c5f0-… --note \"looked at the provider's dashboard\"",
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(opt, *keyFile, func(ctl *control) error {
				var raw json.RawMessage
				if err := ctl.do("POST", "/requests/"+url.PathEscape(args[0])+"/"+verb, map[string]string{"Note": note}, &raw); err != nil {
					return err
				}
				if opt.json {
					return printJSON(c.OutOrStdout(), raw)
				}
				var r spend.Request
				if err := json.Unmarshal(raw, &r); err != nil {
					return fmt.Errorf("read outgo's answer: %w", err)
				}
				return writeTestimony(c.OutOrStdout(), &r)
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "how you know, for the record")
	return c
}

// writeTestimony says what an operator's word has done.
func writeTestimony(w io.Writer, r *spend.Request) error {
	what := "it counts as paid"
	if r.State == spend.Failed {
		what = "it was not paid, and is given back to its budgets"
	}
	amounts := make([]string, 0, len(r.Intent.Legs))
	for i := range r.Intent.Legs {
		amounts = append(amounts, moneyOf(r.Intent.Legs[i].Amount))
	}
	by := ""
	if n := len(r.Receipts); n > 0 {
		by = " (" + printable(r.Receipts[n-1].Note) + ")"
	}
	_, err := fmt.Fprintf(w, "%s %s for %s is %s: %s%s\n", r.ID, orDash(strings.Join(amounts, " and ")), printable(r.Intent.Agent), r.State, what, by)
	return err
}

func writeRequests(w io.Writer, rs []shownRequest) error {
	if len(rs) == 0 {
		_, err := fmt.Fprintln(os.Stderr, "no such request")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tTIME\tAGENT\tAMOUNT\tOPERATION\tMERCHANT\tDECISION\tREASON\tSTATE\tRECEIPT")
	for _, r := range rs {
		at, receipt := "-", "-"
		if r.CreatedAt != nil {
			at = r.CreatedAt.Format(time.DateTime)
		}
		if n := len(r.Receipts); n > 0 {
			receipt = orDash(printable(r.Receipts[n-1].ProviderTransactionID))
		}
		if len(r.Anomalies) > 0 {
			receipt = strings.TrimPrefix(receipt+" "+strings.Join(r.Anomalies, " "), "- ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, at, printable(r.AgentID), r.amount(), r.Operation,
			r.merchant(), r.Decision, r.DecisionReason, r.State, receipt)
	}
	return t.Flush()
}
