package config

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Validate checks everything that can be known before listening. It returns nil
// or Problems. Load has done so already.
func (c *Config) Validate() error { return c.check().err() }

func (c *Config) check() Problems {
	k := &checker{c: c}
	k.basics()
	k.agents()
	k.listen()
	k.proxy()
	k.rails()
	k.upstreams()
	k.secrets()
	k.assets()
	k.policies()
	k.outside()
	return k.problems
}

// checker collects the problems of one Config.
type checker struct {
	c        *Config
	problems Problems
}

func (k *checker) bad(field, what, remedy string) {
	k.problems = append(k.problems, k.c.Problem(field, what, remedy))
}

var (
	agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	isoUnit   = regexp.MustCompile(`^[A-Za-z]{3}$`)
	caip2     = regexp.MustCompile(`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$`)
	caip19    = regexp.MustCompile(`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}(/[-.%a-zA-Z0-9]{1,78})?$`)
	railName  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	numeric   = regexp.MustCompile(`^(0x[0-9a-f]*|[0-9]+)$`) // a last label that resolvers take for an address
	operation = regexp.MustCompile(`^[A-Za-z0-9_]+([.][A-Za-z0-9_]+)*([.][*])?$`)
)

// oneOf checks an enumeration.
func (k *checker) oneOf(field, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	remedy := "write one of " + strings.Join(allowed, ", ")
	if near := Nearest(value, allowed); near != "" {
		remedy += fmt.Sprintf("; did you mean %q?", near)
	}
	k.bad(field, fmt.Sprintf("%.80q is not a known value", value), remedy)
}

// unique reports a value that an earlier item of the list had.
func (k *checker) unique(seen map[string]string, field, value, what string) {
	if value == "" {
		return
	}
	if first, ok := seen[value]; ok {
		k.bad(field, what+" is the same as that of "+first, "make them differ, or remove one")
		return
	}
	seen[value] = field
}

func (k *checker) basics() {
	c := k.c
	if c.DataDir == "" {
		k.bad("data_dir", "empty", "name the directory for the ledger, the CA and the keys")
	}
	if !agentName.MatchString(c.Agent) {
		k.bad("agent", fmt.Sprintf("%.80q is not a name for an agent", c.Agent), "use letters, digits, '.', '_' and '-', at most 64")
	}
	if u, err := url.Parse(c.Store); c.Store != "badger" &&
		(err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "") {
		k.bad("store", "not a known store", `write "badger", or the address of a database: postgres://user@host/name`)
	}
	if c.Approvals.Quorum < 1 {
		k.bad("approvals.quorum", "less than one person", "write 1 or more")
	}
	if c.Receipts.ExpectedWithin <= 0 {
		k.bad("receipts.expected_within", "not a positive duration", `write a duration such as "15m"`)
	}
	for field, n := range map[string]int{
		"quotas.evaluations_per_day": c.Quotas.EvaluationsPerDay, "quotas.policies": c.Quotas.Policies, "quotas.keys": c.Quotas.Keys,
	} {
		if n < 0 {
			k.bad(field, "negative", "write 0 for no limit")
		}
	}
}

func (k *checker) agents() {
	names, tokens, sources, digests := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for i, a := range k.c.Agents {
		at := fmt.Sprintf("agents[%d]", i)
		if !agentName.MatchString(a.Name) {
			k.bad(at+".name", fmt.Sprintf("%.80q is not a name for an agent", a.Name), "use letters, digits, '.', '_' and '-', at most 64")
		}
		k.unique(names, at+".name", a.Name, "the name")
		k.unique(tokens, at+".token", a.Token, "the token")
		if a.Source != (Origin{}) {
			k.unique(sources, at+".source", fmt.Sprint(a.Source), "the source")
		}
		if a.Credential != "" && !hexDigest.MatchString(a.Credential) {
			k.bad(at+".credential", "not a digest", "write the 64 hex digits that outgo prints for the credential, never the credential itself")
		}
		k.unique(digests, at+".credential", a.Credential, "the credential")
	}
}

