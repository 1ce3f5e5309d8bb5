package page

import (
	"fmt"
	"net/http"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// realisticCache is a cache during an outage at night, as the picture in the README has it.
func realisticCache() *fakeCache {
	const gone = "backend https://app.internal/certificates: connection refused (os error 111)"
	names := []store.NameFacts{
		failing(stale(served("checkout.harbourcoffee.example", 31*time.Hour)), 37*time.Minute, gone),
		failing(stale(served("www.lindqvist-keramik.example", 12*day)), 36*time.Minute, gone),
		failing(stale(served("rezervace.penzionlipa.example", 44*day)), 36*time.Minute, gone),
		failing(stale(served("xn--mnchner-backstube-22b.example", 52*day)), 35*time.Minute, gone),
		failing(served("tickets.oldtownjazz.example", 61*day), 12*time.Minute, "backend https://app.internal/certificates: 500 Internal Server Error"),
		failing(store.NameFacts{Name: "new.bakkerijdejong.example"}, 9*time.Minute, gone),
		failing(stale(served("a-very-long-subdomain-that-somebody-has-made-for-a-campaign.and-another-one-below-it.spring.blueridgeoutfitters.example", 29*day)), 34*time.Minute, gone),
		denied("wp-admin.harbourcoffee.example"),
		denied("autodiscover.oldtownjazz.example"),
		denied("mail.penzionlipa.example"),
	}
	for i, owner := range []string{"northfieldcycles", "atelier-moreau", "pizzeria-sole", "greenlanevets", "studio-kowalska", "harbourcoffee", "fjordguides"} {
		for j, host := range []string{"www", "shop", "book", "mail"} {
			names = append(names, served(fmt.Sprintf("%s.%s.example", host, owner), time.Duration(2+i*9+j*3)*day+time.Duration(j)*5*time.Hour))
		}
	}
	cache := newCache("5f1c09ab", names...)
	cache.counters.BreakerIsOpen = true
	cache.counters.FirstBridgeEnd, cache.counters.FirstCertificateEnd = time.Now().Add(20*time.Hour+50*time.Minute), time.Now().Add(31*time.Hour)
	cache.counters.Entries, cache.counters.EntryBytes = 48_211, 108<<20
	cache.counters.DiskEntries, cache.counters.DiskBytes = 61_904, 61_904*4096
	cache.counters.Negatives = 4_318
	return cache
}

func realisticCaches() (shop, other *fakeCache) {
	other = newCache("c2e81d77", served("status.example", 70*day), served("docs.example", 71*day))
	other.backend, other.cacheDir = "https://certs.partner.example/v1/bundle?account=2", ""
	return realisticCache(), other
}

func hang(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }
