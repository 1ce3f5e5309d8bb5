package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What Caddy has a certificate of in its storage is served by a Caddy that may order nothing, also while its domain cools
// and while the name no longer points here.
func TestIssuanceDeniesNoCertificateThatIsStored(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const name = "customer.example.com"
	i.names.point("127.0.0.1", name)
	s := i.guarded(backend, "ask "+yes(t), "resolves_to 127.0.0.1", "resolvers "+i.names.address, "max_orders_per_domain 1")
	c.start(s)
	if _, err := c.visitOnce(name); err != nil {
		t.Fatal(err)
	}
	c.stop()
	i.names.fail(true)
	c.start(s)
	if took, err := c.visitOnce(name); err != nil {
		t.Errorf("after a restart: %v after %v", err, took)
	}
	if orders := i.orders(); orders != 1 {
		t.Errorf("%d orders", orders)
	}
}

// A certificate that has ended is none: Caddy renews it while the handshake waits, which is an order as any other.
func TestIssuanceOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const name, gone = "customer.example.com", "gone.example.net"
	i.names.point("127.0.0.1", name, gone)
	own := startNameServer(t) // the authority sees another DNS
	own.point("127.0.0.1", name, gone)
	s := i.guarded(backend, "ask "+yes(t), "resolves_to 127.0.0.1", "resolvers "+own.address)
	c.start(s)
	for _, one := range []string{name, gone} {
		if _, err := c.visitOnce(one); err != nil {
			t.Fatal(err)
		}
	}
	c.stop()
	c.endStored(name)
	c.endStored(gone)
	own.point("192.0.2.1", gone)
	orders := i.orders()
	c.start(s)
	c.refused(gone)
	if more := i.orders() - orders; more != 0 {
		t.Errorf("%d orders of a name that no longer points here", more)
	}

	// An order that fails ends its handshake, and the name cools.
	i.names.fail(true)
	if took, err := c.visitOnce(name); err == nil || took > orderAtOnce {
		t.Errorf("%v after %v", err, took)
	}
	if facts := c.inspectOrders(name); facts.Failures != 1 {
		t.Errorf("%+v", facts)
	}
	orders = i.orders()
	for range 3 {
		c.refused(name)
	}
	i.names.fail(false)
	c.refused(name)
	if more := i.orders() - orders; more != 0 {
		t.Errorf("%d orders while it cools", more)
	}
	c.cachedHTTP("purge", name).expect(t, 0)
	if took, err := c.visitOnce(name); err != nil {
		t.Errorf("after a purge: %v after %v", err, took)
	}
	if more := i.orders() - orders; more != 1 {
		t.Errorf("%d orders after a purge", more)
	}
}

// endStored puts a certificate that has ended in place of the one that Caddy has in its storage, while Caddy is not running.
func (c *caddy) endStored(name string) {
	c.t.Helper()
	var path string
	err := filepath.WalkDir(filepath.Join(c.folder, "storage"), func(one string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(one, "/"+name+".crt") {
			path = one
		}
		return err
	})
	if err != nil || path == "" {
		c.t.Fatalf("%s is not in the storage: %v", name, err)
	}
	text, err := os.ReadFile(strings.TrimSuffix(path, ".crt") + ".key")
	if err != nil {
		c.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, AuthorityKeyId: []byte{1},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	}
	ended, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ended}), 0o600); err != nil {
		c.t.Fatal(err)
	}
}
