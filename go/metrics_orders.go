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
	to := sink{metrics: metrics}
	to.gauge(ordersUnderWay, float64(counts.UnderWay))
	to.count(ordersMetric, counts.Obtained, "obtained")
	to.count(ordersMetric, counts.Failed, "failed")
	for rule, number := range counts.Refused {
		to.count(ordersRefused, number, string(rule))
	}
	to.gauge(coolingNames, float64(counts.CoolingNames))
	to.gauge(coolingDomains, float64(counts.CoolingDomains))
}
