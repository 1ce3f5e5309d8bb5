// Package e2e shows the module at work: each test starts a real Caddy, a backend that counts, and real clients.
package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

const moduleID = "tls.get_certificate.cached_http"

// faultStorage is the storage that fails as a test wants, see tests/faultstorage.
const faultStorage = "github.com/cached-http/caddy-cached-http/tests/faultstorage"

var (
	// caddyBinary is the Caddy under test: CACHED_HTTP_CADDY, or one built for this run.
	caddyBinary string
	// caddyModules are those it has.
	caddyModules []string
	// suiteFolder holds one folder per test; it is kept when something failed.
	suiteFolder string
	// authority has signed every certificate of the run.
	authority = testca.NewAuthority()
	// planted are secrets other than keys: a token, a password.
	planted = struct {
		sync.Mutex
		texts []string
	}{}
)

func TestMain(m *testing.M) {
	flag.Parse()
	watchTheMachine()
	if !isSet("parallel") {
		_ = flag.Set("test.parallel", "6") // most of a test is waiting
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if suiteFolder, err = os.MkdirTemp("", "cached-http-e2e-"); err != nil {
		return fail(err)
	}
	if caddyBinary, err = findCaddy(); err != nil {
		return fail(err)
	}
	code := m.Run()
	if err := noSecretInLogs(); err != nil {
		code = fail(err)
	}
	if code == 0 {
		_ = os.RemoveAll(suiteFolder)
	} else {
		fmt.Println("logs and Caddyfiles are in", suiteFolder)
	}
	return code
}

func findCaddy() (string, error) {
	path := os.Getenv("CACHED_HTTP_CADDY")
	if path == "" {
		path = filepath.Join(suiteFolder, "caddy")
		folder, err := filepath.Abs("../faultstorage")
		if err != nil {
			return "", err
		}
		build := exec.Command("../../xcaddy.sh", "--output", path, "--with", faultStorage+"@v0.0.0="+folder)
		if output, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("xcaddy.sh: %w\n%s", err, output)
		}
	}
	modules, err := exec.Command(path, "list-modules").Output()
	if err != nil {
		return "", fmt.Errorf("%s list-modules: %w", path, err)
	}
	if caddyModules = strings.Fields(string(modules)); !slices.Contains(caddyModules, moduleID) {
		return "", fmt.Errorf("%s lacks %s", path, moduleID)
	}
	return path, nil
}

// plant makes a secret that no log may hold.
func plant(text string) string {
	planted.Lock()
	defer planted.Unlock()
	planted.texts = append(planted.texts, text)
	return text
}

// noSecretInLogs looks through what every Caddy of the run has printed, debug lines included, and what operators were told.
func noSecretInLogs() error {
	logs, err := filepath.Glob(filepath.Join(suiteFolder, "*", "*.log"))
	if err != nil || len(logs) == 0 {
		return err
	}
	needles := append(authority.Secrets(), planted.texts...)
	index := indexOf(needles)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if place := index.secretIn(text); place != "" {
			return fmt.Errorf("FAIL: %s: %s", path, place)
		}
	}
	fmt.Printf("no PEM text and none of %d pieces of secrets in %d logs\n", len(needles), len(logs))
	return nil
}

func secretIn(text []byte, needles []string) string { return indexOf(needles).secretIn(text) }

// secretIndex has secrets by how they begin, so that a log is read once, however many they are.
type secretIndex map[[indexedLength]byte][]string

const indexedLength = 8

func indexOf(needles []string) secretIndex {
	index := make(secretIndex)
	for _, needle := range needles {
		begin := [indexedLength]byte([]byte(needle))
		index[begin] = append(index[begin], needle)
	}
	return index
}

// secretIn says where a secret stands, without repeating it; "" if nowhere.
func (i secretIndex) secretIn(text []byte) string {
	line := func(place int) int { return 1 + bytes.Count(text[:place], []byte("\n")) }
	if place := bytes.Index(text, []byte("-----BEGIN ")); place >= 0 {
		return fmt.Sprintf("PEM text in line %d", line(place))
	}
	for place := range max(0, len(text)-indexedLength+1) {
		for _, needle := range i[[indexedLength]byte(text[place:])] {
			if bytes.HasPrefix(text[place:], []byte(needle)) {
				return fmt.Sprintf("a secret in line %d", line(place))
			}
		}
	}
	return ""
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test."+name })
	return set
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// The scan over all logs is worth something only if it finds what it looks for.
func TestSecretScanFindsSecrets(t *testing.T) {
	t.Parallel()
	bundle := authority.Issue(testca.Leaf{Names: []string{"scan.example"}})
	key := string(testca.PKCS8(bundle.Key))
	withoutBoundary := strings.Join(strings.Split(key, "\n")[1:2], "")
	for _, text := range []string{"msg\n" + key, `{"error":"at ` + withoutBoundary + `"}`} {
		if secretIn([]byte(text), authority.Secrets()) == "" {
			t.Error("a key went unnoticed")
		}
	}
	if place := secretIn([]byte("nothing to hide"), authority.Secrets()); place != "" {
		t.Error(place)
	}
}
