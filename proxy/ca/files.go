package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// replaced is a root that a later one took the place of.
type replaced struct {
	cert *x509.Certificate
	at   time.Time
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// ensureKey reads the key, or makes one when there is none or fresh asks for a
// new one. Of two processes that start at once with an empty directory, both
// end with the key of the one that was first.
func (a *Authority) ensureKey(fresh bool) (*ecdsa.PrivateKey, error) {
	if !fresh {
		key, err := a.readKey()
		if !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if fresh {
		return key, writeFile(a.keyFile(), text, 0o600)
	}
	if err = createFile(a.keyFile(), text, 0o600); errors.Is(err, fs.ErrExist) {
		return a.readKey()
	}
	return key, err
}

func (a *Authority) readKey() (*ecdsa.PrivateKey, error) {
	info, err := os.Stat(a.keyFile())
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("key file %s has mode %04o: others can read it; run chmod 600 on it, or remove it to get a new authority", a.keyFile(), mode)
	}
	text, err := os.ReadFile(a.keyFile())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("key file %s holds no PEM block; remove it to get a new authority", a.keyFile())
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", a.keyFile(), err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key file %s: not an ECDSA P-256 key", a.keyFile())
	}
	return key, nil
}

// readCertificate returns the current root, or nil when there is none.
func (a *Authority) readCertificate() (*x509.Certificate, error) {
	text, err := os.ReadFile(a.CertFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("certificate file %s holds no PEM block; remove it to have it issued again", a.CertFile())
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate file %s: %w; remove it to have it issued again", a.CertFile(), err)
	}
	return c, nil
}

// readEarlier returns the roots replaced within keepEarlier, the oldest first.
func (a *Authority) readEarlier() ([]replaced, error) {
	text, err := os.ReadFile(a.earlierFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rs []replaced
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return rs, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate file %s: %w", a.earlierFile(), err)
		}
		at, err := time.Parse(time.RFC3339, block.Headers["Replaced"])
		if err != nil {
			return nil, fmt.Errorf("certificate file %s: %w", a.earlierFile(), err)
		}
		if a.now().Sub(at) < keepEarlier {
			rs = append(rs, replaced{c, at})
		}
	}
}

func (a *Authority) writeEarlier(rs []replaced) error {
	var text []byte
	for _, r := range rs {
		text = append(text, pem.EncodeToMemory(&pem.Block{
			Type:    "CERTIFICATE",
			Headers: map[string]string{"Replaced": r.at.UTC().Format(time.RFC3339)},
			Bytes:   r.cert.Raw,
		})...)
	}
	return writeFile(a.earlierFile(), text, 0o644)
}

// systemBundles are the files in which systems keep their roots, in the order
// in which they are tried.
func systemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/ssl/cert.pem",                                 // Alpine, macOS, BSD
		"/opt/homebrew/etc/ca-certificates/cert.pem",
		"/usr/local/etc/openssl@3/cert.pem",
	}
}

// systemRoots reads the system's roots: those of SSL_CERT_FILE where outgo's
// own environment names one, else the first usable file of systemBundles. own is
// skipped: under another outgo SSL_CERT_FILE may name the bundle being made.
func systemRoots(own string) (source string, roots []*x509.Certificate, err error) {
	files := systemBundles()
	if f := os.Getenv("SSL_CERT_FILE"); f != "" && !sameFile(f, own) {
		if roots = readRoots(f); len(roots) == 0 {
			return "", nil, fmt.Errorf("SSL_CERT_FILE=%s: no certificate in it; correct or unset the variable", f)
		}
		return f, roots, nil
	}
	for _, f := range files {
		if roots = readRoots(f); len(roots) > 0 {
			return f, roots, nil
		}
	}
	return "", nil, nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// readRoots returns the certificates of a PEM file, each once. What cannot be
// parsed is passed over, as TLS libraries do with such files.
func readRoots(file string) []*x509.Certificate {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var roots []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return roots
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !slices.ContainsFunc(roots, c.Equal) {
			roots = append(roots, c)
		}
	}
}

// writeFile replaces path in one step: a reader sees the old content or the new.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	return place(path, content, mode, os.Rename)
}

// createFile makes path in one step and fails with fs.ErrExist where it is.
func createFile(path string, content []byte, mode fs.FileMode) error {
	return place(path, content, mode, func(from, to string) error {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// The file system knows no links. Rename loses only the tie between two
		// processes that start at the same moment.
		if _, statErr := os.Lstat(to); statErr == nil {
			return fs.ErrExist
		}
		return os.Rename(from, to)
	})
}

func place(path string, content []byte, mode fs.FileMode, put func(from, to string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // after a rename there is nothing left to remove
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = put(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable. Systems that cannot sync a directory say so,
// and there is nothing better to do.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	_ = d.Sync()
	return d.Close()
}
