package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func runList(t *testing.T, list string) (*bench, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "commands.json")
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	bench := &bench{root: t.TempDir(), printed: io.Discard}
	return bench, bench.commands(t.Context(), path)
}

func TestRowsAndPointsOfCommandsAreTaken(t *testing.T) {
	bench, err := runList(t, `[{"command":["printf","%s\n","noise","{\"row\":\"copies\",\"value\":0,\"target\":\"0\",\"pass\":true}",
		"{\"curve\":\"lookup\",\"variant\":\"cached_http\",\"names\":1000000,\"value\":512}"]},
		{"command":["false"],"full":true}]`)
	if err != nil || len(bench.rows) != 1 || bench.rows[0].verdict() != "pass" || len(bench.points) != 1 {
		t.Errorf("%+v %+v: %v", bench.rows, bench.points, err)
	}
}

func TestACommandThatFailsOrIsSilentOrHangsIsAnError(t *testing.T) {
	for _, list := range []string{
		`[{"command":["false"]}]`, `[{"command":["true"]}]`, `[{"command":["sleep","60"],"seconds":1}]`,
		`[{"command":["echo","BenchmarkOther-2 100 5 ns/op 0 B/op 0 allocs/op"],"benchmarks":{"Hit":{"row":"a"}}}]`,
	} {
		if _, err := runList(t, list); err == nil {
			t.Errorf("%s: no error", list)
		}
	}
}

func TestGoBenchmarksBecomeRows(t *testing.T) {
	bench, err := runList(t, `[{"command":["printf","%s\n",
		"BenchmarkHit-2   \t 100\t 240.5 ns/op\t 0 B/op\t 0 allocs/op", "BenchmarkHit-2 \t2026-11-23T14:58:31.071Z\tDEBUG\ta line of a log", " 100\t 251 ns/op\t 16 B/op\t 1 allocs/op",
		"BenchmarkHit-2 \t 100\t 238 ns/op\t 0 B/op\t 0 allocs/op"],
		"benchmarks":{"Hit":{"row":"hit path","nanoseconds":250,"allocations":0}}}]`)
	if err != nil || len(bench.rows) != 1 {
		t.Fatalf("%+v: %v", bench.rows, err)
	}
	if row := bench.rows[0]; row.measured() != "240.5 (238 to 251) ns, 1 allocations" || row.verdict() != "**short**" {
		t.Errorf("%s %s", row.measured(), row.verdict())
	}
}
