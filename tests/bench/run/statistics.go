package main

import (
	"fmt"
	"slices"
)

// sample is one quantity over the rounds, in their order.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// over divides round by round, so that what slows a whole round down falls out.
func (s sample) over(other sample) (ratios []float64) {
	for round := range min(len(s), len(other)) {
		ratios = append(ratios, s[round]/other[round])
	}
	return ratios
}

// spread is the smallest and the largest.
func (s sample) spread() (float64, float64) {
	if len(s) == 0 {
		return 0, 0
	}
	return slices.Min(s), slices.Max(s)
}

// thousands writes a number without decimals, and with separators.
func thousands(value float64) string {
	digits := fmt.Sprintf("%.0f", value)
	for position := len(digits) - 3; position > 0 && digits[position-1] != '-'; position -= 3 {
		digits = digits[:position] + "," + digits[position:]
	}
	return digits
}
