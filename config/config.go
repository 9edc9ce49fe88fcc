// Package config is what a person may decide about outgo: one strict YAML file,
// then OUTGO_… variables, then flags, each overriding the last, over defaults
// for everything.
//
// Load reads them into a Config and checks the whole before anything listens. It
// never stops at the first mistake: its error is Problems, each with file, line,
// column and field, what is wrong and what to do. A loaded Config remembers where
// each field was written, so that a later check (Config.Problem) can point there
// too. The package knows nothing of the rest of outgo: amounts are decimal text,
// policies are plain fields.
package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is the whole configuration. The yaml tags are the names of the file.
type Config struct {
	DataDir     string              `yaml:"data_dir"` // ledger, CA, keys; "~" is expanded by Load
	Agent       string              `yaml:"agent"`    // identity of calls that carry none
	Agents      []Agent             `yaml:"agents"`
	Listen      Listen              `yaml:"listen"`
	Proxy       Proxy               `yaml:"proxy"`
	Upstreams   map[string]Upstream `yaml:"upstreams"` // by canonical host name
	Rails       Rails               `yaml:"rails"`
	CA          CA                  `yaml:"ca"`
	Credentials []Credential        `yaml:"credentials"`
	Assets      []Asset             `yaml:"assets"`
	Policies    []Policy            `yaml:"policies"`
	Approvals   Approvals           `yaml:"approvals"`
	Webhooks    Webhooks            `yaml:"webhooks"`
	SMTP        SMTP                `yaml:"smtp"`
	Receipts    Receipts            `yaml:"receipts"`
	Quotas      Quotas              `yaml:"quotas"`
	Seal        Seal                `yaml:"seal"`
	Store       string              `yaml:"store" secret:"true"` // "badger", or a postgres:// URL

	file  string          // as it was named to Load; "" without a file
	lines []string        // of the file, for excerpts
	marks map[string]mark // where each field was set

	secretVars []string // variables of the environment that secret fields name
	noSecrets  bool     // see Source
}

// Agent says who a call comes from. The first match counts, in the order of
// proxy credentials, peer uid, source address, digest of the provider credential.
type Agent struct {
	Name       string `yaml:"name"`
	Token      string `yaml:"token" secret:"true"` // password of its proxy credentials
	Source     Origin `yaml:"source"`
	Credential string `yaml:"credential"` // keyed SHA-256 digest of its provider credential, in hex
}

// Listen holds host:port addresses; "" switches a listener off.
type Listen struct {
	Proxy       string `yaml:"proxy"`       // HTTP_PROXY and HTTPS_PROXY
	Transparent string `yaml:"transparent"` // TLS by SNI behind a redirect
	Reverse     string `yaml:"reverse"`     // base-URL mode
	Control     string `yaml:"control"`     // REST, dashboard, metrics, health
}

// Proxy says how calls are taken in.
type Proxy struct {
	Auth         string    `yaml:"auth"`          // "off" or "required"
	UnknownHosts string    `yaml:"unknown_hosts"` // "tunnel", "inspect" or "deny"
	Unrecognised string    `yaml:"unrecognised"`  // "deny" or "hold"
	Unmatched    Unmatched `yaml:"unmatched"`
	MaxBody      Size      `yaml:"max_body"` // of calls on guarded routes; see Config.MaxBody
	Hold         Hold      `yaml:"hold"`
}

// Unmatched is what happens to a payment on which no policy decides, by the
// surface it came in on: "deny" or "hold".
type Unmatched struct {
	Wire    string `yaml:"wire"`
	Pinti   string `yaml:"pinti"`
	Guard   string `yaml:"guard"`
	Intents string `yaml:"intents"`
}

// Hold bounds the calls that wait for a person.
type Hold struct {
	Wait        map[string]time.Duration `yaml:"wait"`   // by rail: how long the connection is kept open; see Config.Wait
	Expire      time.Duration            `yaml:"expire"` // time to decide
	Keep        time.Duration            `yaml:"keep"`   // time in which an approved call may come back
	MaxPerAgent int                      `yaml:"max_per_agent"`
	// MaxAmountPerAgent is how much one agent's held calls may move together, by
	// unit and in its smallest unit; a unit that is not named has no bound.
	MaxAmountPerAgent map[string]Integer `yaml:"max_amount_per_agent"`
}

// Upstream replaces the address that a host's calls are sent to.
type Upstream struct {
	URL        string `yaml:"url"`         // http://… to loopback only, or https://…
	CAFile     string `yaml:"ca_file"`     // PEM roots for https, instead of the system's
	ServerName string `yaml:"server_name"` // name that the certificate must carry; "" is the host
}

// Rails configures the providers that outgo understands. Host patterns are exact
// names, or "*.example.com" for every subdomain.
type Rails struct {
	Stripe  Stripe   `yaml:"stripe"`
	MoonPay MoonPay  `yaml:"moonpay"`
	EVM     EVM      `yaml:"evm"`
	Custom  []Custom `yaml:"custom"`
}

