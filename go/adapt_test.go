package cachedhttp

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the Caddyfile adapter
)

var update = flag.Bool("update", false, "write what adapting gives into the golden files")

const goldenFolder = "testdata/adapt"

// TestAdapt compares what Caddy makes of each golden file's Caddyfile with the JSON, or the error, that stands
// below its line of dashes.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob(goldenFolder + "/*.caddytest")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddytest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source, want, found := strings.Cut(string(text), "\n----------\n")
			if !found {
				t.Fatal("no line of ten dashes")
			}
			got := adapt(t, source)
			if *update {
				if err := os.WriteFile(file, []byte(source+"\n----------\n"+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != strings.TrimSpace(want) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

// Every option stands in some golden file that adapts; a new one can't be forgotten.
func TestEachOptionHasAGoldenFile(t *testing.T) {
	files, _ := filepath.Glob(goldenFolder + "/*.caddytest")
	var adapted strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if source, result, _ := strings.Cut(string(text), "----------"); !strings.Contains(result, "error: ") {
			adapted.WriteString(source)
		}
	}
	for _, option := range slices.Concat(slices.Collect(maps.Keys(options)), slices.Collect(maps.Keys(clientOptions))) {
		if !strings.Contains(adapted.String(), "\t"+option+" ") {
			t.Errorf("%s is in no golden file that adapts", option)
		}
		if !strings.Contains(optionNames, option) {
			t.Errorf("%s is not among the options that errors list", option)
		}
	}
}

func adapt(t *testing.T, source string) string {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(source), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "error: " + err.Error()
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, adapted, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String()
}
