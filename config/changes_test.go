package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outgo/outgo/config"
)

func TestChangesAreNamedWithoutTheirValues(t *testing.T) {
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "outgo.yaml")
		if err := os.WriteFile(file, []byte("data_dir: /nonexistent\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Source{File: file})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const before = "proxy: {auth: required, hold: {wait: {stripe: 5s}}}\nagents: [{name: a, token: one}]\npolicies: [{name: p, unit: USD}]\n"
	for name, c := range map[string]struct {
		after string
		want  []string
	}{
		"nothing":                     {before, nil},
		"a word, and a line of space": {"\nproxy: {hold: {wait: {stripe: 5s}}}\nagents: [{name: a, token: one}]\npolicies: [{name: p, unit: USD}]\n", []string{"proxy.auth"}},
		"a map, a list and a secret":  {"proxy: {auth: required, hold: {wait: {stripe: 6s}}}\nagents: [{name: a, token: two}]\npolicies: [{name: p, unit: EUR}]\n", []string{"agents", "proxy.hold.wait", "policies"}},
		"a listener and a default":    {before + "listen: {control: 127.0.0.1:9}\nreceipts: {expected_within: 1m}\n", []string{"listen.control", "receipts.expected_within"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := load(before).Changes(load(c.after)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
