package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTheSecretsOfWebhookEndpointsAreCheckedAndNeverShown(t *testing.T) {
	const one, two = "whsec_0123456789abcdefONE", "whsec_0123456789abcdefTWO"
	env := append(slices.Clone(home), "HOOK="+two, "BAD=hunter2hunter2hunter2")
	for sentence, c := range map[string]struct {
		list string
		want []string
		bad  string // what is said of it
	}{
		"none":                       {"[]", []string{}, ""},
		"one as it is":               {"[" + one + "]", []string{one}, ""},
		"two, one in a variable":     {`[` + one + `, "${HOOK}"]`, []string{one, two}, ""},
		"something else":             {"[" + one + `, "hunter2hunter2hunter2"]`, nil, "webhook_secrets[1]: not the signing secret"},
		"something in a variable":    {`["${BAD}"]`, nil, "webhook_secrets[0]: not the signing secret"},
		"a beginning of one":         {"[whsec_hunter2]", nil, "webhook_secrets[0]: not the signing secret"},
		"one with a space":           {`["whsec_hunter2 hunter2hunter2"]`, nil, "webhook_secrets[0]: not the signing secret"},
		"the same twice":             {"[" + one + ", " + one + "]", nil, "the secret is the same as that of rails.stripe.webhook_secrets[0]"},
		"one that is no list":        {one, nil, "want a list"},
		"a variable that is not set": {`["${NO_HOOK}"]`, nil, "NO_HOOK is not set"},
	} {
		t.Run(sentence, func(t *testing.T) {
			c0, err := Load(Source{File: write(t, "rails: {stripe: {webhook_secrets: "+c.list+"}}\n"), Env: env})
			if c.bad == "" {
				if err != nil || !slices.Equal(c0.Rails.Stripe.WebhookSecrets, c.want) {
					t.Errorf("%v, want %v: %v", c0, c.want, err)
				}
				return
			}
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%v, want %q", err, c.bad)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), one)) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestTheVariablesOfWebhookSecretsAreThoseOfSecrets(t *testing.T) {
	file := write(t, "rails: {stripe: {webhook_secrets: [\"${HOOK}\"]}}\n")
	c, err := Load(Source{File: file, Env: append(slices.Clone(home), "HOOK=whsec_0123456789abcdef")})
	if err != nil || !slices.Equal(c.SecretVariables(), []string{"HOOK"}) {
		t.Errorf("%v, %v", c.SecretVariables(), err)
	}
	if c, err = Load(Source{File: file, Env: home, NoSecrets: true}); err != nil {
		t.Errorf("where secrets are not needed: %v, %v", c, err)
	}
	_, err = Load(Source{File: write(t, "rails: {moonpay: {webhook_secrets: [x]}}\n"), Env: home})
	if err == nil || !strings.Contains(err.Error(), "rails.stripe.webhook_secrets") {
		t.Errorf("of another rail: %v", err)
	}
}
