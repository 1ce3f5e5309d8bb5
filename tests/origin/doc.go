// Package origin is a certificate backend for tests and benchmarks: it mints certificates under an authority of its
// own, answers each name as it is told to (faults included), and counts what it was asked.
package origin
