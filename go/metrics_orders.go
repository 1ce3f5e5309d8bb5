package cachedhttp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// What becomes of the orders that Caddy makes on demand, with permission cached_http.
var (
	ordersUnderWay = describe("orders", "Orders on demand that are under way.")
	ordersMetric   = describe("orders_total", "Orders on demand by what became of them.", "result")
	ordersRefused  = describe("orders_refused_total", "Handshakes that got no certificate since none may be ordered now, by rule.", "rule")
	coolingNames   = describe("cooling_names", "Names that have to wait for another order, since one has failed.")
	coolingDomains = describe("cooling_domains", "Registered domains whose new names have to wait, since their orders have failed.")
)

var orderMetrics = []*prometheus.Desc{ordersUnderWay, ordersMetric, ordersRefused, coolingNames, coolingDomains}

func collectOrders(metrics chan<- prometheus.Metric, counts issuance.Counts) {
	send := func(description *prometheus.Desc, kind prometheus.ValueType, value uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(description, kind, float64(value), labels...)
	}
	send(ordersUnderWay, prometheus.GaugeValue, uint64(counts.UnderWay))
	send(ordersMetric, prometheus.CounterValue, counts.Obtained, "obtained")
	send(ordersMetric, prometheus.CounterValue, counts.Failed, "failed")
	for rule, number := range counts.Refused {
		send(ordersRefused, prometheus.CounterValue, number, string(rule))
	}
	send(coolingNames, prometheus.GaugeValue, uint64(counts.CoolingNames))
	send(coolingDomains, prometheus.GaugeValue, uint64(counts.CoolingDomains))
}
