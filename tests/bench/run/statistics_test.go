package main

import "testing"

func TestMedianOfRatiosNotRatioOfMedians(t *testing.T) {
	// A slow second round hits both alike: the ratio stays what it is.
	ours, theirs := sample{1, 30, 2}, sample{2, 60, 4}
	ratios := sample(ours.over(theirs))
	if low, high := ratios.spread(); ratios.median() != 0.5 || low != 0.5 || high != 0.5 {
		t.Errorf("%v", ratios)
	}
	if (sample{4, 1, 3, 2}).median() != 2.5 || (sample{}).median() != 0 {
		t.Error("median")
	}
}

func TestThousands(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := thousands(value); got != want {
			t.Errorf("%v: %s", value, got)
		}
	}
}