func (k *checker) listen() {
	l, seen := k.c.Listen, map[string]string{}
	for _, a := range []struct{ field, addr string }{
		{"listen.proxy", l.Proxy}, {"listen.transparent", l.Transparent}, {"listen.reverse", l.Reverse}, {"listen.control", l.Control},
	} {
		if a.addr == "" {
			continue
		}
		if problem := address(a.addr); problem != "" {
			k.bad(a.field, problem, `write host:port with an IP address, such as "127.0.0.1:8080"`)
			continue
		}
		if !strings.HasSuffix(a.addr, ":0") {
			k.unique(seen, a.field, a.addr, "the address")
		}
	}
	if l.Proxy == "" && l.Transparent == "" && l.Reverse == "" {
		k.bad("listen", "every way in is switched off", "set proxy, transparent or reverse")
	}
}

// address says what keeps addr from being listened on, "" if nothing does.
func address(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Sprintf("%.80q is not host:port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%.20q is not a port", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Sprintf("%.80q is not an IP address", host)
	}
	return ""
}

func (k *checker) proxy() {
	p := k.c.Proxy
	k.oneOf("proxy.auth", p.Auth, "off", "required")
	k.oneOf("proxy.unknown_hosts", p.UnknownHosts, "tunnel", "inspect", "deny")
	if p.UnknownHosts == "inspect" && k.c.CA.Constrain {
		k.bad("proxy.unknown_hosts", "a constrained authority cannot vouch for unknown hosts",
			"set ca.constrain to false as well, or tunnel unknown hosts")
	}
	k.oneOf("proxy.unrecognised", p.Unrecognised, "deny", "hold")
	k.oneOf("proxy.unmatched.wire", p.Unmatched.Wire, "deny", "hold")
	k.oneOf("proxy.unmatched.pinti", p.Unmatched.Pinti, "deny", "hold")
	k.oneOf("proxy.unmatched.guard", p.Unmatched.Guard, "deny", "hold")
	k.oneOf("proxy.unmatched.intents", p.Unmatched.Intents, "deny", "hold")
	const least, most = 1 << 10, 64 << 20
	for field, n := range map[string]Size{"proxy.max_body": p.MaxBody, "rails.evm.max_body": k.c.Rails.EVM.MaxBody} {
		if n < least || n > most {
			k.bad(field, "not between 1KiB and 64MiB", "a call is judged whole, in memory: write a size in these bounds")
		}
	}
	if p.Hold.Expire <= 0 {
		k.bad("proxy.hold.expire", "not a positive duration", `write a duration such as "1h"`)
	}
	if p.Hold.Keep <= 0 {
		k.bad("proxy.hold.keep", "not a positive duration", `write a duration such as "24h"`)
	}
	if p.Hold.MaxPerAgent < 1 {
		k.bad("proxy.hold.max_per_agent", "less than one", "write how many calls of one agent may wait, 1 or more")
	}
	k.heldAmounts()
	rails := append(k.c.railNames(), "default")
	for rail, wait := range p.Hold.Wait {
		field := join("proxy.hold.wait", rail)
		if !slices.Contains(rails, rail) {
			k.oneOf(field, rail, rails...)
			continue
		}
		if wait < 0 || wait > p.Hold.Expire && p.Hold.Expire > 0 {
			k.bad(field, "not between 0 and proxy.hold.expire", "a connection cannot wait longer than the decision may take")
		}
	}
}

// railNames returns the names under which policies and other fields know the
// rails.
func (c *Config) railNames() []string {
	names := []string{"stripe", "moonpay", "evm", "x402"}
	for _, r := range c.Rails.Custom {
		if r.Name() != "" {
			names = append(names, r.Name())
		}
	}
	return names
}

