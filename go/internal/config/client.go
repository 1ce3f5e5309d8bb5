package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Client is what a request carries, and whom it trusts.
type Client struct {
	// Header fields added to each request, an access token for example. Default: none.
	Header map[string][]string `json:"header,omitempty"`

	// Paths of PEM files with the only certificate authorities trusted for an `https` URL.
	// Default: those that the system trusts.
	TrustedCA []string `json:"trusted_ca,omitempty"`

	// The certificate shown to an `https` server that asks for one. Default: none.
	ClientCertificate *ClientCertificate `json:"client_certificate,omitempty"`
}

// ClientCertificate is a pair of PEM files.
type ClientCertificate struct {
	// Path of a PEM file with the certificate and its chain, leaf first. Required.
	Certificate string `json:"certificate,omitempty"`

	// Path of a PEM file with the private key. Required.
	Key string `json:"key,omitempty"`
}

func (c *Client) replacePlaceholders(replacer *replacer) {
	for name, values := range c.Header {
		for index := range values {
			replacer.replace("header "+name, &values[index])
			if replacer.err == nil && !httpguts.ValidHeaderFieldValue(values[index]) {
				replacer.err = fmt.Errorf("header: the value of %s has characters that no header field may have", name)
			}
		}
	}
	for index := range c.TrustedCA {
		replacer.replace("trusted_ca", &c.TrustedCA[index])
	}
	if pair := c.ClientCertificate; pair != nil {
		replacer.replace("client_certificate", &pair.Certificate)
		replacer.replace("client_certificate", &pair.Key)
	}
}

func (c *Client) check() error {
	for name, values := range c.Header {
		for _, value := range values {
			if err := CheckHeader(name, value); err != nil {
				return err
			}
		}
	}
	if slices.Contains(c.TrustedCA, "") {
		return errors.New("trusted_ca: a path is empty")
	}
	if pair := c.ClientCertificate; pair != nil && (pair.Certificate == "" || pair.Key == "") {
		return errors.New("client_certificate needs two paths: that of the certificate and that of its key")
	}
	return nil
}

func (c *Client) isZero() bool {
	return len(c.Header) == 0 && len(c.TrustedCA) == 0 && c.ClientCertificate == nil
}

// Transport makes requests as the options say, through no proxy. Digest tells transports apart whose files were read
// with another text.
func (c *Client) Transport() (transport *http.Transport, digest [sha256.Size]byte, err error) {
	trustedCA, clientCertificate, err := c.pemTexts()
	if err != nil {
		return nil, digest, err
	}
	transport = http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = new(tls.Config)
	if trustedCA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(trustedCA)) {
			return nil, digest, errors.New("trusted_ca: there is no certificate in PEM form in the files")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	if clientCertificate != "" {
		pair, err := tls.X509KeyPair([]byte(clientCertificate), []byte(clientCertificate))
		if err != nil {
			return nil, digest, fmt.Errorf("client_certificate: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	text, err := json.Marshal([]any{c.headers(), trustedCA, clientCertificate})
	return transport, sha256.Sum256(text), err
}

// headers lists the fields by name.
func (c *Client) headers() (fields [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(c.Header)) {
		for _, value := range c.Header[name] {
			fields = append(fields, [2]string{name, value})
		}
	}
	return fields
}

// pemTexts reads the files. What is in them is checked by who uses them.
func (c *Client) pemTexts() (trustedCA, clientCertificate string, err error) {
	if trustedCA, err = readPEM("trusted_ca", c.TrustedCA...); err != nil {
		return "", "", err
	}
	if pair := c.ClientCertificate; pair != nil {
		clientCertificate, err = readPEM("client_certificate", pair.Certificate, pair.Key)
	}
	return trustedCA, clientCertificate, err
}

// maxPEMFile is more than a file with every public authority has.
const maxPEMFile = 4 << 20

// readPEM joins files.
func readPEM(option string, paths ...string) (string, error) {
	var joined strings.Builder
	for _, path := range paths {
		about, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option, err)
		}
		if !about.Mode().IsRegular() || about.Size() > maxPEMFile {
			return "", fmt.Errorf("%s: %s is not a file of at most %d bytes", option, path, maxPEMFile)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option, err)
		}
		joined.Write(text)
		joined.WriteByte('\n')
	}
	return joined.String(), nil
}
