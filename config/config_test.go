package config

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// home is the environment of every test: HOME and nothing else.
var home = []string{"HOME=/home/u"}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "outgo.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, text string, env ...string) *Config {
	t.Helper()
	c, err := Load(Source{File: write(t, text), Env: append(env, home...)})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// problems loads a text that must fail and returns its problems, one line each,
// without the directory of the file.
func problems(t *testing.T, text string, env ...string) []string {
	t.Helper()
	name := write(t, text)
	_, err := Load(Source{File: name, Env: append(env, home...)})
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Load = %v, want Problems", err)
	}
	var lines []string
	for _, p := range ps {
		lines = append(lines, strings.TrimPrefix(p.Error(), filepath.Dir(name)+"/"))
	}
	return lines
}

// fields returns what the configuration says, without where it says so.
func fields(t *testing.T, c *Config) string {
	t.Helper()
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFullExampleLoadsUnchanged(t *testing.T) {
	got, err := Load(Source{File: "testdata/full.yaml", Env: home})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.DataDir = "/home/u/.local/share/outgo"
	want.Agents, want.Credentials, want.Assets, want.Rails.Custom = []Agent{}, []Credential{}, []Asset{}, []Custom{}
	want.Rails.Stripe.Categories = map[string]string{}
	want.Upstreams = map[string]Upstream{"api.stripe.com": {URL: "http://127.0.0.1:12111"}}
	ten := 10
	none := []string{}
	want.Policies = []Policy{{
		Name: "default", Unit: "USD", MaxSingleAmount: "10000", DailyLimit: "50000", RequireApprovalOver: "5000",
		MaxTransactionsPerMinute: &ten, AllowedMerchants: none, BlockedMerchants: []string{"evil.example"},
		AllowedCategories: none, BlockedCategories: none, IsActive: true, TrustClaims: true, Capabilities: Capabilities{"default": "hold"},
		Duplicates: "flag", DuplicateWindow: 24 * time.Hour, DuplicatesAcross: "agent",
		Scope: Scope{none, none, none, none, none},
	}}
	if g, w := fields(t, got), fields(t, want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	want := Default()
	want.DataDir = "/home/u/.local/share/outgo"
	for _, text := range []string{"", "# nothing\n", "---\n", "listen:\nproxy:\n  hold:\n", "\ufeff"} {
		if g, w := fields(t, load(t, text)), fields(t, want); g != w {
			t.Errorf("%q: got %s\nwant %s", text, g, w)
		}
	}
	c, err := Load(Source{Env: home})
	if err != nil || fields(t, c) != fields(t, want) {
		t.Errorf("without a file: %v, %s", err, fields(t, c))
	}
}

func TestValues(t *testing.T) {
	c := load(t, `
data_dir: $$HOME/${DIR}/x$y
agents:
  - {name: buyer, token: "${TOKEN}", source: 10.0.0.0/8}
  - {name: local, source: uid:1000, credential: ab00000000000000000000000000000000000000000000000000000000000000}
  - {name: plain, source: 1001}
  - {name: one, source: 192.0.2.7}
proxy:
  max_body: 512KiB
  hold: {wait: {stripe: 0s, mine: 3s}, max_per_agent: "${N}"}
rails:
  stripe: {categories: {payouts.create: payroll}}
  evm: {networks: {node.example: eip155:1}, max_fee: 115792089237316195423570985008687907853269984665640564039457584007913129639935}
  custom:
    - name: mine
      hosts: [pay.example.com]
      operations: [{path: /pay, amount: body.cents, big: 123456789012345678901234567890, verbatim: true, note: null}]
assets: [{asset: "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", decimals: 6, unit: USD, price: 100}]
credentials: [{name: stripe, rail: stripe, use: swap, placeholder: sk_test_agent, secret: "${TOKEN}"}]
policies:
  - {name: a, unit: usd, maxSingleAmount: "340282366920938463463374607431768211456", isActive: false, trustClaims: false, timezone: Europe/Berlin, was: b}
`, "DIR=data", "TOKEN=12345", "N=7")
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"a dollar sign, a variable and a lone dollar", c.DataDir, "$HOME/data/x$y"},
		{"a variable of digits is text in a text field", c.Agents[0].Token, "12345"},
		{"an address range", c.Agents[0].Source, Origin{Net: netip.MustParsePrefix("10.0.0.0/8")}},
		{"a user", c.Agents[1].Source, Origin{UID: 1000, HasUID: true}},
		{"a user as a bare number", c.Agents[2].Source, Origin{UID: 1001, HasUID: true}},
		{"one address", c.Agents[3].Source, Origin{Net: netip.MustParsePrefix("192.0.2.7/32")}},
		{"a size", c.Proxy.MaxBody, Size(512 << 10)},
		{"a wait of nought", c.Wait("stripe"), time.Duration(0)},
		{"a wait of another rail stays as it was", c.Wait("evm"), 8 * time.Second},
		{"a wait of a custom rail", c.Wait("mine"), 3 * time.Second},
		{"the wait of a rail that is not named", c.Wait("moonpay"), 25 * time.Second},
		{"a variable of digits is a number in a number field", c.Proxy.Hold.MaxPerAgent, 7},
		{"the body of an EVM call", c.MaxBody("evm"), 4 << 20},
		{"the body of another call", c.MaxBody("stripe"), 512 << 10},
		{"a category", c.Rails.Stripe.Categories["payouts.create"], "payroll"},
		{"an integer beyond int64 without quotes", c.Rails.EVM.MaxFee, Integer(maxInteger)},
		{"an integer beyond int64 in quotes", c.Policies[0].MaxSingleAmount, Integer("340282366920938463463374607431768211456")},
		{"a policy that is switched off", c.Policies[0].IsActive, false},
		{"claims that are not trusted", c.Policies[0].TrustClaims, false},
		{"the former name", c.Policies[0].Was, "b"},
		{"a custom rail's hosts", c.Rails.Custom[0].Hosts(), []string{"pay.example.com"}},
		{"a custom rail is kept as written", c.Rails.Custom[0]["operations"], []any{map[string]any{
			"path": "/pay", "amount": "body.cents", "big": Integer("123456789012345678901234567890"), "verbatim": true, "note": nil}}},
		{"a secret from the environment", c.Credentials[0].Secret, "12345"},
		{"the price of an asset", c.Assets[0].Price, Integer("100")},
		{"the key for secrets", c.SealFile(), "$HOME/data/x$y/seal.key"},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			t.Errorf("%s: got %#v, want %#v", f.name, f.got, f.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	const policy = "policies:\n  - name: p\n    unit: USD\n"
	for name, c := range map[string]struct {
		text string
		want []string // prefixes of the problems, in order
	}{
		"an unknown field names its neighbour": {"lisen: {}\n",
			[]string{`outgo.yaml:1:1: lisen: unknown field; did you mean "listen"?`}},
		"another spelling of a known field": {policy + "    daily_limit: 5\n",
			[]string{`outgo.yaml:4:5: policies[0].daily_limit: unknown field; did you mean "dailyLimit"?`}},
		"a field in the wrong section names the right one": {"max_body: 1MiB\n",
			[]string{`outgo.yaml:1:1: max_body: unknown field; did you mean "proxy.max_body"?`}},
		"an unknown field in flow style": {"ca: {constrain: true, constrein: no}\n",
			[]string{`outgo.yaml:1:23: ca.constrein: unknown field; did you mean "constrain"?`}},
		"every mistake is reported, in the order of the file": {"zzz: 1\nlisten:\n  proxy: nowhere\nproxy: {auth: maybe}\nquotas: {keys: -1}\n", []string{
			`outgo.yaml:1:1: zzz: unknown field`,
			`outgo.yaml:3:10: listen.proxy: "nowhere" is not host:port; write host:port`,
			`outgo.yaml:4:15: proxy.auth: "maybe" is not a known value; write one of off, required`,
			`outgo.yaml:5:16: quotas.keys: negative`}},
		"text where a number belongs":   {"quotas: {keys: many}\n", []string{`outgo.yaml:1:16: quotas.keys: want a whole number, not "many"`}},
		"a quoted number":               {"quotas: {keys: \"5\"}\n", []string{`outgo.yaml:1:16: quotas.keys: want a whole number, not "5"; write digits only, without quotes`}},
		"a number in another base":      {"quotas: {keys: 0x10}\n", []string{`outgo.yaml:1:16: quotas.keys: want a whole number`}},
		"a number where text belongs":   {"agent: 5\n", []string{`outgo.yaml:1:8: agent: want text, not 5; put it in quotes: "5"`}},
		"a number with a fraction":      {policy + "    dailyLimit: 10.50\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "10.50" is not a whole number; write digits only`}},
		"an amount with an exponent":    {policy + "    dailyLimit: 1e3\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "1e3" is not a whole number`}},
		"an amount with separators":     {policy + "    dailyLimit: 1_000\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "1_000" is not a whole number`}},
		"an amount with leading zeros":  {policy + "    dailyLimit: 010\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "010" begins with a zero`}},
		"an amount below nought":        {policy + "    dailyLimit: -1\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "-1" is not a whole number`}},
		"an amount beyond 2^256-1":      {policy + "    dailyLimit: 115792089237316195423570985008687907853269984665640564039457584007913129639936\n", []string{`outgo.yaml:4:17: policies[0].dailyLimit: "1157`}},
		"a duration without a unit":     {"receipts: {expected_within: 15}\n", []string{`outgo.yaml:1:29: receipts.expected_within: "15" is not a duration`}},
		"a size without a known unit":   {"proxy: {max_body: 1MB5}\n", []string{`outgo.yaml:1:19: proxy.max_body: "1MB5" is not a size`}},
		"yes is not true":               {"ca: {constrain: yes}\n", []string{`outgo.yaml:1:17: ca.constrain: want true or false, not "yes"`}},
		"a list where fields belong":    {"listen: []\n", []string{`outgo.yaml:1:9: listen: want fields, not a list`}},
		"fields where a list belongs":   {"agents: {a: 1}\n", []string{`outgo.yaml:1:9: agents: want a list, not a mapping`}},
		"fields where a value belongs":  {"store: {a: 1}\n", []string{`outgo.yaml:1:8: store: want a single value, not a mapping`}},
		"a list at the top":             {"- 1\n", []string{`outgo.yaml:1:1: want fields, not a list`}},
		"an item left empty":            {"agents:\n  -\n", []string{`outgo.yaml:2:5: agents[0]: an empty item`}},
		"a field given twice":           {"agent: a\nagent: b\n", []string{`outgo.yaml:2:1: YAML syntax: mapping key "agent" already defined`}},
		"broken YAML":                   {"agents: [1,\n", []string{`outgo.yaml:1:9: YAML syntax: `}},
		"a variable bare in flow style": {"ca: {constrain: ${X}}\n", []string{`outgo.yaml:1:18: YAML syntax: ',' or '}' must be specified; inside { } and [ ] write "${NAME}" in quotes`}},
		"two documents":                 {"agent: a\n---\nagent: b\n", []string{`outgo.yaml:3:1: a second YAML document`}},
		"an anchor and an alias": {"agent: &a x\nstore: *a\n", []string{
			`outgo.yaml:1:8: agent: anchors, aliases and tags are not read`, `outgo.yaml:2:8: store: anchors`}},
		"a tag":                       {"agent: !!str 5\n", []string{`outgo.yaml:1:8: agent: anchors, aliases and tags`}},
		"a merge key":                 {"<<: {agent: x}\n", []string{`outgo.yaml:1:1: the name of a field must be plain text`}},
		"an unset variable":           {"agent: ${NOBODY}\n", []string{`outgo.yaml:1:8: agent: the environment variable NOBODY is not set`}},
		"a variable that is not one":  {"agent: ${a b\n", []string{`outgo.yaml:1:8: agent: "${a b" is not a variable; write "${NAME}"`}},
		"a fraction in a custom rail": {"rails: {custom: [{name: mine, hosts: [a.example], rate: 0.1}]}\n", []string{`outgo.yaml:1:57: rails.custom[0].rate: 0.1 has a fraction`}},
		"another user's home":         {"data_dir: ~bob/x\n", []string{`outgo.yaml:1:11: data_dir: another user's home`}},
		"an address without a port":   {"listen: {control: 127.0.0.1}\n", []string{`outgo.yaml:1:19: listen.control: "127.0.0.1" is not host:port`}},
		"a host name to listen on":    {"listen: {control: \"example.com:80\"}\n", []string{`outgo.yaml:1:19: listen.control: "example.com" is not an IP address`}},
		"a port beyond 65535":         {"listen: {control: \"127.0.0.1:70000\"}\n", []string{`outgo.yaml:1:19: listen.control: "70000" is not a port`}},
		"one address for two":         {"listen: {control: \"127.0.0.1:8080\"}\n", []string{`outgo.yaml:1:19: listen.control: the address is the same as that of listen.proxy`}},
		"no way in":                   {"listen: {proxy: \"\"}\n", []string{`outgo.yaml:1:9: listen: every way in is switched off`}},
		"two agents of one name":      {"agents:\n  - name: a\n  - name: a\n", []string{`outgo.yaml:3:11: agents[1].name: the name is the same as that of agents[0].name`}},
		"a bad agent name":            {"agents: [{name: 'a:b'}]\n", []string{`outgo.yaml:1:17: agents[0].name: "a:b" is not a name for an agent`}},
		"an agent without a name":     {"agents: [{token: x}]\n", []string{`outgo.yaml:1:10: agents[0].name: "" is not a name`}},
		"a source that is neither":    {"agents: [{name: a, source: here}]\n", []string{`outgo.yaml:1:28: agents[0].source: "here" is neither an address range nor a user id`}},
		"a range with host bits":      {"agents: [{name: a, source: 10.1.2.3/8}]\n", []string{`outgo.yaml:1:28: agents[0].source: "10.1.2.3/8" has bits set behind its mask; write 10.0.0.0/8`}},
		"a credential for its digest": {"agents: [{name: a, credential: sk_live_x}]\n", []string{`outgo.yaml:1:32: agents[0].credential: not a digest`}},
		"plain http to the world":     {"upstreams: {api.stripe.com: {url: \"http://example.com\"}}\n", []string{`outgo.yaml:1:35: upstreams["api.stripe.com"].url: plain http to another machine`}},
		"an upstream with a path":     {"upstreams: {api.stripe.com: {url: \"https://example.com/x\"}}\n", []string{`outgo.yaml:1:35: upstreams["api.stripe.com"].url: not the address of a server`}},
		"roots that are not there":    {"upstreams: {api.stripe.com: {url: \"https://example.com\", ca_file: /nonexistent/ca.pem}}\n", []string{`outgo.yaml:1:67: upstreams["api.stripe.com"].ca_file: open /nonexistent/ca.pem`}},
		"roots for plain http":        {"upstreams: {api.stripe.com: {url: \"http://[::1]:1\", server_name: x.example}}\n", []string{`outgo.yaml:1:29: upstreams["api.stripe.com"]: ca_file and server_name have no meaning`}},
		"a pattern as an upstream":    {"upstreams: {\"*.x.example\": {url: \"http://localhost:1\"}}\n", []string{`outgo.yaml:1:28: upstreams["*.x.example"]: "*.x.example" is not a canonical host name`}},
		"an upper-case host":          {"rails: {stripe: {hosts: [API.stripe.com]}}\n", []string{`outgo.yaml:1:26: rails.stripe.hosts[0]: "API.stripe.com" is not a canonical host name`}},
		"a host with a scheme":        {"rails: {stripe: {hosts: [\"https://api.stripe.com\"]}}\n", []string{`outgo.yaml:1:26: rails.stripe.hosts[0]: "https://api.stripe.com" is not a canonical`}},
		"an address in an odd base":   {"rails: {stripe: {hosts: [\"127.1\", \"0x7f.1\"]}}\n", []string{`outgo.yaml:1:26: rails.stripe.hosts[0]: "127.1" could be read as an address`, `outgo.yaml:1:35: rails.stripe.hosts[1]: "0x7f.1"`}},
		"a pattern that is too wide":  {"rails: {stripe: {hosts: [\"*.com\"]}}\n", []string{`outgo.yaml:1:26: rails.stripe.hosts[0]: "*.com" is too long or too wide`}},
		"one host for two rails":      {"rails: {moonpay: {hosts: [api.stripe.com]}}\n", []string{`outgo.yaml:1:27: rails.moonpay.hosts[0]: the host is the same as that of rails.stripe.hosts[0]`}},
		"a network that is none":      {"rails: {evm: {networks: {\"node.example:0\": mainnet}}}\n", []string{`outgo.yaml:1:44: rails.evm.networks["node.example:0"]: "0" is not a port`, `outgo.yaml:1:44: rails.evm.networks["node.example:0"]: "mainnet" is not a CAIP-2`}},
		"a custom rail without hosts": {"rails: {custom: [{name: mine}]}\n", []string{`outgo.yaml:1:18: rails.custom[0].hosts: not a list of host names`}},
		"a custom rail called stripe": {"rails: {custom: [{name: stripe, hosts: [a.example]}]}\n", []string{`outgo.yaml:1:25: rails.custom[0].name: "stripe" is a built-in rail`}},
		"inspecting under constraint": {"proxy: {unknown_hosts: inspect}\n", []string{`outgo.yaml:1:24: proxy.unknown_hosts: a constrained authority cannot vouch`}},
		"an enumeration's slip":       {"proxy: {unknown_hosts: tunel}\n", []string{`outgo.yaml:1:24: proxy.unknown_hosts: "tunel" is not a known value; write one of tunnel, inspect, deny; did you mean "tunnel"?`}},
		"an unknown rail waits":       {"proxy: {hold: {wait: {strip: 1s}}}\n", []string{`outgo.yaml:1:30: proxy.hold.wait.strip: "strip" is not a known value; write one of stripe`}},
		"a wait longer than the hold": {"proxy: {hold: {wait: {stripe: 2h}}}\n", []string{`outgo.yaml:1:31: proxy.hold.wait.stripe: not between 0 and proxy.hold.expire`}},
		"a body that is too large":    {"proxy: {max_body: 1GiB}\n", []string{`outgo.yaml:1:19: proxy.max_body: not between 1KiB and 64MiB`}},
		"a credential in two places":  {"credentials: [{name: x, rail: stripe, use: reconcile, secret: a, secret_file: b}]\n", []string{`outgo.yaml:1:79: credentials[0].secret_file: secret is set as well`}},
		"a credential in no file":     {"credentials: [{name: x, rail: stripe, use: reconcile, secret_file: /nonexistent/key}]\n", []string{`outgo.yaml:1:68: credentials[0].secret_file: read secret of credential "x"`}},
		"a reader that agents send":   {"credentials: [{name: x, rail: stripe, use: reconcile, secret: a, placeholder: b}]\n", []string{`outgo.yaml:1:79: credentials[0].placeholder: it has no meaning here`}},
		"caps on held money": {"proxy: {hold: {max_amount_per_agent: {dollars: 5, USD: 5, EUR: -1}}}\n", []string{
			`outgo.yaml:1:48: proxy.hold.max_amount_per_agent.dollars: "dollars" is neither`, `outgo.yaml:1:64: proxy.hold.max_amount_per_agent.EUR: "-1" is not a whole number`}},
		"a credential that is useless":     {"credentials: [{name: x, rail: strip, use: swop}]\n", []string{`outgo.yaml:1:15: credentials[0].secret: missing`, `outgo.yaml:1:31: credentials[0].rail: "strip" is not a known value`, `outgo.yaml:1:43: credentials[0].use: "swop"`}},
		"a store that is unknown":          {"store: mysql://x\n", []string{`outgo.yaml:1:8: store: not a known store`}},
		"mail without a server":            {"approvals: {email: ops@example.com}\n", []string{`outgo.yaml:1:20: approvals.email: no mail server is configured`}},
		"a quorum of nobody":               {"approvals: {quorum: 0}\n", []string{`outgo.yaml:1:21: approvals.quorum: less than one person`}},
		"two policies of one name":         {policy + "  - {name: p, unit: USD}\n", []string{`outgo.yaml:4:12: policies[1].name: the name is the same as that of policies[0].name`}},
		"a policy without a unit":          {"policies:\n  - name: p\n", []string{`outgo.yaml:2:5: policies[0].unit: missing`}},
		"a unit that is none":              {"policies: [{name: p, unit: dollars}]\n", []string{`outgo.yaml:1:28: policies[0].unit: "dollars" is neither`}},
		"a single limit over the day":      {policy + "    maxSingleAmount: 11\n    dailyLimit: 9\n", []string{`outgo.yaml:4:22: policies[0].maxSingleAmount: 11 is more than dailyLimit (9)`}},
		"an approval out of reach":         {policy + "    maxSingleAmount: 9\n    requireApprovalOver: 10\n", []string{`outgo.yaml:5:26: policies[0].requireApprovalOver: 10 is more than maxSingleAmount (9)`}},
		"a minute over the hour":           {policy + "    maxTransactionsPerMinute: 10\n    maxTransactionsPerHour: 9\n", []string{`outgo.yaml:4:31: policies[0].maxTransactionsPerMinute: 10 is more than`}},
		"allowed and blocked":              {policy + "    allowedMerchants: [a.example]\n    blockedMerchants: [A.example]\n", []string{`outgo.yaml:4:24: policies[0].allowedMerchants[0]: "a.example" is blocked as well`}},
		"a former name still in use":       {policy + "  - {name: q, unit: USD, was: p}\n", []string{`outgo.yaml:4:31: policies[1].was: "p" is the name of a policy that exists`}},
		"a zone that is none":              {policy + "    timezone: Berlin\n", []string{`outgo.yaml:4:15: policies[0].timezone: "Berlin" is not a known time zone`}},
		"an unknown capability":            {policy + "    capabilities: maybe\n", []string{`outgo.yaml:4:19: policies[0].capabilities: "maybe" is not a known value; write one of allow, hold, deny`}},
		"an unknown word for an operation": {policy + "    capabilities: {default: hold, \"accounts.*\": no}\n", []string{`outgo.yaml:4:49: policies[0].capabilities["accounts.*"]: "no" is not a known value; write one of allow, hold, deny`}},
		"an unknown default word":          {policy + "    capabilities:\n      default: den\n", []string{`outgo.yaml:5:16: policies[0].capabilities.default: "den" is not a known value; write one of allow, hold, deny; did you mean "deny"?`}},
		"a capability's odd pattern":       {policy + "    capabilities: {\"*\": deny}\n", []string{`outgo.yaml:4:25: policies[0].capabilities["*"]: "*" is not an operation; write one such as`}},
		"capabilities in a list":           {policy + "    capabilities: [deny]\n", []string{`outgo.yaml:4:19: policies[0].capabilities: want fields, not a list`}},
		"a number for a capability":        {policy + "    capabilities: 1\n", []string{`outgo.yaml:4:19: policies[0].capabilities: want text, not 1`}},
		"duplicates that nobody knows": {policy + "    duplicates: ask\n    duplicatesAcross: al\n    duplicateWindow: 0s\n", []string{
			`outgo.yaml:4:17: policies[0].duplicates: "ask" is not a known value; write one of allow, flag, hold, deny`,
			`outgo.yaml:5:23: policies[0].duplicatesAcross: "al" is not a known value; write one of agent, all; did you mean "all"?`,
			`outgo.yaml:6:22: policies[0].duplicateWindow: 0s is no time; write a duration`}},
		"a scope that is none": {policy + "    scope: {rails: [strip], modes: [prod], operations: ['*']}\n", []string{
			`outgo.yaml:4:21: policies[0].scope.rails[0]: "strip"`, `outgo.yaml:4:37: policies[0].scope.modes[0]: "prod"`, `outgo.yaml:4:57: policies[0].scope.operations[0]: "*"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(t, c.text)
			ok := len(got) == len(c.want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.HasPrefix(got[i], c.want[i])
			}
			if !ok {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

func TestExcerptPointsAndKeepsSecrets(t *testing.T) {
	name := write(t, "listen:\n  porxy: 127.0.0.1:1\n")
	_, err := Load(Source{File: name, Env: home})
	want := name + ":2:3: listen.porxy: unknown field; did you mean \"proxy\"?\n     2 |   porxy: 127.0.0.1:1\n       |   ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for _, text := range []string{
		"agents: [{token: hunter2, nam: a}]\n",
		"agents:\n  - name: a\n    tokn: hunter2\n",
		"agents:\n  - name: a\n    token: [hunter2]\n",
		"agents:\n  - {name: a, token: hunter2}\n  - {name: b, token: hunter2}\n",
		"store: mysql://u:hunter2@db\n",
		"stor: postgres://u:hunter2@db\n",
		"credentials: [{name: x, rail: nix, use: swap, placeholder: hunter2, secret: hunter2}]\n",
		"webhooks: {url: \"ftp://hunter2\"}\n",
		"agents: [{name: a, token: 'hunter2}]\n",
	} {
		_, err := Load(Source{File: write(t, text), Env: home})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the secret, or there is none: %v", text, err)
		}
	}
}

func TestOverrides(t *testing.T) {
	file := write(t, "listen: {proxy: \"127.0.0.1:1\", control: \"127.0.0.1:2\"}\nagent: one\n")
	c, err := Load(Source{File: file,
		Env: append(home, "OUTGO_LISTEN_PROXY=127.0.0.1:3", "OUTGO_LISTEN_CONTROL=127.0.0.1:4", "OUTGO_DATA_DIR=~/d",
			"OUTGO_PROXY_HOLD_WAIT_STRIPE=5s", "OUTGO_PROXY_MAX_BODY=2MiB", "OUTGO_CA_CONSTRAIN=false", "OUTGO_QUOTAS_KEYS=9",
			"OUTGO_RAILS_STRIPE_HOSTS=a.example, b.example", "OUTGO_RAILS_EVM_MAX_FEE=7", "OUTGO_PROXY_SERVICE_HOST=10.0.0.1", "OUTGO_PROXY_PORT=tcp://x"),
		Flags: map[string]string{"listen.control": "127.0.0.1:5", "proxy.hold.wait.evm": "6s"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"a variable overrides the file", c.Listen.Proxy, "127.0.0.1:3"},
		{"a flag overrides the variable", c.Listen.Control, "127.0.0.1:5"},
		{"the file stays where nothing overrides it", c.Agent, "one"},
		{"the home directory is expanded in a variable", c.DataDir, "/home/u/d"},
		{"an entry of a table by a variable", c.Wait("stripe"), 5 * time.Second},
		{"an entry of a table by a flag", c.Wait("evm"), 6 * time.Second},
		{"a size", c.Proxy.MaxBody, Size(2 << 20)},
		{"a switch", c.CA.Constrain, false},
		{"a number", c.Quotas.Keys, 9},
		{"a list", c.Rails.Stripe.Hosts, []string{"a.example", "b.example"}},
		{"an amount", c.Rails.EVM.MaxFee, Integer("7")},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			t.Errorf("%s: got %v, want %v", f.name, f.got, f.want)
		}
	}
}

func TestOverrideMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		env   []string
		flags map[string]string
		want  string
	}{
		"a value that does not fit":        {env: []string{"OUTGO_QUOTAS_KEYS=x"}, want: `OUTGO_QUOTAS_KEYS: quotas.keys: want a whole number, not "x"; write digits only, without quotes`},
		"a value that is judged wrong":     {env: []string{"OUTGO_PROXY_AUTH=on"}, want: `OUTGO_PROXY_AUTH: proxy.auth: "on" is not a known value; write one of off, required`},
		"a slip in the name":               {env: []string{"OUTGO_LISTEN_PROXXY=x"}, want: `OUTGO_LISTEN_PROXXY: no field of the configuration has this name; did you mean OUTGO_LISTEN_PROXY?`},
		"a field that only a file can set": {env: []string{"OUTGO_POLICIES=x"}, want: `OUTGO_POLICIES: policies: cannot be set here; write it in the configuration file`},
		"a flag that is judged wrong":      {flags: map[string]string{"listen.proxy": "x"}, want: `--set listen.proxy: listen.proxy: "x" is not host:port; write host:port with an IP address, such as "127.0.0.1:8080"`},
		"a flag for nothing":               {flags: map[string]string{"listen.prox": "x"}, want: `--set listen.prox: listen.prox: unknown field`},
	} {
		_, err := Load(Source{Env: append(c.env, home...), Flags: c.flags})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", name, err, c.want)
		}
	}
	_, err := Load(Source{})
	if err == nil || !strings.Contains(err.Error(), "HOME is not set") {
		t.Errorf("without HOME: %v", err)
	}
	if _, err := Load(Source{File: "testdata/absent.yaml", Env: home}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestCapabilitiesAreAWordOrWordsByOperation(t *testing.T) {
	const policy = "policies:\n  - name: p\n    unit: USD\n"
	for text, want := range map[string]Capabilities{
		"":                         {"default": "hold"},
		"    capabilities: deny\n": {"default": "deny"},
		"    capabilities: {default: deny, issuing.cards.create: allow, \"accounts.*\": hold}\n": {"default": "deny", "issuing.cards.create": "allow", "accounts.*": "hold"},
		"    capabilities:\n      accounts.*: allow\n":                                           {"default": "hold", "accounts.*": "allow"},
	} {
		got := load(t, policy+text).Policies[0].Capabilities
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
		by := maps.Clone(map[string]string(want))
		delete(by, "default")
		if len(by) == 0 {
			by = nil
		}
		if got.Default() != want["default"] || !reflect.DeepEqual(got.ByOperation(), by) {
			t.Errorf("%q: %q and %v", text, got.Default(), got.ByOperation())
		}
	}
}

func TestProblemOfALaterCheckHasItsPlace(t *testing.T) {
	c := load(t, "policies:\n  - name: p\n    unit: USD\n    dailyLimit: 5\n")
	for field, want := range map[string][2]int{
		"policies[0].dailyLimit": {4, 17}, "policies[0].monthlyLimit": {2, 5}, "policies[7].name": {2, 3}, "agent": {0, 0},
	} {
		if p := c.Problem(field, "what", ""); p.Line != want[0] || p.Column != want[1] || p.Source != c.File() {
			t.Errorf("%s: at %s:%d:%d, want %v", field, p.Source, p.Line, p.Column, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(full))
	f.Add("a: [1,\n")
	f.Add("\ra\x83:\r\x10\x95\xe2\x00\x95\xe20\x000\r\x83\x83\ra")
	f.Add("rails: {custom: [{x: [1, {y: ${A}}]}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		c.marks = make(map[string]mark)
		c.lines = lines([]byte(text))
		d := &decoder{c: c, env: map[string]string{"A": "1"}}
		d.file([]byte(text))
		for _, p := range append(d.problems, c.check()...) {
			if p.What == "" || p.Line < 0 || p.Column < 0 {
				t.Errorf("a problem without words or place: %+v", p)
			}
		}
	})
}

// Who stops all spending must not need every secret for it.
func TestCommandsDoWithoutSecrets(t *testing.T) {
	file := write(t, `
data_dir: "${PLACE}"
agents: [{name: bot, token: "${BOT_TOKEN}"}, {name: cat, token: "${CAT_TOKEN}"}]
credentials:
  - {name: one, rail: stripe, use: reconcile, secret: "${READER_KEY}"}
  - {name: two, rail: stripe, use: reconcile, secret_file: /nowhere/reader.key}
`)
	c, err := Load(Source{File: file, Env: []string{"PLACE=/srv/outgo"}, NoSecrets: true})
	if err != nil || c.DataDir != "/srv/outgo" {
		t.Errorf("without secrets: %v", err)
	}
	_, err = Load(Source{File: file, Env: []string{"PLACE=/srv/outgo"}})
	for _, want := range []string{"BOT_TOKEN", "CAT_TOKEN", "READER_KEY", "/nowhere/reader.key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with secrets: %v, want it to name %s", err, want)
		}
	}
	if _, err = Load(Source{File: file, NoSecrets: true}); err == nil || !strings.Contains(err.Error(), "PLACE") {
		t.Errorf("what is no secret may not be missing: %v", err)
	}
}
