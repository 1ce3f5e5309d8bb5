package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// markdown is the whole result as text: the targets, then the figures behind them, then the curves.
func (b *bench) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s, with `%s`. Medians of all rounds; the smallest and the largest in brackets.\n\n",
		b.machine, b.how)
	text.WriteString("| row | measured | target | |\n|---|---|---|---|\n")
	for _, row := range b.rows {
		if row.Pass != nil {
			measured := row.measured()
			if row.Note != "" {
				measured += "; " + row.Note
			}
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", row.Row, measured, row.Target, row.verdict())
		}
	}
	text.WriteString("\n| figure | measured |\n|---|---|\n")
	for _, row := range b.rows {
		if row.Pass == nil {
			fmt.Fprintf(&text, "| %s | %s |\n", row.Row, row.measured())
		}
	}
	text.WriteString(b.curves())
	return text.String()
}

// curves is one table with a column for each number of names.
func (b *bench) curves() string {
	if len(b.points) == 0 {
		return ""
	}
	var sizes []int
	var lines []string // "curve | variant", in the order they came
	values := make(map[string]map[int]float64)
	for _, point := range b.points {
		line := point.Curve + " | " + point.Variant
		if values[line] == nil {
			values[line] = make(map[int]float64)
			lines = append(lines, line)
		}
		values[line][point.Names] = point.Value
		sizes = append(sizes, point.Names)
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	slices.SortStableFunc(lines, strings.Compare)

	var text strings.Builder
	text.WriteString("\n| as the number of names grows | |")
	for _, size := range sizes {
		fmt.Fprintf(&text, " %s |", thousands(float64(size)))
	}
	text.WriteString("\n|---|---|" + strings.Repeat("---|", len(sizes)) + "\n")
	for _, line := range lines {
		fmt.Fprintf(&text, "| %s |", line)
		for _, size := range sizes {
			cell := ""
			if value, found := values[line][size]; found {
				cell = plain(value)
			}
			fmt.Fprintf(&text, " %s |", cell)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// write leaves the result as Markdown, as JSON and as a chart.
func (b *bench) write(chart string) error {
	result, err := json.MarshalIndent(map[string]any{
		"machine": b.machine, "command": b.how, "rows": b.rows, "points": b.points,
	}, "", "  ")
	if err != nil {
		return err
	}
	files := map[string]string{
		filepath.Join(b.output, "results.json"): string(result) + "\n",
		filepath.Join(b.output, "results.md"):   b.markdown(),
	}
	if len(b.chart) > 0 {
		if err := os.MkdirAll(filepath.Dir(chart), 0o755); err != nil { // #nosec G301 -- documentation
			return err
		}
		files[chart] = drawChart(b.chart, b.machine)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // #nosec G306 -- nothing secret
			return err
		}
	}
	return nil
}

// missed is how many targets were not met.
func (b *bench) missed() (count int) {
	for _, row := range b.rows {
		if row.Pass != nil && !*row.Pass {
			count++
		}
	}
	return count
}
