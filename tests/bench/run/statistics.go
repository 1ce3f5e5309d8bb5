package main

import (
	"fmt"
	"slices"
)

// sample is one quantity over the rounds, in their order.
type sample []float64

func (sample sample) median() float64 {
	if len(sample) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(sample))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// over divides round by round, so that what slows a whole round down falls out.
func (sample sample) over(other sample) (ratios []float64) {
	for round := range min(len(sample), len(other)) {
		ratios = append(ratios, sample[round]/other[round])
	}
	return ratios
}

// spread is the smallest and the largest.
func (sample sample) spread() (float64, float64) {
	if len(sample) == 0 {
		return 0, 0
	}
	return slices.Min(sample), slices.Max(sample)
}

// thousands writes a number without decimals, and with separators.
func thousands(value float64) string {
	digits := fmt.Sprintf("%.0f", value)
	for position := len(digits) - 3; position > 0 && digits[position-1] != '-'; position -= 3 {
		digits = digits[:position] + "," + digits[position:]
	}
	return digits
}