func (k *checker) rails() {
	r, owner := k.c.Rails, map[string]string{}
	k.hosts("rails.stripe.hosts", r.Stripe.Hosts, owner)
	k.hosts("rails.moonpay.hosts", r.MoonPay.Hosts, owner)
	k.hosts("rails.evm.hosts", r.EVM.Hosts, owner)
	for op, category := range r.Stripe.Categories {
		field := join("rails.stripe.categories", op)
		if !operation.MatchString(op) || strings.HasSuffix(op, "*") {
			k.bad(field, "not the name of an operation", `write one such as "payouts.create"`)
		}
		if strings.TrimSpace(category) == "" {
			k.bad(field, "empty", "write the category, or remove the line")
		}
	}
	k.webhookSecrets(r.Stripe.WebhookSecrets)
	for host, network := range r.EVM.Networks {
		field := join("rails.evm.networks", host)
		name := host
		if _, port, err := net.SplitHostPort(host); err == nil {
			name = strings.TrimSuffix(host, ":"+port)
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				k.bad(field, fmt.Sprintf("%.20q is not a port", port), "write host or host:port")
			}
		}
		if problem := hostPattern(name); problem != "" {
			k.bad(field, problem, "write a host name in lower case, or host:port")
		}
		if !caip2.MatchString(network) {
			k.bad(field, fmt.Sprintf("%.80q is not a CAIP-2 network", network), `write one such as "eip155:1"`)
		}
	}
	names := map[string]string{}
	for i, custom := range r.Custom {
		at := fmt.Sprintf("rails.custom[%d]", i)
		switch name := custom.Name(); {
		case !railName.MatchString(name):
			k.bad(at+".name", "not a name for a rail", "write lower-case letters, digits, '_' and '-', as text")
		case slices.Contains([]string{"stripe", "moonpay", "evm", "x402", "default"}, name):
			k.bad(at+".name", fmt.Sprintf("%q is a built-in rail", name), "choose another name")
		default:
			k.unique(names, at+".name", name, "the name")
		}
		hosts := custom.Hosts()
		if list, ok := custom["hosts"].([]any); !ok || len(list) == 0 || len(list) != len(hosts) {
			k.bad(at+".hosts", "not a list of host names", `write hosts: ["pay.example.com"]`)
		}
		k.hosts(at+".hosts", hosts, owner)
	}
}

// hosts checks the host patterns of one rail; owner finds those of two.
func (k *checker) hosts(field string, hosts []string, owner map[string]string) {
	for i, h := range hosts {
		at := fmt.Sprintf("%s[%d]", field, i)
		if problem := hostPattern(h); problem != "" {
			k.bad(at, problem, `write a name in lower case without scheme, port or path, such as "api.example.com" or "*.example.com"`)
			continue
		}
		k.unique(owner, at, h, "the host")
	}
}

// hostPattern says what is wrong with a host pattern, "" if nothing is.
func hostPattern(s string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if ip, err := netip.ParseAddr(bare); err == nil {
		usual := ip.String()
		if ip.Is6() {
			usual = "[" + usual + "]"
		}
		if ip.Zone() != "" || ip.Is4In6() || s != usual {
			return fmt.Sprintf("%.80q is not the usual spelling of an address", s)
		}
		return ""
	}
	name, wild := strings.CutPrefix(s, "*.")
	labels := strings.Split(name, ".")
	if len(s) > 253 || wild && len(labels) < 2 {
		return fmt.Sprintf("%.80q is too long or too wide a host pattern", s)
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Sprintf("%.80q is not a canonical host name", s)
		}
	}
	if last := labels[len(labels)-1]; numeric.MatchString(last) {
		return fmt.Sprintf("%.80q could be read as an address", s)
	}
	return ""
}

func (k *checker) upstreams() {
	for host, u := range k.c.Upstreams {
		at := join("upstreams", host)
		if problem := hostPattern(host); problem != "" || strings.HasPrefix(host, "*") {
			k.bad(at, fmt.Sprintf("%.80q is not a canonical host name", host), "write the exact host in lower case, without port")
		}
		target, err := url.Parse(u.URL)
		if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" ||
			target.User != nil || target.RawQuery != "" || target.Fragment != "" || strings.Trim(target.Path, "/") != "" {
			k.bad(at+".url", "not the address of a server", `write "https://host:port", without user, path or query`)
			continue
		}
		plain := target.Scheme == "http"
		if ip, err := netip.ParseAddr(target.Hostname()); plain && target.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			k.bad(at+".url", "plain http to another machine shows the credentials of every call to the network",
				"use https, or a loopback address")
		}
		if plain && (u.CAFile != "" || u.ServerName != "") {
			k.bad(at, "ca_file and server_name have no meaning with plain http", "remove them, or use https")
		}
		if !plain && u.CAFile != "" {
			k.roots(at+".ca_file", u.CAFile)
		}
		if u.ServerName != "" && (hostPattern(u.ServerName) != "" || strings.HasPrefix(u.ServerName, "*")) {
			k.bad(at+".server_name", fmt.Sprintf("%.80q is not a canonical host name", u.ServerName), "write the name in lower case")
		}
	}
}

// roots checks that a file holds certificates.
func (k *checker) roots(field, name string) {
	pem, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		k.bad(field, err.Error(), "name a readable file with PEM certificates")
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		k.bad(field, fmt.Sprintf("%s holds no PEM certificate", name), "name a file with PEM certificates")
	}
}

