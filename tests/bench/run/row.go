package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// row is one line of the result table. Commands that measure in their own process print it as a line of JSON.
type row struct {
	Row    string          `json:"row"`              // what was measured
	Value  json.RawMessage `json:"value"`            // a number, or a text
	Unit   string          `json:"unit,omitempty"`   // of the value
	Low    *float64        `json:"low,omitempty"`    // of all rounds
	High   *float64        `json:"high,omitempty"`   // of all rounds
	Target string          `json:"target,omitempty"` // as text, e.g. "<= 0.60"
	Pass   *bool           `json:"pass,omitempty"`   // absent: for information only
	Note   string          `json:"note,omitempty"`   // absolute figures, and what the figure leaves out
}

// point is one point of a curve over the number of names. Commands may print these too.
type point struct {
	Curve   string  `json:"curve"` // with its unit
	Variant string  `json:"variant"`
	Names   int     `json:"names"`
	Value   float64 `json:"value"`
}

// bound is a target: the measured value has to be at most, or at least, the limit.
type bound struct {
	limit   float64
	atLeast bool
}

func atMost(limit float64) bound  { return bound{limit, false} }
func atLeast(limit float64) bound { return bound{limit, true} }

func (b bound) String() string {
	if b.atLeast {
		return ">= " + plain(b.limit)
	}
	return "<= " + plain(b.limit)
}

func (b bound) meets(value float64) bool {
	if b.atLeast {
		return value >= b.limit
	}
	return value <= b.limit
}

// ratioRow is the row for a ratio taken in each round.
func ratioRow(name string, ratios sample, target bound, note string) row {
	low, high := ratios.spread()
	median := ratios.median()
	pass := target.meets(median)
	value, _ := json.Marshal(median)
	return row{Row: name, Value: value, Low: &low, High: &high, Target: target.String(), Pass: &pass, Note: note}
}

// informationRow has a text and no target.
func informationRow(name, text string) row {
	value, _ := json.Marshal(text)
	return row{Row: name, Value: value}
}

// measured is the value as the table shows it, with its spread.
func (r row) measured() string {
	var number float64
	if json.Unmarshal(r.Value, &number) != nil {
		var text string
		if json.Unmarshal(r.Value, &text) != nil {
			text = string(r.Value)
		}
		return strings.TrimSpace(text + " " + r.Unit)
	}
	text := plain(number)
	if r.Low != nil && r.High != nil {
		text += fmt.Sprintf(" (%s to %s)", plain(*r.Low), plain(*r.High))
	}
	return strings.TrimSpace(text + " " + r.Unit)
}

func (r row) verdict() string {
	switch {
	case r.Pass == nil:
		return ""
	case *r.Pass:
		return "pass"
	default:
		return "**short**"
	}
}

// plain shows a number with the decimals that matter: three for a ratio, none for a thousand.
func plain(value float64) string {
	switch {
	case value >= 1000:
		return thousands(value)
	case value == float64(int64(value)):
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.3f", value)
	}
}
