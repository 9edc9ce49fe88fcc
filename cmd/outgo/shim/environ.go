package shim

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Options say what the variables point at. All paths are absolute.
type Options struct {
	Proxy       string // URL of the proxy, perhaps with agent and token: "http://agent:token@127.0.0.1:8080"
	CA          string // PEM file with outgo's authority alone
	Bundle      string // PEM file with the system's authorities and outgo's
	NodePreload string // Paths.NodePreload
	PythonDir   string // Paths.PythonDir
	// NoProxy lists what may go around the proxy. It is empty by default, so that
	// nothing does; give it Base's own NO_PROXY to keep that.
	NoProxy string
	// Base is the environment to start from, as os.Environ returns it.
	Base []string
	// Secret names variables of Base, besides outgo's own, that the program must
	// not see.
	Secret []string
}

// removed are variables that would lead around the proxy: clients that read
// ALL_PROXY at all take it for SOCKS as often as not.
var removed = [...]string{"ALL_PROXY", "all_proxy"}

// secretPrefix starts the names of outgo's own settings, keys among them. None of
// them reaches the program.
const secretPrefix = "OUTGO_"

// Environ returns Base as a program under outgo is to see it: outgo's own OUTGO_
// variables and ALL_PROXY are gone, and those of Vars are set. It may be applied to
// its own result.
func Environ(o Options) []string {
	vars := Vars(o)
	env := make([]string, 0, len(o.Base)+len(vars))
	for _, kv := range o.Base {
		name, _, _ := strings.Cut(kv, "=")
		_, replaced := vars[name]
		if replaced || strings.HasPrefix(name, secretPrefix) || slices.Contains(removed[:], name) || slices.Contains(o.Secret, name) {
			continue
		}
		env = append(env, kv)
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// Vars returns the variables to set, NO_PROXY among them even when empty. What Base
// has in NODE_OPTIONS, JAVA_TOOL_OPTIONS and PYTHONPATH is kept in them.
//
// Java is told where the proxy is but not what to trust: it reads certificates from
// a key store only, so a Java program fails its handshakes until the authority is
// imported with keytool. It does not go around the proxy.
func Vars(o Options) map[string]string {
	vars := map[string]string{
		"NODE_USE_ENV_PROXY": "1", // the variable: Node 20 refuses to start with the option
		"NODE_OPTIONS":       appended(lookup(o.Base, "NODE_OPTIONS"), "--require="+nodeQuoted(o.NodePreload)),
		"PYTHONPATH":         prepended(lookup(o.Base, "PYTHONPATH"), o.PythonDir),
		"OUTGO_SHIM_CA":      o.CA, // read by the sitecustomize
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		vars[name] = o.Proxy
	}
	vars["NO_PROXY"], vars["no_proxy"] = o.NoProxy, o.NoProxy
	// These two add to what the runtime trusts, the others replace it.
	for _, name := range []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"} {
		vars[name] = o.CA
	}
	for _, name := range []string{
		"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "PIP_CERT",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NIX_SSL_CERT_FILE",
	} {
		vars[name] = o.Bundle
	}
	if java := javaOptions(o); len(java) > 0 {
		vars["JAVA_TOOL_OPTIONS"] = appended(lookup(o.Base, "JAVA_TOOL_OPTIONS"), java...)
	}
	return vars
}

// javaOptions names the proxy by host and port: Java takes no credentials here. Its
// own exception for loopback is replaced by NoProxy.
func javaOptions(o Options) []string {
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	around := strings.FieldsFunc(o.NoProxy, func(r rune) bool { return r == ',' || r == ' ' })
	for i, host := range around {
		if strings.HasPrefix(host, ".") {
			around[i] = "*" + host
		}
	}
	return []string{
		"-Dhttp.proxyHost=" + u.Hostname(), "-Dhttp.proxyPort=" + port,
		"-Dhttps.proxyHost=" + u.Hostname(), "-Dhttps.proxyPort=" + port,
		"-Dhttp.nonProxyHosts=" + strings.Join(around, "|"),
	}
}

// lookup returns the value that a process would see: the last one of that name.
func lookup(env []string, name string) string {
	for _, kv := range slices.Backward(env) {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// appended returns the options with those added that are not there yet.
func appended(have string, options ...string) string {
	for _, option := range options {
		if !strings.Contains(" "+have+" ", " "+option+" ") {
			have = strings.TrimSpace(have + " " + option)
		}
	}
	return have
}

// prepended returns a path list with dir at its head and nowhere else.
func prepended(have, dir string) string {
	list := []string{dir}
	for entry := range strings.SplitSeq(have, ":") {
		if entry != dir && have != "" {
			list = append(list, entry)
		}
	}
	return strings.Join(list, ":")
}

// nodeQuoted writes a path for NODE_OPTIONS, which splits at spaces outside double
// quotes and takes a backslash inside them for an escape.
func nodeQuoted(path string) string {
	if !strings.ContainsAny(path, " \"\\") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
