package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type shownKey struct {
	ID        string     `json:"id"`
	KeyPrefix string     `json:"keyPrefix"`
	Plaintext string     `json:"plaintext"`
	Role      string     `json:"role"`
	AgentID   string     `json:"agentId"`
	CreatedAt *time.Time `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

func newKeys(opt *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keys",
		Short:   "Make, list and end API keys",
		Example: "  outgo keys create --role approver\n  outgo keys revoke outgo_ABcd1234",
	}
	var keyFile, role, agent string
	cmd.PersistentFlags().StringVar(&keyFile, "key-file", "", keyFileHelp)
	create := &cobra.Command{
		Use: "create --role agent|approver|admin", Short: "Make a key; it is shown once", Args: cobra.NoArgs,
		Example: "  outgo keys create --role agent --agent billing-bot",
		RunE: func(c *cobra.Command, _ []string) error {
			return withControl(opt, keyFile, func(ctl *control) error {
				return showNewKey(c, opt, ctl, "/api-keys", map[string]string{"role": role, "agentId": agent})
			})
		},
	}
	create.Flags().StringVar(&role, "role", "", "agent (come in and read its own), approver (also decide and freeze), or admin (also unfreeze, keys, an unknown outcome)")
	create.Flags().StringVar(&agent, "agent", "", "the agent that a key of role agent belongs to")
	_ = create.MarkFlagRequired("role") // fails only for a flag that does not exist
	cmd.AddCommand(create,
		&cobra.Command{
			Use: "list", Short: "List keys by their prefixes", Args: cobra.NoArgs, Example: "  outgo keys list",
			RunE: func(c *cobra.Command, _ []string) error {
				return withControl(opt, keyFile, func(ctl *control) error { return listKeys(c, opt, ctl) })
			},
		},
		&cobra.Command{
			Use: "rotate ID", Short: "Replace a key; the old one works for another 24 hours", Args: cobra.ExactArgs(1),
			Example: "  outgo keys rotate outgo_ABcd1234",
			RunE: func(c *cobra.Command, args []string) error {
				return withControl(opt, keyFile, func(ctl *control) error {
					return showNewKey(c, opt, ctl, "/api-keys/"+url.PathEscape(args[0])+"/rotate", nil)
				})
			},
		},
		&cobra.Command{
			Use: "revoke ID", Short: "End a key at once", Args: cobra.ExactArgs(1), Example: "  outgo keys revoke outgo_ABcd1234",
			RunE: func(c *cobra.Command, args []string) error {
				return withControl(opt, keyFile, func(ctl *control) error {
					if err := ctl.do("DELETE", "/api-keys/"+url.PathEscape(args[0]), nil, nil); err != nil {
						return err
					}
					_, err := fmt.Fprintf(c.OutOrStdout(), "%s revoked\n", args[0])
					return err
				})
			},
		},
	)
	return cmd
}

// showNewKey prints a new key alone on standard output, so that it can be
// captured, and what it is on standard error.
func showNewKey(c *cobra.Command, opt *options, ctl *control, path string, body any) error {
	var raw json.RawMessage
	if err := ctl.do("POST", path, body, &raw); err != nil {
		return err
	}
	if opt.json {
		return printJSON(c.OutOrStdout(), raw)
	}
	var k shownKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return fmt.Errorf("read outgo's answer: %w", err)
	}
	fmt.Fprintf(os.Stderr, "key %s, role %s; it is shown this once, keep it outside the data directory\n", k.KeyPrefix, k.Role)
	_, err := fmt.Fprintln(c.OutOrStdout(), k.Plaintext)
	return err
}

func listKeys(c *cobra.Command, opt *options, ctl *control) error {
	var raw json.RawMessage
	if err := ctl.do("GET", "/api-keys", nil, &raw); err != nil {
		return err
	}
	if opt.json {
		return printJSON(c.OutOrStdout(), raw)
	}
	var keys []shownKey
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fmt.Errorf("read outgo's answer: %w", err)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PREFIX\tROLE\tAGENT\tCREATED\tSTATUS")
	for _, k := range keys {
		status, created := "valid", "-"
		switch {
		case k.RevokedAt != nil:
			status = "revoked " + k.RevokedAt.Format(time.DateTime)
		case k.ExpiresAt != nil:
			status = "until " + k.ExpiresAt.Format(time.DateTime)
		}
		if k.CreatedAt != nil {
			created = k.CreatedAt.Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.KeyPrefix, k.Role, orDash(k.AgentID), created, status)
	}
	return t.Flush()
}
