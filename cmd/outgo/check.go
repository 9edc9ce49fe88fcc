package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/rails/stripe"
)

func newCheck(opt *options) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check the configuration and its policies", Args: cobra.NoArgs,
		Long: `Check reads the configuration as serve would and judges all of it: every mistake is
named with file, line, column and field, and patterns of operations that match none
with what was probably meant. Nothing is started or changed.`,
		Example: "  outgo check --config outgo.yaml\n  outgo check --json",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := opt.load()
			if err == nil {
				err = checkPolicies(cfg)
			}
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if opt.json {
				report := checkReport{OK: err == nil, Problems: problems}
				if report.Problems == nil {
					report.Problems = config.Problems{}
				}
				if perr := printJSON(c.OutOrStdout(), report); perr != nil {
					return perr
				}
				if err != nil {
					return exitStatus(statusFailed)
				}
				return nil
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), summary(cfg))
			return err
		},
	}
}

// checkReport is the result of check --json.
type checkReport struct {
	OK       bool            `json:"ok"`
	Problems config.Problems `json:"problems"`
}

func summary(cfg *config.Config) string {
	file := cfg.File()
	if file == "" {
		file = "the defaults (there is no " + defaultConfig + ")"
	}
	active := 0
	for _, p := range cfg.Policies {
		if p.IsActive {
			active++
		}
	}
	if active == 0 {
		return file + ": valid, but no policy is active: every spend is denied until policies: has one"
	}
	out := fmt.Sprintf("%s: valid, %d of %d policies active", file, active, len(cfg.Policies))
	if n := len(cfg.Rails.Stripe.WebhookSecrets); n > 0 {
		out += fmt.Sprintf("; Stripe's events are taken at http://%s%s, signed with %d %s", cfg.Listen.Control, webhookPath("stripe"), n, plural(n, "secret", "secrets"))
	}
	return out
}

// checkPolicies asks the engine's own rules too, so that what check accepts is
// what serve loads. Its error is config.Problems.
func checkPolicies(cfg *config.Config) error {
	var problems config.Problems
	policies, err := policiesOf(cfg)
	if err != nil {
		return config.Problems{cfg.Problem("policies", err.Error(), "")}
	}
	for i := range policies {
		if err := policies[i].Validate(); err != nil {
			field, what := fmt.Sprintf("policies[%d]", i), err.Error()
			var at *policy.FieldError
			if errors.As(err, &at) {
				field, what = field+"."+at.Field, at.Reason
			}
			what, remedy, _ := strings.Cut(what, "; ")
			problems = append(problems, cfg.Problem(field, what, remedy))
		}
	}
	for i, p := range policies {
		field := fmt.Sprintf("policies[%d]", i)
		if _, known := stripe.Digits(p.Unit); !known && !strings.Contains(p.Unit, ":") {
			problems = append(problems, cfg.Problem(field+".unit", fmt.Sprintf("%q is no currency", p.Unit), "write an ISO 4217 code such as USD, or a CAIP-19 asset id"))
		}
		for _, pattern := range p.Scope.Operations {
			if !matchesOperation(pattern) {
				problems = append(problems, cfg.Problem(field+".scope.operations", fmt.Sprintf("%q matches no operation, so the policy would never apply", pattern), meant(pattern)))
			}
		}
		for _, pattern := range slices.Sorted(maps.Keys(p.CapabilityRules)) {
			if !matchesOperation(pattern) {
				problems = append(problems, cfg.Problem(fmt.Sprintf("%s.capabilities[%q]", field, pattern), fmt.Sprintf("%q matches no operation, so the rule would never apply", pattern), meant(pattern)))
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// meant names the operation or family that was probably meant by a pattern that
// matches none.
func meant(pattern string) string {
	family, wild := strings.CutSuffix(pattern, ".*")
	var known []string
	for _, op := range stripe.Operations() {
		if !wild {
			known = append(known, op)
		}
		for at := range op {
			if op[at] == '.' {
				known = append(known, op[:at])
			}
		}
	}
	near := config.Nearest(family, known)
	switch {
	case near != "" && (wild || !slices.Contains(stripe.Operations(), near)):
		return fmt.Sprintf("did you mean %q?", near+".*")
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "`outgo explain` names the operation of a call"
}

// matchesOperation reports whether a scope's pattern means any call that a rail of
// this version knows.
func matchesOperation(pattern string) bool {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return slices.ContainsFunc(stripe.Operations(), func(op string) bool { return op == pattern || wild && strings.HasPrefix(op, prefix) })
}
