package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTheTableSaysWhatIsShort(t *testing.T) {
	bench := &bench{machine: "a machine", how: "make bench", printed: io.Discard}
	bench.add(ratioRow("CPU", sample{0.5, 0.7, 0.6}, atMost(0.55), "1 us against 2 us"))
	bench.add(ratioRow("cold", sample{1.2}, atLeast(1), ""))
	bench.add(informationRow("RSS", "12 bytes"))
	bench.points = []point{{"lookup, ns", cachedHTTP, 1000000, 812}, {"lookup, ns", cachedHTTP, 1000, 90}}
	text := bench.markdown()
	for _, want := range []string{
		"| CPU | 0.600 (0.500 to 0.700); 1 us against 2 us | <= 0.550 | **short** |",
		"| cold | 1.200 (1.200 to 1.200) | >= 1 | pass |",
		"| RSS | 12 bytes |",
		"| as the number of names grows | | 1,000 | 1,000,000 |",
		"| lookup, ns | cached_http | 90 | 812 |",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s\nis not in\n%s", want, text)
		}
	}
	if bench.missed() != 1 {
		t.Error("missed", bench.missed())
	}
}

func TestTheChartIsWellFormed(t *testing.T) {
	chart := drawChart([]bar{{"RSA", static, 1000}, {"RSA", cachedHTTP, 600}, {"ECDSA", static, 350}}, `a "machine" & <more>`)
	decoder := xml.NewDecoder(strings.NewReader(chart))
	rectangles := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "rect" {
			rectangles++
		}
	}
	if rectangles != 1+3 {
		t.Errorf("%d bars and a background", rectangles)
	}
}
