package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// command is a program that measures in its own process and prints rows and points, one JSON object a line;
// other lines are ignored. Or it is `go test -bench`, whose lines become rows as benchmarks says.
type command struct {
	Directory  string               `json:"directory"` // in the repository
	Command    []string             `json:"command"`
	Full       bool                 `json:"full"`    // not in quick runs
	Seconds    int                  `json:"seconds"` // after which it is killed; default 120
	Benchmarks map[string]benchmark `json:"benchmarks"`
}

// benchmark turns the results of a Go benchmark, by its name without the "Benchmark", into a row.
type benchmark struct {
	Row         string  `json:"row"`
	Nanoseconds float64 `json:"nanoseconds"` // at most, per operation
	Allocations float64 `json:"allocations"` // at most, per operation
}

// benchmarkLine is a result of go test -bench, whose name may be parted from its figures by a line of a log.
var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+(?:\d{4}-\d\d-\d\dT.*\n\s*)*\d+\s+([\d.]+) ns/op(?:.*\s(\d+) allocs/op)?`)

// commands runs what the list names. One that fails, or prints nothing, doesn't keep the others from running.
func (b *bench) commands(ctx context.Context, list string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var commands []command
	if err := json.Unmarshal(text, &commands); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	var failures []error
	for _, command := range commands {
		if command.Full && !b.plan.fullCommand {
			continue
		}
		if err := b.runCommand(ctx, command); err != nil {
			failures = append(failures, fmt.Errorf("%v: %w", command.Command, err))
		}
	}
	return errors.Join(failures...)
}

func (b *bench) runCommand(ctx context.Context, command command) error {
	if command.Seconds == 0 {
		command.Seconds = 120
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(command.Seconds)*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, command.Command[0], command.Command[1:]...) // #nosec G204 -- from our own list
	child.Dir = filepath.Join(b.root, command.Directory)
	child.WaitDelay = 5 * time.Second
	var failure bytes.Buffer
	child.Stderr = &failure
	output, err := child.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(failure.Bytes()))
	}
	if len(command.Benchmarks) > 0 {
		return b.addBenchmarks(command.Benchmarks, output)
	}
	before := len(b.rows) + len(b.points)
	for line := range bytes.Lines(output) {
		if err := b.addLine(bytes.TrimSpace(line)); err != nil {
			return err
		}
	}
	if len(b.rows)+len(b.points) == before {
		return errors.New("it printed no row")
	}
	return nil
}

func (b *bench) addLine(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte(`{"row":`)):
		var row row
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		b.add(row)
	case bytes.HasPrefix(line, []byte(`{"curve":`)):
		var point point
		if err := json.Unmarshal(line, &point); err != nil {
			return err
		}
		b.points = append(b.points, point)
	}
	return nil
}

// addBenchmarks takes the median of the times, and the most allocations, of each benchmark that is asked for.
func (b *bench) addBenchmarks(wanted map[string]benchmark, output []byte) error {
	times, allocations := make(map[string]sample), make(map[string]sample)
	for _, match := range benchmarkLine.FindAllSubmatch(output, -1) {
		name := string(match[1])
		nanoseconds, err := strconv.ParseFloat(string(match[2]), 64)
		if err != nil {
			return err
		}
		times[name] = append(times[name], nanoseconds)
		if count, err := strconv.ParseFloat(string(match[3]), 64); err == nil {
			allocations[name] = append(allocations[name], count)
		}
	}
	for name, benchmark := range wanted {
		if len(times[name]) == 0 || len(allocations[name]) == 0 {
			return fmt.Errorf("no result of Benchmark%s with -benchmem", name)
		}
		target := fmt.Sprintf("<= %.0f ns, %.0f allocations", benchmark.Nanoseconds, benchmark.Allocations)
		low, high := times[name].spread()
		_, most := allocations[name].spread()
		median := times[name].median()
		pass := median <= benchmark.Nanoseconds && most <= benchmark.Allocations
		value, _ := json.Marshal(median)
		b.add(row{
			Row: benchmark.Row, Value: value, Unit: fmt.Sprintf("ns, %.0f allocations", most),
			Low: &low, High: &high, Target: target, Pass: &pass,
		})
	}
	return nil
}