// Stripe configures the Stripe rail.
type Stripe struct {
	Hosts      []string          `yaml:"hosts"`
	Categories map[string]string `yaml:"categories"` // by operation, where nothing else names one
	// WebhookSecrets are the signing secrets ("whsec_…") of the endpoints that post
	// events to outgo; without one, none is taken.
	WebhookSecrets []string `yaml:"webhook_secrets" secret:"true"`
}

// MoonPay configures the MoonPay rail.
type MoonPay struct {
	Hosts []string `yaml:"hosts"`
}

// EVM configures the JSON-RPC rail of EVM chains.
type EVM struct {
	Hosts    []string          `yaml:"hosts"`
	Networks map[string]string `yaml:"networks"` // host or host:port to a CAIP-2 id ("eip155:1")
	MaxFee   Integer           `yaml:"max_fee"`  // wei that a fee no policy covers may be; "" is no bound
	MaxBody  Size              `yaml:"max_body"` // blob transactions need more than the proxy's
}

// Custom is a rail declared in YAML, kept as written: text, Integer, bool, nil,
// []any and map[string]any. It always has "name" and "hosts".
type Custom map[string]any

// Name returns the rail's name.
func (c Custom) Name() string {
	name, _ := c["name"].(string)
	return name
}

// Hosts returns the rail's host patterns.
func (c Custom) Hosts() []string {
	list, _ := c["hosts"].([]any)
	hosts := make([]string, 0, len(list))
	for _, h := range list {
		if s, ok := h.(string); ok {
			hosts = append(hosts, s)
		}
	}
	return hosts
}

// CA configures the interception authority.
type CA struct {
	Constrain bool `yaml:"constrain"` // it can vouch for guarded and inspected names only
}

// Credential is a provider secret that outgo holds.
type Credential struct {
	Name        string   `yaml:"name"`
	Rail        string   `yaml:"rail"`
	Use         string   `yaml:"use"`                       // "swap" (for the agent's placeholder) or "reconcile"
	Agents      []string `yaml:"agents"`                    // who may use it; empty is everyone
	Placeholder string   `yaml:"placeholder" secret:"true"` // what the agent sends in its place
	// Secret is the credential itself; SecretFile names a file that holds it and
	// nothing else. Exactly one is set; see Credential.Reveal.
	Secret     string `yaml:"secret" secret:"true"`
	SecretFile string `yaml:"secret_file"`
}

// Reveal returns the secret, from its file where it is in one.
func (c *Credential) Reveal() (string, error) {
	if c.SecretFile == "" {
		return c.Secret, nil
	}
	b, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read secret of credential %q: %w", c.Name, err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("read secret of credential %q: %s is empty", c.Name, c.SecretFile)
	}
	return secret, nil
}

// Asset values a CAIP-19 asset in a fiat unit.
type Asset struct {
	Asset    string  `yaml:"asset"` // "eip155:1/erc20:0x…"
	Symbol   string  `yaml:"symbol"`
	Decimals int     `yaml:"decimals"` // one whole asset is 10^Decimals of its smallest unit
	Unit     string  `yaml:"unit"`     // ISO 4217
	Price    Integer `yaml:"price"`    // of one whole asset, in Unit's smallest unit
}

// Policy is one policy as code, in PINTI's names. Amounts are in the smallest
// unit of Unit; "" and nil are no limit; an empty list is everything.
type Policy struct {
	Name                     string        `yaml:"name"`
	Was                      string        `yaml:"was"` // its former name, so that its counters go on
	Unit                     string        `yaml:"unit"`
	MaxSingleAmount          Integer       `yaml:"maxSingleAmount"`
	DailyLimit               Integer       `yaml:"dailyLimit"`
	MonthlyLimit             Integer       `yaml:"monthlyLimit"`
	RequireApprovalOver      Integer       `yaml:"requireApprovalOver"`
	MaxExposure              Integer       `yaml:"maxExposure"`
	MaxTransactionsPerMinute *int          `yaml:"maxTransactionsPerMinute"`
	MaxTransactionsPerHour   *int          `yaml:"maxTransactionsPerHour"`
	AllowedMerchants         []string      `yaml:"allowedMerchants"`
	BlockedMerchants         []string      `yaml:"blockedMerchants"`
	AllowedCategories        []string      `yaml:"allowedCategories"`
	BlockedCategories        []string      `yaml:"blockedCategories"`
	AllowedPayees            []string      `yaml:"allowedPayees"`
	IsActive                 bool          `yaml:"isActive"` // default true
	Capabilities             Capabilities  `yaml:"capabilities"`
	Duplicates               string        `yaml:"duplicates"`       // "allow", "flag" (default), "hold" or "deny"
	DuplicateWindow          time.Duration `yaml:"duplicateWindow"`  // default 24 h
	DuplicatesAcross         string        `yaml:"duplicatesAcross"` // "agent" (default) or "all"
	Scope                    Scope         `yaml:"scope"`
	Timezone                 string        `yaml:"timezone"`    // IANA name; "" is UTC
	TrustClaims              bool          `yaml:"trustClaims"` // default true
}

func (p *Policy) setDefaults() {
	p.IsActive, p.TrustClaims, p.Capabilities = true, true, Capabilities{others: "hold"}
	p.Duplicates, p.DuplicateWindow, p.DuplicatesAcross = "flag", 24*time.Hour, "agent"
}

