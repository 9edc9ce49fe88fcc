package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newFreeze makes freeze, or with on=false unfreeze.
func newFreeze(opt *options, on bool) *cobra.Command {
	verb, short := "freeze", "Stop spending now; holds and reservations are kept"
	if !on {
		verb, short = "unfreeze", "Let spending go on"
	}
	var keyFile, agent, rail string
	c := &cobra.Command{
		Use: verb, Short: short, Args: cobra.NoArgs,
		Example: "  outgo " + verb + "\n  outgo " + verb + " --agent billing-bot",
		RunE: func(c *cobra.Command, _ []string) error {
			return withControl(opt, keyFile, func(ctl *control) error {
				if err := ctl.do("POST", "/"+verb, map[string]string{"Agent": agent, "Rail": rail}, nil); err != nil {
					return err
				}
				what := "all spending"
				switch {
				case agent != "":
					what = "agent " + agent
				case rail != "":
					what = "rail " + rail
				}
				state := "frozen"
				if !on {
					state = "not frozen any more"
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s is %s\n", what, state)
				return err
			})
		},
	}
	c.Flags().StringVar(&keyFile, "key-file", "", keyFileHelp)
	c.Flags().StringVar(&agent, "agent", "", "only this agent")
	c.Flags().StringVar(&rail, "rail", "", "only this rail")
	return c
}
