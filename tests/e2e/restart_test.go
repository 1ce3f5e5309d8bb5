package e2e

import (
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A restart asks again for what has passed its first lifetime, and for nothing that is fresh.
func TestRestartIsWarm(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(204))
	fresh := []string{"fresh-1.example.com", "fresh-2.example.com", "fresh-3.example.com"}
	short := []string{"short-1.example.com", "short-2.example.com"}
	for _, name := range fresh {
		backend.Answer(name, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	}
	for _, name := range short {
		backend.Answer(name, testbackend.Certificate(authority, testca.P256, "s-maxage=1"))
	}
	c := prepareCaddy(t)
	s := site{url: backend.URL(), options: []string{"cache_dir " + c.folder + "/cache"}}
	c.start(s)
	c.handshakes(fresh...)
	c.handshakes(short...)
	c.refused(unknownName)
	eventually(t, 20*time.Second, "5 entries are on disk", func() bool { return len(entries(t, c.folder+"/cache")) == 5 })
	passed := time.Now().Add(1100 * time.Millisecond)
	c.stop()

	time.Sleep(time.Until(passed))
	c.start(s)
	c.handshakes(short...)
	for _, name := range short {
		eventually(t, 20*time.Second, name+" is asked for again", func() bool { return backend.Count(name) == 2 })
	}
	c.refused(unknownName)
	if count := backend.Count(unknownName); count != 2 {
		t.Errorf("%d requests for a name without a certificate, which is not kept over a restart", count)
	}
	backend.Close()
	c.handshakes(fresh...)
	for _, name := range fresh {
		if count := backend.Count(name); count != 1 {
			t.Errorf("%s: %d requests", name, count)
		}
	}
}

// An entry that comes back from disk has only the rest of its lifetime left.
func TestRestartKeepsRemainingLifetime(t *testing.T) {
	t.Parallel()
	const name = "a.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=10"))
	c := prepareCaddy(t)
	s := site{url: backend.URL(), options: []string{"cache_dir " + c.folder + "/cache"}}
	c.start(s)
	c.handshakes(name)
	passed := time.Now().Add(10100 * time.Millisecond)
	eventually(t, 3*time.Second, "it is on disk", func() bool { return len(entries(t, c.folder+"/cache")) == 1 })
	c.stop()
	time.Sleep(time.Until(passed.Add(-6 * time.Second))) // refreshes come ahead of the lifetime's end
	c.start(s)
	c.handshakes(name)
	if count := backend.Count(name); count != 1 {
		t.Fatalf("%d requests while it is fresh", count)
	}
	time.Sleep(time.Until(passed))
	c.handshakes(name)
	eventually(t, 10*time.Second, "it is asked for again", func() bool { return backend.Count(name) == 2 })
}

// no-store is used for the handshakes that wait for it, and kept neither in memory nor on disk.
func TestNoStoreIsNeverKept(t *testing.T) {
	t.Parallel()
	bundle := authority.Issue(testca.Leaf{Names: []string{"secret.example.com"}})
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	backend.Answer("secret.example.com", testbackend.Text(bundle.PEM(), "no-store, s-maxage=3600"))
	c := prepareCaddy(t)
	s := site{url: backend.URL(), options: []string{"cache_dir " + c.folder + "/cache"}}
	c.start(s)
	c.handshakes("secret.example.com", "secret.example.com", "kept.example.com")
	// One writer: what came before the kept entry would be there before it.
	eventually(t, 20*time.Second, "the other is on disk", func() bool { return len(entries(t, c.folder+"/cache")) > 0 })
	c.stop()
	c.start(s)
	c.handshakes("secret.example.com", "kept.example.com")
	if count := backend.Count("secret.example.com"); count != 3 {
		t.Errorf("%d requests for three handshakes", count)
	}
	if count := backend.Count("kept.example.com"); count != 1 {
		t.Errorf("%d requests for a name that is kept", count)
	}
	c.stop()
	for path, blocks := range entries(t, c.folder+"/cache") {
		if slices.ContainsFunc(blocks, func(b *pem.Block) bool { return slices.Equal(b.Bytes, bundle.Chain[0]) }) {
			t.Errorf("no-store, and yet on disk: %s", path)
		}
	}
}

// Files 0600 in folders 0700 although the umask is 000, and readable by openssl.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	c := prepareCaddy(t)
	cache := c.folder + "/cache"
	c.start(site{url: backend.URL(), options: []string{"cache_dir " + cache}})
	c.handshakes("a.example.com", "b.example.com")
	eventually(t, 20*time.Second, "both are on disk", func() bool { return len(entries(t, cache)) == 2 })
	c.stop()
	walk(t, cache, func(path string, info fs.FileInfo) {
		want := fs.FileMode(0o600)
		if info.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	})
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl to read the files with")
	}
	for path := range entries(t, cache) {
		for _, command := range []string{"x509", "pkey"} {
			if output, err := exec.Command(openssl, command, "-in", path, "-noout").CombinedOutput(); err != nil {
				t.Errorf("openssl %s: %v\n%s", command, err, output)
			}
		}
	}
}

// entries are the PEM blocks of each file that has some.
func entries(t *testing.T, folder string) map[string][]*pem.Block {
	t.Helper()
	found := map[string][]*pem.Block{}
	walk(t, folder, func(path string, info fs.FileInfo) {
		if !info.Mode().IsRegular() {
			return
		}
		rest, err := os.ReadFile(path)
		if err != nil {
			return // a temporary file that has just been renamed
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return
			}
			found[path] = append(found[path], block)
		}
	})
	return found
}

func walk(t *testing.T, folder string, visit func(string, fs.FileInfo)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // gone since its folder was read
		} else if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil {
			visit(path, info)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
