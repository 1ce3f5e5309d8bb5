package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// The records as another program sees them that has the key: XAES-256-GCM as C2SP writes it down, over Go's own AES.

const recordLine = "caddy-cached-http record, format 1\n"

// oracle seals and opens records with the key of a file.
type oracle struct{ key []byte }

func newOracle(t *testing.T, keyFile string) oracle {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		t.Fatal("no key of 64 hexadecimal digits")
	}
	return oracle{key}
}

// box is AES-256-GCM under the key that the first half of the nonce leads to, and the other half.
func (o oracle) box(t *testing.T, nonce []byte) (cipher.AEAD, []byte) {
	t.Helper()
	block, err := aes.NewCipher(o.key)
	if err != nil {
		t.Fatal(err)
	}
	var k1 [16]byte
	block.Encrypt(k1[:], k1[:])
	carry := k1[0] >> 7
	for i := range 15 {
		k1[i] = k1[i]<<1 | k1[i+1]>>7
	}
	k1[15] = k1[15]<<1 ^ carry*0x87
	derived := make([]byte, 0, 32)
	for counter := range 2 {
		message := append([]byte{0, byte(counter + 1), 'X', 0}, nonce[:12]...)
		for i := range message {
			message[i] ^= k1[i]
		}
		block.Encrypt(message, message)
		derived = append(derived, message...)
	}
	inner, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(inner)
	if err != nil {
		t.Fatal(err)
	}
	return aead, nonce[12:]
}

func (o oracle) header() string {
	id := sha256.Sum256(append([]byte("caddy-cached-http key id\n"), o.key...))
	return recordLine + "key: " + hex.EncodeToString(id[:8]) + "\n"
}

func (o oracle) open(t *testing.T, storageKey string, record []byte) string {
	t.Helper()
	header := o.header()
	if len(record) < len(header)+24 || string(record[:len(header)]) != header {
		t.Fatalf("%s does not begin with the header for this key", storageKey)
	}
	aead, nonce := o.box(t, record[len(header):len(header)+24])
	text, err := aead.Open(nil, nonce, record[len(header)+24:], []byte(header+storageKey))
	if err != nil {
		t.Fatalf("%s: %v", storageKey, err)
	}
	return string(text)
}

func (o oracle) seal(t *testing.T, storageKey, text string) []byte {
	t.Helper()
	nonce := make([]byte, 24)
	_, _ = rand.Read(nonce)
	aead, inner := o.box(t, nonce)
	record := append([]byte(o.header()), nonce...)
	return aead.Seal(record, inner, []byte(text), []byte(o.header()+storageKey))
}

// The oracle itself, by the first vectors that C2SP publishes.
func TestFleetOracle(t *testing.T) {
	t.Parallel()
	for _, vector := range []struct {
		key              byte
		associated, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		aead, nonce := oracle{bytes.Repeat([]byte{vector.key}, 32)}.box(t, []byte("ABCDEFGHIJKLMNOPQRSTUVWX"))
		if got := hex.EncodeToString(aead.Seal(nil, nonce, []byte("XAES-256-GCM"), []byte(vector.associated))); got != vector.want {
			t.Errorf("key %d: %s", vector.key, got)
		}
	}
}

// What lies on the storage opens with the key, and what was sealed with it elsewhere is served.
func TestFleetRecordsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	const name = "shop-0.example.com"
	f := startFleet(t, 1, "s-maxage=3600")
	leaf, err := f.nodes[0].handshake(name)
	if err != nil {
		t.Fatal(err)
	}
	f.settled(1)
	path := f.sealed()[0]
	record, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := filepath.Rel(f.folder, path)
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(t, f.keys[0])
	purges, entry, _ := strings.Cut(o.open(t, key, record), "\n")
	if purges != "purges: " || !strings.HasPrefix(entry, "caddy-cached-http entry, format 1\n") ||
		!strings.Contains(entry, "\nserver-name: "+name+"\n") || !strings.Contains(entry, "PRIVATE KEY-----\n") {
		t.Fatalf("the text of a record begins otherwise: %q and %.40q", purges, entry)
	}

	// The same entry with another certificate in it, sealed by the oracle.
	bundle := authority.Issue(testca.Leaf{Names: []string{name}})
	fields, _, _ := strings.Cut(entry, "\n\n")
	lines := strings.SplitN(fields, "\n", 3) // the format, the checksum, the rest
	body := lines[2] + "\n\n" + string(bundle.PEM())
	checksum := sha256.Sum256([]byte(body))
	text := fmt.Sprintf("%s\n%s\nchecksum: %x\n%s", purges, lines[0], checksum, body)
	if err := os.WriteFile(path, o.seal(t, key, text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.backend.Close()
	f.start(1)
	served, err := f.nodes[1].handshake(name)
	if err != nil || !bytes.Equal(served.Raw, bundle.Chain[0]) {
		t.Errorf("what the oracle has sealed is not served: %v", err)
	}
	if again, err := f.nodes[0].handshake(name); err != nil || !bytes.Equal(again.Raw, leaf.Raw) {
		t.Errorf("the first node has forgotten its own: %v", err)
	}
}

// Nothing on the storage tells a key or a name to who has not the fleet's key, and no name of a file does.
func TestFleetStorageTellsNothing(t *testing.T) {
	t.Parallel()
	names := fleetNames(20)
	f := startFleet(t, 2, "s-maxage=3600")
	f.known(names)
	f.nodes[0].adminDoor().purge(`{"names": ["shop-3.example.com"]}`, 1)
	f.nodes[1].handshakes(names...)
	var journal string
	eventually(t, 20*time.Second, "the purge is on the storage", func() bool {
		found, _ := filepath.Glob(filepath.Join(f.folder, "cached_http", "*", "purges"))
		journal = strings.Join(found, " ")
		return len(found) == 1
	})
	key, _ := filepath.Rel(f.folder, journal)
	record, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(t, f.keys[0])
	if text := o.open(t, key, record); !strings.Contains(text, " shop-3.example.com\n") {
		t.Errorf("the journal says nothing of the purge: %q", text)
	}
	needles := append(authority.Secrets(), "PRIVATE KEY", "-----BEGIN", "example.com", "shop-", string(o.key), hex.EncodeToString(o.key))
	files := 0
	for _, folder := range []string{f.folder, f.folder + ".history"} {
		walk(t, folder, func(path string, info os.FileInfo) {
			if strings.Contains(path[len(folder):], "shop") {
				t.Errorf("a name of a file: %s", path)
			}
			if !info.Mode().IsRegular() {
				return
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return
			}
			files++
			for _, needle := range needles {
				if bytes.Contains(text, []byte(needle)) {
					t.Errorf("%s tells a secret or a name", path)
				}
			}
		})
	}
	t.Logf("%d files on the storage, none of %d secrets and names in them", files, len(needles))
	if files < 2*len(names) {
		t.Errorf("only %d files", files)
	}
}
