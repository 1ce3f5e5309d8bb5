package main

import (
	"encoding/json"
	"testing"
)

func TestBounds(t *testing.T) {
	for _, example := range []struct {
		bound bound
		value float64
		meets bool
	}{
		{atMost(0.60), 0.6, true},
		{atMost(0.60), 0.601, false},
		{atLeast(0.95), 0.95, true},
		{atLeast(0.95), 0.949, false},
		{atLeast(1), 2, true},
		{atMost(1), 2, false},
	} {
		if example.bound.meets(example.value) != example.meets {
			t.Errorf("%s, %v", example.bound, example.value)
		}
	}
}

func TestRowsOfOtherCommandsAreShown(t *testing.T) {
	for line, want := range map[string]string{
		`{"row":"a","value":183,"unit":"ns","target":"<= 250","pass":true}`: "183 ns",
		`{"row":"a","value":"0 of 13","pass":false}`:                        "0 of 13",
		`{"row":"a","value":0.6,"low":0.5,"high":1200}`:                     "0.600 (0.500 to 1,200)",
	} {
		var row row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if row.measured() != want {
			t.Errorf("%s: %s", line, row.measured())
		}
	}
}
