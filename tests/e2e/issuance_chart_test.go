package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The chart of docs/issuance.md: what made-up names of one domain cost known names and new customers, by their rate, stock and
// ours. `make soak` leaves it in build/issuance.svg.
func TestIssuanceStormByRate(t *testing.T) {
	if !soak {
		t.Skip("the chart is drawn by make soak")
	}
	const long = 20 * time.Second
	var rows []chartRow
	for _, perSecond := range []int{5, 20, 100} {
		for variant, onDemand := range map[string][]string{
			"stock": {"ask YES"}, "cached_http": {"permission cached_http {", "ask YES", "}"},
		} {
			storm := orderStorm{fmt.Sprintf("%s, %d a second", variant, perSecond), onDemand, perSecond, true, -1, false, -1, false}
			result := storm.run(t, long)
			waited := result.slowest
			if result.served < 3 {
				waited = long
			}
			rows = append(rows, chartRow{variant, perSecond, result.stormy.p99, waited, result.served})
		}
	}
	if err := os.WriteFile("../../build/issuance.svg", []byte(drawStorms(rows)), 0o600); err != nil {
		t.Error(err)
	}
}

type chartRow struct {
	variant   string
	perSecond int
	known     time.Duration // p99
	customer  time.Duration // the slowest of three
	served    int           // of three
}

// drawStorms draws horizontal bars. It follows the reader's light or dark theme.
func drawStorms(rows []chartRow) string {
	var shapes strings.Builder
	y := 40
	draw := func(title string, value func(chartRow) (time.Duration, string)) {
		y += 34
		fmt.Fprintf(&shapes, `<text class="group" x="16" y="%d">%s</text>`+"\n", y, title)
		y += 10
		var largest time.Duration
		for _, row := range rows {
			length, _ := value(row)
			largest = max(largest, length)
		}
		for _, variant := range []string{"stock", "cached_http"} {
			for _, row := range rows {
				if row.variant != variant {
					continue
				}
				length, label := value(row)
				width := float64(length) / float64(largest) * 400
				class := strings.ReplaceAll(variant, "cached_http", "ours")
				fmt.Fprintf(&shapes, `<text x="190" y="%d" text-anchor="end">%s, %d a second</text>`+"\n", y+15, variant, row.perSecond)
				fmt.Fprintf(&shapes, `<rect class="%s" x="200" y="%d" width="%.1f" height="20" rx="2"/>`+"\n", class, y, max(width, 1))
				fmt.Fprintf(&shapes, `<text x="%.1f" y="%d">%s</text>`+"\n", 208+width, y+15, label)
				y += 26
			}
		}
	}
	draw("A new customer's first certificate, the slowest of three", func(row chartRow) (time.Duration, string) {
		if row.served < 3 {
			return row.customer, fmt.Sprintf("%d of 3 have one", row.served)
		}
		return row.customer, fmt.Sprintf("%.1f s", row.customer.Seconds())
	})
	draw("Handshakes of known names, p99", func(row chartRow) (time.Duration, string) {
		return row.known, fmt.Sprintf("%.1f ms", float64(row.known.Microseconds())/1000)
	})
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="720" height="%[1]d" viewBox="0 0 720 %[1]d" role="img" aria-label="What made-up names cost">
<style>
text { font: 14px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; }
.group { font-weight: 600; }
.page { fill: #ffffff; }
.stock { fill: #8c959f; }
.ours { fill: #bf5b04; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.page { fill: #0d1117; }
.stock { fill: #6e7681; }
.ours { fill: #f0883e; }
}
</style>
<rect class="page" width="720" height="%[1]d" rx="6"/>
<text class="title" x="16" y="30">While a scanner makes up names of one domain that ask allows (less is better)</text>
%[2]s</svg>
`, y+16, shapes.String())
}