// Capabilities says what becomes of calls that give away future spending power:
// "allow", "hold" or "deny" by operation ("issuing.cards.create"), by family
// ("accounts.*"), and under "default" for all others. In the file a word alone is
// that of "default".
type Capabilities map[string]string

const others = "default"

// shorthand is the key of a value that is written without one.
func (Capabilities) shorthand() string { return others }

// Default is the word for operations that no other entry is about.
func (c Capabilities) Default() string { return c[others] }

// ByOperation are the words without that of "default"; nil for none.
func (c Capabilities) ByOperation() map[string]string {
	by := maps.Clone(map[string]string(c))
	if delete(by, others); len(by) == 0 {
		return nil
	}
	return by
}

// Scope narrows a policy; each empty list is everything. An operation may end in
// ".*".
type Scope struct {
	Agents     []string `yaml:"agents"`
	Rails      []string `yaml:"rails"`
	Networks   []string `yaml:"networks"`
	Operations []string `yaml:"operations"`
	Modes      []string `yaml:"modes"` // "live", "test"
}

// Approvals says who is asked.
type Approvals struct {
	Email  string `yaml:"email"`
	Quorum int    `yaml:"quorum"` // how many people must approve
}

// Webhooks says where events go.
type Webhooks struct {
	URL          string `yaml:"url" secret:"true"` // Slack and Telegram put a secret in it
	AllowPrivate bool   `yaml:"allow_private"`     // callbacks may reach private addresses
}

// SMTP is the mail server for approvals; the zero value sends no mail.
type SMTP struct {
	Addr     string `yaml:"addr"` // host:port
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"true"`
	From     string `yaml:"from"`
}

// Receipts says when a missing receipt is flagged.
type Receipts struct {
	ExpectedWithin time.Duration `yaml:"expected_within"`
}

// Quotas bounds the use of the API; 0 is no limit.
type Quotas struct {
	EvaluationsPerDay int `yaml:"evaluations_per_day"`
	Policies          int `yaml:"policies"`
	Keys              int `yaml:"keys"`
}

// Seal names the key for secrets at rest.
type Seal struct {
	File string `yaml:"file"` // "" is seal.key in the data directory; see Config.SealFile
}

// Default returns the configuration of an empty file: no policy, so that every
// spend is denied. Its DataDir still carries the "~" that Load expands.
func Default() *Config {
	return &Config{
		DataDir: "~/.local/share/outgo",
		Agent:   "default",
		Listen:  Listen{Proxy: "127.0.0.1:8080", Control: "127.0.0.1:8081"},
		Proxy: Proxy{
			Auth:         "off",
			UnknownHosts: "tunnel",
			Unrecognised: "deny",
			Unmatched:    Unmatched{Wire: "deny", Pinti: "deny", Guard: "hold", Intents: "hold"},
			MaxBody:      1 << 20,
			Hold: Hold{
				Wait: map[string]time.Duration{
					"stripe": 70 * time.Second, "evm": 8 * time.Second, "x402": 8 * time.Second,
					"default": 25 * time.Second,
				},
				Expire: time.Hour, Keep: 24 * time.Hour, MaxPerAgent: 20,
			},
		},
		Rails: Rails{
			Stripe:  Stripe{Hosts: []string{"api.stripe.com", "files.stripe.com", "connect.stripe.com", "meter-events.stripe.com"}},
			MoonPay: MoonPay{Hosts: []string{"api.moonpay.com", "agents.moonpay.com"}},
			EVM: EVM{
				Hosts:    []string{"*.infura.io", "*.alchemy.com"},
				Networks: map[string]string{"127.0.0.1:8545": "eip155:1337"},
				MaxFee:   "50000000000000000",
				MaxBody:  4 << 20,
			},
		},
		CA:        CA{Constrain: true},
		Approvals: Approvals{Quorum: 1},
		Receipts:  Receipts{ExpectedWithin: 15 * time.Minute},
		Store:     "badger",
	}
}

// Wait returns how long a held call on the rail keeps its connection open.
func (c *Config) Wait(rail string) time.Duration {
	if d, ok := c.Proxy.Hold.Wait[rail]; ok {
		return d
	}
	return c.Proxy.Hold.Wait["default"]
}

// MaxBody returns how many bytes a call on the rail may carry.
func (c *Config) MaxBody(rail string) int {
	if rail == "evm" {
		return int(max(c.Proxy.MaxBody, c.Rails.EVM.MaxBody))
	}
	return int(c.Proxy.MaxBody)
}

// SealFile returns the path of the key for secrets at rest.
func (c *Config) SealFile() string {
	if c.Seal.File != "" {
		return c.Seal.File
	}
	return filepath.Join(c.DataDir, "seal.key")
}

// SecretVariables returns the names of the environment variables that fields with
// secrets were filled from. What does not need them should not see them.
func (c *Config) SecretVariables() []string { return c.secretVars }

// File returns the name of the file that was loaded, "" if none was.
func (c *Config) File() string { return c.file }
