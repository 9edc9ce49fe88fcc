package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/outgo/outgo/cmd/outgo/shim"
	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/proxy/dial"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe"
)

// drainTime bounds a shutdown: calls in flight have so long to get their reply.
const drainTime = 30 * time.Second

func newServe(opt *options) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the sidecar: the proxy and the control listener", Args: cobra.NoArgs,
		Example: "  outgo serve --config outgo.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := opt.load()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			s, err := startSidecar(ctx, cfg, newLog(), "serve", func(s *sidecar) error { return s.firstKey(ctx) })
			if err != nil {
				return err
			}
			s.announce()
			err = s.wait(ctx, opt)
			stop() // from here on a second signal ends outgo at once
			s.stop()
			return err
		},
	}
}

// A sidecar is everything that runs, in the order in which it is made: each part
// needs only those above it.
type sidecar struct {
	cfg       *config.Config
	log       *zap.Logger
	ledger    *ledger
	authority *ca.Authority
	agents    *agents
	metrics   *metrics
	proxy     *proxy.Proxy
	api       *api.Server
	about     api.About
	failed    chan error // a listener that ended by itself
	asking    func()     // ends the questions to providers
}

// startSidecar wires and starts outgo. mode is "serve" or "run"; first is done
// before anything is served.
func startSidecar(ctx context.Context, cfg *config.Config, log *zap.Logger, mode string, first ...func(*sidecar) error) (_ *sidecar, err error) {
	s := &sidecar{cfg: cfg, log: log, failed: make(chan error, 4)}
	proxyLn, err := listen(cfg.Listen.Proxy, "listen.proxy")
	if err != nil {
		return nil, err
	}
	controlLn, err := listen(cfg.Listen.Control, "listen.control")
	if err != nil {
		_ = proxyLn.Close()
		return nil, err
	}
	defer func() {
		if err != nil {
			_, _ = proxyLn.Close(), controlLn.Close()
			s.stop()
		}
	}()
	if err := checkPolicies(cfg); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s)
	tell := listeners{flagged: s.flagged, alarm: s.alarm}
	if s.ledger, err = openLedger(ctx, cfg, tell); err != nil {
		return nil, err
	}
	if err := s.makeProxy(proxyLn, controlLn); err != nil {
		return nil, err
	}
	s.about = api.About{
		Version: version(), Mode: mode, Proxy: proxyLn.Addr().String(), Control: controlLn.Addr().String(),
		CA: s.authority.CertFile(), Bundle: s.authority.BundleFile(),
	}
	s.api = api.New(api.Options{
		Engine: s.ledger.engine, Digest: s.ledger.digest, Routes: s.ledger.routes(),
		Ready: s.ready, Metrics: s.metrics.serve, About: s.about, Log: log,
		Events:   newEvents(cfg, s.ledger.engine.Witness(s.proxy.SentKey), s.metrics.event),
		MaxConns: maxConns() / 4,
	})
	socket, err := listenSocket(filepath.Join(cfg.DataDir, socketFile))
	if err != nil {
		return nil, err
	}
	credentials, err := readCredentials(cfg)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	for _, do := range first {
		if err := do(s); err != nil {
			_ = socket.Close()
			return nil, err
		}
	}
	s.ask(credentials)
	s.start("proxy", func() error { return s.proxy.Serve(proxyLn) })
	s.start("control", func() error { return s.api.Serve(controlLn) })
	s.start("control socket", func() error { return s.api.Serve(socket) })
	return s, nil
}

// makeProxy makes the proxy and its authority. The listeners are those that no agent
// may reach through it.
func (s *sidecar) makeProxy(own ...net.Listener) (err error) {
	cfg := s.cfg
	if s.authority, err = ca.Load(ca.Options{Dir: filepath.Join(cfg.DataDir, "ca"), Names: namesOf(cfg), Constrain: cfg.CA.Constrain}); err != nil {
		return err
	}
	upstreams, err := upstreamsOf(cfg)
	if err != nil {
		return err
	}
	pages, err := publicPages(cfg, s.authority)
	if err != nil {
		return err
	}
	s.agents = newAgents(cfg, s.ledger)
	s.proxy, err = proxy.New(proxy.Options{
		Routes:           routesOf(cfg),
		Authority:        s.authority,
		Dialer:           dial.New(dial.Options{Self: addresses(own...)}),
		Upstreams:        upstreams,
		UnknownHosts:     cfg.Proxy.UnknownHosts,
		HoldUnrecognised: cfg.Proxy.Unrecognised == "hold",
		Identify:         s.agents.identify,
		AuthRequired:     cfg.Proxy.Auth == "required",
		Digest:           s.ledger.seal.Digest,
		Pages:            pages,
		Gate:             s.ledger.engine,
		Log:              s.log,
		Observe:          s.observe,
		MaxConns:         maxConns(),
	})
	return err
}

