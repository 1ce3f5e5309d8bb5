package main

import (
	"fmt"
	"html"
	"strings"
)

// bar is one variant's server CPU for one handshake, in microseconds.
type bar struct {
	group, variant string
	value          float64
}

// Sizes in pixels of the drawing.
const (
	chartWidth  = 720
	labelWidth  = 140 // from the edge
	valueWidth  = 90
	barHeight   = 20
	margin      = 16
	barStep     = 26
	groupHeight = 40
)

// drawChart draws horizontal bars, one group a kind of handshake, each group to its own scale. It follows the
// reader's light or dark theme, and has a background of its own for pages that don't.
func drawChart(bars []bar, machine string) string {
	largest := make(map[string]float64)
	for _, bar := range bars {
		largest[bar.group] = max(largest[bar.group], bar.value)
	}
	var shapes strings.Builder
	y, group := margin+34, ""
	for _, bar := range bars {
		if bar.group != group {
			group = bar.group
			y += groupHeight
			fmt.Fprintf(&shapes, `<text class="group" x="%d" y="%d">%s</text>`+"\n", margin, y-10, html.EscapeString(group))
		}
		width := bar.value / largest[bar.group] * (chartWidth - labelWidth - valueWidth)
		class := "other"
		if bar.variant == cachedHTTP {
			class = "ours"
		}
		middle := y + barHeight/2 + 5
		fmt.Fprintf(&shapes, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
			labelWidth-10, middle, html.EscapeString(bar.variant))
		fmt.Fprintf(&shapes, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n",
			class, labelWidth, y, width, barHeight)
		fmt.Fprintf(&shapes, `<text class="%s-value" x="%.1f" y="%d">%s µs</text>`+"\n",
			class, labelWidth+width+8, middle, thousands(bar.value))
		y += barStep
	}
	y += 20
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="Server CPU per full TLS 1.3 handshake">
<style>
text { font: 14px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; }
.group { font-weight: 600; }
.small { font-size: 11px; fill: #57606a; }
.page { fill: #ffffff; }
.other { fill: #8c959f; }
.ours { fill: #bf5b04; }
.ours-value { font-weight: 600; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.small { fill: #9198a1; }
.page { fill: #0d1117; }
.other { fill: #6e7681; }
.ours { fill: #f0883e; }
}
</style>
<rect class="page" width="%[1]d" height="%[2]d" rx="6"/>
<text class="title" x="%[6]d" y="30">Server CPU per full TLS 1.3 handshake (less is better)</text>
<text class="small" x="%[6]d" y="48">The stock getter's backend costs CPU of its own, which is not counted here.</text>
%[3]s<text class="small" x="%[6]d" y="%[4]d">%[5]s</text>
</svg>
`, chartWidth, y+margin, shapes.String(), y, html.EscapeString(machine), margin)
}