func (k *checker) webhookSecrets(secrets []string) {
	if k.c.noSecrets {
		return // they may be the names of variables still
	}
	seen := map[string]string{}
	for i, s := range secrets {
		field := fmt.Sprintf("rails.stripe.webhook_secrets[%d]", i)
		if rest, ok := strings.CutPrefix(s, "whsec_"); !ok || len(rest) < 16 || strings.ContainsFunc(rest, unicode.IsSpace) {
			k.bad(field, "not the signing secret of a webhook endpoint", `Stripe shows it with the endpoint, and it begins with whsec_: write "${NAME}" and set the variable`)
		}
		k.unique(seen, field, s, "the secret")
	}
}

func (k *checker) secrets() {
	names := map[string]string{}
	for i, cred := range k.c.Credentials {
		at := fmt.Sprintf("credentials[%d]", i)
		k.unique(names, at+".name", cred.Name, "the name")
		if rails := k.c.railNames(); !slices.Contains(rails, cred.Rail) {
			k.oneOf(at+".rail", cred.Rail, rails...)
		}
		k.oneOf(at+".use", cred.Use, "swap", "reconcile")
		switch {
		case cred.Secret == "" && cred.SecretFile == "":
			k.bad(at+".secret", "missing", `write secret: "${NAME}" and set the variable, or name a file in secret_file`)
		case cred.Secret != "" && cred.SecretFile != "":
			k.bad(at+".secret_file", "secret is set as well", "keep one of the two")
		case cred.SecretFile != "" && !k.c.noSecrets:
			if _, err := cred.Reveal(); err != nil {
				k.bad(at+".secret_file", err.Error(), "name a readable file that holds the secret and nothing else")
			}
		}
		if cred.Use == "reconcile" && cred.Placeholder != "" {
			k.bad(at+".placeholder", "it has no meaning here", "no agent sends this credential: remove it")
		}
		if cred.Use == "swap" && cred.Placeholder == "" {
			k.bad(at+".placeholder", "missing", "write what the agent sends in the place of the secret")
		}
		if cred.Use == "swap" && cred.Placeholder != "" && cred.Placeholder == cred.Secret {
			k.bad(at+".placeholder", "the same as the secret", "the agent must not know the secret: choose another text")
		}
	}
}

func (k *checker) assets() {
	seen := map[string]string{}
	for i, a := range k.c.Assets {
		at := fmt.Sprintf("assets[%d]", i)
		if !caip19.MatchString(a.Asset) {
			k.bad(at+".asset", fmt.Sprintf("%.140q is not a CAIP-19 asset", a.Asset), `write one such as "eip155:1/erc20:0xA0b8…"`)
		}
		k.unique(seen, at+".asset", strings.ToLower(a.Asset), "the asset")
		if !isoUnit.MatchString(a.Unit) {
			k.bad(at+".unit", fmt.Sprintf("%.80q is not an ISO 4217 currency", a.Unit), `write one such as "USD"`)
		}
		if a.Decimals < 0 || a.Decimals > 77 {
			k.bad(at+".decimals", "not between 0 and 77", "write how many decimals one whole asset has")
		}
		if a.Price == "" {
			k.bad(at+".price", "missing", "write what one whole asset is worth, in the smallest unit of the currency")
		}
	}
}

func (k *checker) outside() {
	c := k.c
	if c.Approvals.Email != "" {
		if _, err := mail.ParseAddress(c.Approvals.Email); err != nil {
			k.bad("approvals.email", "not an e-mail address", `write one such as "ops@example.com"`)
		}
		if c.SMTP.Addr == "" {
			k.bad("approvals.email", "no mail server is configured", "set smtp.addr and smtp.from, or leave the address empty")
		}
	}
	if c.SMTP != (SMTP{}) {
		host, port, err := net.SplitHostPort(c.SMTP.Addr)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" {
			k.bad("smtp.addr", fmt.Sprintf("%.80q is not host:port", c.SMTP.Addr), `write one such as "mail.example.com:587"`)
		}
		if _, err := mail.ParseAddress(c.SMTP.From); err != nil {
			k.bad("smtp.from", "not an e-mail address", `write one such as "outgo@example.com"`)
		}
	}
	if c.Webhooks.URL != "" {
		u, err := url.Parse(c.Webhooks.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			k.bad("webhooks.url", "not the address of a web hook", `write one that begins with "https://"`)
		}
	}
}

// zone reports whether name is a time zone that policies can use.
func zone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "Local"
}
