// Command run measures cached_http side by side with what Caddy can do without it, and prints a table. It starts
// and stops all other parts: origins, Caddys and clients, each a process of its own, all on the loopback address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run: what it works with, and what it has found so far.
type bench struct {
	root, binaries, output string
	folder                 string // temporary, removed at the end
	plan                   plan
	variants               []string
	x25519                 bool

	machine, how string
	printed      io.Writer
	rows         []row
	points       []point
	chart        []bar
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bench := &bench{plan: full(), how: "make bench", printed: os.Stderr}
	root := flag.String("root", ".", "the repository")
	chart := flag.String("chart", "", "where the chart goes; default: beside the results")
	isQuick := flag.Bool("quick", false, "less of everything: under three minutes")
	strict := flag.Bool("strict", false, "a missed target is a failure")
	sections := flag.String("only", "handshakes,memory,cold,operate,starts,commands", "what to measure")
	variants := flag.String("variants", strings.Join([]string{static, stock, pureGo, cachedHTTP}, ","), "who takes part")
	flag.BoolVar(&bench.x25519, "x25519", false, "key exchange without ML-KEM")
	flag.Parse()
	if *isQuick {
		bench.plan, bench.how = quick(), "make bench QUICK=1"
	}
	bench.variants = strings.Split(*variants, ",")
	if err := bench.prepare(*root); err != nil {
		return err
	}
	defer os.RemoveAll(bench.folder)
	if *chart == "" {
		*chart = filepath.Join(bench.output, "handshakes.svg")
	}
	failure := bench.measure(ctx, strings.Split(*sections, ","))
	if err := bench.write(*chart); err != nil {
		return errors.Join(failure, err)
	}
	fmt.Print("\n" + bench.markdown())
	if missed := bench.missed(); missed > 0 && *strict {
		failure = errors.Join(failure, fmt.Errorf("%d targets were missed", missed))
	}
	return failure
}

// prepare finds the parts and makes folders; a Caddy without a variant is found out here.
func (b *bench) prepare(root string) (err error) {
	if b.root, err = filepath.Abs(root); err != nil {
		return err
	}
	b.output = filepath.Join(b.root, "build", "bench")
	b.binaries = filepath.Join(b.output, "bin")
	if b.machine, err = machine(b.binaries); err != nil {
		return err
	}
	modules, err := exec.Command(filepath.Join(b.binaries, "caddy"), "list-modules").Output()
	if err != nil {
		return err
	}
	if slices.Contains(b.variants, cachedHTTP) && !strings.Contains(string(modules), "tls.get_certificate.cached_http") {
		return errors.New("the benchmark's Caddy was built without cached_http")
	}
	b.folder, err = os.MkdirTemp("", "cached-http-bench-")
	return err
}

// measure runs the sections. One that fails doesn't keep the others from running.
func (b *bench) measure(ctx context.Context, sections []string) error {
	list := filepath.Join(b.root, "tests", "bench", "commands.json")
	all := []struct {
		name string
		run  func() error
	}{
		{"handshakes", func() error {
			var failures []error
			for _, row := range handshakeRows(hasIFMA()) {
				failures = append(failures, b.handshakes(ctx, row))
			}
			return errors.Join(failures...)
		}},
		{"memory", func() error { return b.memory(ctx) }},
		{"cold", func() error { return errors.Join(b.cold(ctx, false), b.cold(ctx, true)) }},
		{"operate", func() error { return errors.Join(b.operate(ctx, false), b.operate(ctx, true)) }},
		{"starts", func() error { return b.starts(ctx) }},
		{"commands", func() error { return b.commands(ctx, list) }},
	}
	var failures []error
	for _, section := range all {
		if !slices.Contains(sections, section.name) || ctx.Err() != nil {
			continue
		}
		isOurs := section.name == "starts" || section.name == "operate"
		if isOurs && !slices.Contains(b.variants, cachedHTTP) {
			continue
		}
		begin := time.Now()
		if err := section.run(); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", section.name, err))
		}
		fmt.Fprintf(b.printed, "%s took %.0f s\n", section.name, time.Since(begin).Seconds())
	}
	return errors.Join(append(failures, ctx.Err())...)
}

// caches are the variants that keep what the backend answers.
func (b *bench) caches() []string {
	return slices.DeleteFunc(slices.Clone(b.variants), func(name string) bool {
		return name != pureGo && name != cachedHTTP
	})
}

// add keeps a row and shows it at once: a full run takes a while.
func (b *bench) add(row row) {
	b.rows = append(b.rows, row)
	fmt.Fprintf(b.printed, "%s: %s %s\n", row.Row, row.measured(), row.verdict())
}
