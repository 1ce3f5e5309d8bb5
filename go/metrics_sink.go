package cachedhttp

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sink takes single values of metrics, whose first labels are the same.
type sink struct {
	metrics chan<- prometheus.Metric
	labels  []string
}

func (s sink) count(description *prometheus.Desc, value uint64, labels ...string) {
	s.metrics <- prometheus.MustNewConstMetric(description, prometheus.CounterValue, float64(value), slices.Concat(s.labels, labels)...)
}

func (s sink) gauge(description *prometheus.Desc, value float64) {
	s.metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, s.labels...)
}

// time leaves out one that never was.
func (s sink) time(description *prometheus.Desc, value time.Time) {
	if !value.IsZero() {
		s.gauge(description, float64(value.UnixMilli())/1000)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