// start runs one listener and reports it when it ends by itself.
func (s *sidecar) start(name string, serve func() error) {
	go func() {
		if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.failed <- fmt.Errorf("%s listener: %w", name, err)
		}
	}()
}

// wait returns when ctx ends or a listener fails; SIGHUP reads the config again.
func (s *sidecar) wait(ctx context.Context, opt *options) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping")
			return nil
		case err := <-s.failed:
			return err
		case <-hup:
			s.reload(ctx, opt)
		}
	}
}

// reload takes over the policies of the config file. Whatever else has changed
// in it needs a restart, and is named; a bad file changes nothing.
func (s *sidecar) reload(ctx context.Context, opt *options) {
	cfg, err := opt.load()
	if err == nil {
		err = s.ledger.syncPolicies(ctx, cfg)
	}
	if err != nil {
		s.log.Error("config not reloaded, the old one stays in force", zap.Error(err))
		return
	}
	s.log.Info("policies reloaded", zap.Int("policies", len(cfg.Policies)))
	waiting := slices.DeleteFunc(s.cfg.Changes(cfg), func(field string) bool { return field == "policies" })
	if len(waiting) > 0 {
		s.log.Warn("these settings have changed in the config and take effect at the next start only", zap.Strings("settings", waiting))
	}
}

// stop drains and closes what was started, in the reverse order.
func (s *sidecar) stop() {
	if s.proxy != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := s.proxy.Drain(ctx); err != nil {
			s.log.Warn("not every call in flight ended in time; their outcomes are unknown and stay counted", zap.Error(err))
		}
	}
	if s.asking != nil {
		s.asking()
	}
	if s.api != nil {
		_ = s.api.Shutdown() // it only fails for listeners that are closed already
		_ = os.Remove(filepath.Join(s.cfg.DataDir, socketFile))
	}
	if s.ledger != nil {
		s.ledger.close()
	}
	_ = s.log.Sync() // standard error cannot be synced on every system
}

// alarm says what an operator must know. Even a ledger that has stopped for good
// does not end the process: agents are better told no than nothing.
func (s *sidecar) alarm(err error) { s.log.Error("the ledger needs an operator", zap.Error(err)) }

// ready returns why spending is refused at the moment, or nil.
func (s *sidecar) ready() error {
	// Before the store is asked, which knows why the ledger has stopped.
	st := s.ledger.engine.Stats()
	if disk, ok := s.ledger.store.(interface{ Ready() error }); ok {
		if err := disk.Ready(); err != nil {
			return fmt.Errorf("the ledger takes no writes: %w", err)
		}
	}
	if st.Stopped {
		return errors.New("the ledger has stopped; the log says why")
	}
	if st.Unfit != "" {
		return errors.New("spending is stopped: " + st.Unfit)
	}
	return nil
}

// firstKey writes an admin key where there is none yet.
func (s *sidecar) firstKey(ctx context.Context) error {
	for _, k := range s.ledger.engine.APIKeys() {
		if k.Role == "admin" && k.Revoked.IsZero() {
			return nil
		}
	}
	prefix, plaintext, digest, err := s.ledger.mint()
	if err != nil {
		return err
	}
	// The file is first: a key that the ledger holds and nobody has would be the
	// last one that is ever made here.
	file := filepath.Join(s.cfg.DataDir, adminKeyFile)
	if err := writeDurably(file, []byte(plaintext+"\n")); err != nil {
		return fmt.Errorf("keep admin key: %w", err)
	}
	if _, err := s.ledger.engine.AddAPIKey(ctx, engine.Actor{}, engine.APIKey{Prefix: prefix, Role: "admin", Digest: digest}); err != nil {
		return err
	}
	s.log.Info("made an admin key", zap.String("file", file))
	return nil
}

// announce says where outgo listens and what an operator should know.
func (s *sidecar) announce() {
	s.log.Info("outgo is serving", zap.String("proxy", s.about.Proxy), zap.String("control", s.about.Control),
		zap.String("ca", s.about.CA), zap.String("data_dir", s.cfg.DataDir))
	if len(s.cfg.Policies) == 0 {
		if ps, err := s.ledger.engine.Policies(context.Background()); err == nil && len(ps) == 0 {
			s.log.Warn("there is no policy, so every spend is denied (NO_ACTIVE_POLICY); add one under policies: in the config")
		}
	}
	if s.ledger.engine.Stats().Frozen {
		s.log.Warn("spending is frozen, all of it or in part; `outgo unfreeze` lifts it")
	}
	if s.cfg.Proxy.Auth != "required" && !isLoopback(s.about.Proxy) {
		s.log.Warn("whoever reaches the proxy is taken for the default agent; `proxy.auth: required` asks agents for their keys", zap.String("proxy", s.about.Proxy))
	}
	if s.authority.SystemRoots() == "" {
		s.log.Warn("no system certificates were found, so programs that use the bundle trust outgo's authority only; set SSL_CERT_FILE to a file with the system's")
	}
	if !s.cfg.CA.Constrain {
		s.log.Warn("the authority is not name-constrained: whoever has its key can impersonate any host to its clients")
	}
}

