package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/engine/spend"
)

// keyFileHelp says where a command looks for the key to act with.
const keyFileHelp = "`FILE` with the API key to act with (else " + keyVariable + ", else data_dir/" + adminKeyFile + ", else a prompt)"

// A shownRequest is what the commands show of a spend request; the fields are
// those of the control API.
type shownRequest struct {
	ID             string          `json:"id"`
	Decision       string          `json:"decision"`
	DecisionReason string          `json:"decisionReason"`
	State          string          `json:"state"`
	AgentID        string          `json:"agentId"`
	AmountMinor    json.RawMessage `json:"amountMinor"`
	Unit           string          `json:"unit"`
	Merchant       string          `json:"merchant"`
	Payee          string          `json:"payee"`
	Reason         string          `json:"reason"`
	Rail           string          `json:"rail"`
	Operation      string          `json:"operation"`
	Mode           string          `json:"mode"`
	Message        string          `json:"message"`
	CreatedAt      *time.Time      `json:"createdAt"`
	ChangedAt      *time.Time      `json:"changedAt"`
	ExpiresAt      *time.Time      `json:"expiresAt"`
	Legs           []struct {
		Claimed []string `json:"claimed"`
	} `json:"legs"`
	Receipts []struct {
		ProviderTransactionID string `json:"providerTransactionId"`
		Status                string `json:"status"`
	} `json:"receipts"`
	Anomalies []string `json:"anomalyFlags"`
	Approval  *struct {
		Status string  `json:"status"`
		Note   *string `json:"note"`
	} `json:"approval"`
}

func (r *shownRequest) amount() string {
	n := strings.Trim(string(r.AmountMinor), `"`)
	if n == "null" || n == "" {
		return "-"
	}
	return money(n, r.Unit)
}

// merchant marks what is only the agent's word.
func (r *shownRequest) merchant() string {
	m := orDash(printable(r.Merchant))
	if len(r.Legs) > 0 && slices.Contains(r.Legs[0].Claimed, "merchant") {
		m += " (claimed)"
	}
	return m
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable keeps an agent's text from moving a terminal's cursor or turning its
// writing direction: what does not print becomes a question mark, and long text
// is cut.
func printable(s string) string { return printableUpTo(120, s) }

func printableUpTo(most int, s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > most {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}

func newApprovals(opt *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "approvals",
		Short:   "See what waits for a person, and decide",
		Example: "  outgo approvals list\n  outgo approvals approve 0190c5f0-… --note \"agreed with finance\"",
	}
	var keyFile string
	cmd.PersistentFlags().StringVar(&keyFile, "key-file", "", keyFileHelp)
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List what waits for a decision", Args: cobra.NoArgs,
			Example: "  outgo approvals list --json",
			RunE: func(c *cobra.Command, _ []string) error {
				return withControl(opt, keyFile, func(ctl *control) error {
					return list(c.OutOrStdout(), opt, ctl, "/approvals?status=PENDING", writeApprovals)
				})
			},
		},
		&cobra.Command{
			Use: "watch", Short: "Print each approval as it comes in, until interrupted", Args: cobra.NoArgs,
			Example: "  outgo approvals watch",
			RunE: func(c *cobra.Command, _ []string) error {
				return watchApprovals(c, opt, keyFile)
			},
		},
		newResolve(opt, &keyFile, "approve", "APPROVED"),
		newResolve(opt, &keyFile, "reject", "REJECTED"),
	)
	return cmd
}

func newResolve(opt *options, keyFile *string, verb, status string) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: verb + " ID", Short: strings.ToUpper(verb[:1]) + verb[1:] + " a held request", Args: cobra.ExactArgs(1),
		Example: "  outgo approvals " + verb + " 0190c5f0-… --note \"agreed with finance\"",
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(opt, *keyFile, func(ctl *control) error {
				var raw json.RawMessage
				body := map[string]string{"status": status, "note": note}
				if err := ctl.do("POST", "/approvals/"+args[0]+"/resolve", body, &raw); err != nil {
					return err
				}
				if opt.json {
					return printJSON(c.OutOrStdout(), raw)
				}
				var r shownRequest
				if err := json.Unmarshal(raw, &r); err != nil {
					return err
				}
				what := strings.ToLower(status)
				if r.State == string(spend.Authorized) {
					what += "; it goes through, once, when the agent's call is there or comes again"
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s %s for %s: %s\n", r.ID, r.Operation, r.amount(), printable(r.AgentID), what)
				return err
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "why, for the record and the agent")
	return c
}

// withControl opens the control, runs fn and closes it.
func withControl(opt *options, keyFile string, fn func(*control) error) error {
	cfg, err := opt.loadBare()
	if err != nil {
		return err
	}
	ctl, err := openControl(cfg, keyFile)
	if err != nil {
		return err
	}
	defer ctl.close()
	return fn(ctl)
}

// list prints a list of the API, as it came or by write.
func list(w io.Writer, opt *options, ctl *control, path string, write func(io.Writer, []shownRequest) error) error {
	var raw json.RawMessage
	if err := ctl.do("GET", path, nil, &raw); err != nil {
		return err
	}
	if opt.json {
		return printJSON(w, raw)
	}
	var rs []shownRequest
	if err := json.Unmarshal(raw, &rs); err != nil {
		return fmt.Errorf("read outgo's answer: %w", err)
	}
	return write(w, rs)
}

func writeApprovals(w io.Writer, rs []shownRequest) error {
	if len(rs) == 0 {
		_, err := fmt.Fprintln(os.Stderr, "nothing waits for a decision")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tAGENT\tAMOUNT\tOPERATION\tPAYEE\tMERCHANT\tMODE\tEXPIRES")
	for _, r := range rs {
		left := "-"
		if r.ExpiresAt != nil {
			left = "in " + time.Until(*r.ExpiresAt).Round(time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, printable(r.AgentID), r.amount(), r.Operation,
			orDash(printable(r.Payee)), r.merchant(), orDash(r.Mode), left)
	}
	return t.Flush()
}