// listen opens a TCP listener; field names the setting in an error.
func listen(addr, field string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("%s: %s is taken, perhaps by another outgo; stop that, or take another address with --set %s=HOST:PORT", field, addr, field)
		}
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", field, addr, err)
	}
	return patient{ln}, nil
}

// patient waits a moment instead of failing when there are no descriptors left, so
// that a flood of connections stops nobody for longer than it lasts.
type patient struct{ net.Listener }

// Accept implements net.Listener.
func (p patient) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return c, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// maxConns leaves descriptors for the provider's side, the ledger and the control
// listener.
func maxConns() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0 // the proxy's default
	}
	return int(min(max(limit.Cur/2, 192)-128, 8192)) //nolint:gosec // at most 8192
}

// listenSocket opens the control socket for this user alone. A socket file that
// is left over from a crash is replaced: the ledger's lock has shown already that
// nobody serves it.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return patient{ln}, nil
}

func isLoopback(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && ap.Addr().IsLoopback()
}

func addresses(lns ...net.Listener) []netip.AddrPort {
	var out []netip.AddrPort
	for _, ln := range lns {
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			out = append(out, a.AddrPort())
		}
	}
	return out
}

// railsOf makes the rails of cfg. This is the one place that names them.
func railsOf(cfg *config.Config) []proxy.Route {
	route := func(r rails.Rail, hosts []string) proxy.Route {
		return proxy.Route{Rail: r, Hosts: hosts, Wait: cfg.Wait(r.Name()), MaxBody: cfg.MaxBody(r.Name())}
	}
	known := config.Default().Rails.Stripe.Hosts
	var extra []string
	for _, h := range cfg.Rails.Stripe.Hosts {
		if !slices.Contains(known, h) {
			extra = append(extra, h)
		}
	}
	// Every other host of Stripe's is taken in as well, where its rail refuses
	// whatever it does not know.
	stripeHosts := slices.Clone(cfg.Rails.Stripe.Hosts)
	if len(stripeHosts) > 0 && !slices.Contains(stripeHosts, "*.stripe.com") {
		stripeHosts = append(stripeHosts, "*.stripe.com")
	}
	out := []proxy.Route{
		route(stripe.New(stripe.Options{Categories: cfg.Rails.Stripe.Categories, Hosts: extra, WebhookSecrets: cfg.Rails.Stripe.WebhookSecrets}), stripeHosts),
		route(rails.Closed("moonpay"), cfg.Rails.MoonPay.Hosts),
		route(rails.Closed("evm"), cfg.Rails.EVM.Hosts),
	}
	for _, c := range cfg.Rails.Custom {
		out = append(out, route(rails.Closed(c.Name()), c.Hosts()))
	}
	return out
}

// routesOf are the rails with their hosts, but for those without any.
func routesOf(cfg *config.Config) []proxy.Route {
	var out []proxy.Route
	for _, r := range railsOf(cfg) {
		if len(r.Hosts) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// namesOf are the DNS names that the authority may vouch for.
func namesOf(cfg *config.Config) []string {
	var names []string
	for _, r := range routesOf(cfg) {
		names = append(names, r.Hosts...)
	}
	return names
}

// publicPages are what an agent in a container of its own needs to trust outgo and
// to come through it.
func publicPages(cfg *config.Config, authority *ca.Authority) (map[string][]byte, error) {
	paths, err := shim.Write(filepath.Join(cfg.DataDir, "shim"))
	if err != nil {
		return nil, fmt.Errorf("write client shims: %w", err)
	}
	pages := map[string][]byte{"/ca.pem": authority.Certificate(), "/bundle.pem": authority.Bundle()}
	for _, file := range []string{paths.NodePreload, filepath.Join(paths.PythonDir, "sitecustomize.py")} {
		if pages["/"+filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read client shims: %w", err)
		}
	}
	return pages, nil
}

func upstreamsOf(cfg *config.Config) (map[string]proxy.Upstream, error) {
	out := make(map[string]proxy.Upstream, len(cfg.Upstreams))
	for host, u := range cfg.Upstreams {
		up := proxy.Upstream{URL: u.URL, ServerName: u.ServerName}
		if u.CAFile != "" {
			pem, err := os.ReadFile(u.CAFile)
			if err != nil {
				return nil, fmt.Errorf("upstreams.%s.ca_file: %w", host, err)
			}
			up.RootCAs = x509.NewCertPool()
			if !up.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("upstreams.%s.ca_file: %s holds no certificate in PEM form", host, u.CAFile)
			}
		}
		out[strings.ToLower(host)] = up
	}
	return out, nil
}
