package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// prefetchers is the share of max_concurrent_fetches that a prefetch has.
const prefetchers = coldClients / 8

// operate compares a prefetch with a plain client that fetches the same bundles with as many connections, with a
// backend that answers at once and with one that takes its time, and tells how long a purge of all that was fetched takes. Names are new in each round.
func (b *bench) operate(ctx context.Context, slow bool) error {
	plan := b.plan
	origin, err := b.startOrigin(ctx, bundles.ECDSAP256, plan.names())
	if err != nil {
		return err
	}
	defer origin.stop()
	server, _, err := b.start(ctx, setting{
		name: cachedHTTP, url: origin.url(slow), waitName: bundles.Name(plan.names() - 1),
		options: []string{"max_memory 4GiB", fmt.Sprintf("max_concurrent_fetches %d", coldClients)},
	})
	if err != nil {
		return err
	}
	defer server.stop()
	var ratios, rates, purges, perName sample
	for round := range plan.coldRounds + 1 {
		names := make([]string, plan.coldNames)
		for n := range names {
			names[n] = bundles.Name(round*plan.coldNames + n)
		}
		before, err := origin.requests()
		if err != nil {
			return err
		}
		ours, err := timed(func() error { return server.prefetch(ctx, names) })
		if err != nil {
			return err
		}
		after, err := origin.requests()
		if err != nil {
			return err
		}
		plain, err := timed(func() error { return fetchAll(ctx, origin.url(slow), names) })
		if err != nil {
			return err
		}
		purge, err := timed(func() error { return server.purge(ctx, names) })
		if err != nil {
			return err
		}
		if round > 0 { // the first only warms up, and learns that there is one kind of certificate
			ratios = append(ratios, plain.Seconds()/ours.Seconds())
			rates = append(rates, float64(len(names))/ours.Seconds())
			purges = append(purges, purge.Seconds()*1e6/float64(len(names)))
			perName = append(perName, float64(after-before)/float64(len(names)))
		}
	}
	if slow {
		b.add(ratioRow("prefetch, against a plain client that fetches the same, backend takes 50 ms", ratios, atLeast(0.8),
			fmt.Sprintf("%d names, %d connections each; %.2f requests a name; client and backend on the same cores",
				plan.coldNames, prefetchers, perName.median())))
		return nil
	}
	// A plain client checks no certificate and keeps no key: with a backend that costs no time, that is all there is.
	b.add(informationRow("prefetch, against a plain client that throws away what it fetches",
		fmt.Sprintf("%.2f; %s names per second", ratios.median(), thousands(rates.median()))))
	b.add(informationRow("purge of a name, in a call of many", fmt.Sprintf("%.1f us", purges.median())))
	return nil
}

func timed(work func() error) (time.Duration, error) {
	begin := time.Now()
	err := work()
	return time.Since(begin), err
}

func (v *variant) prefetch(ctx context.Context, names []string) error {
	answers, err := v.post(ctx, "prefetch", "text/plain", strings.Join(names, "\n"))
	if found := bytes.Count(answers, []byte(`"outcome":"found"`)); err == nil && found != len(names) {
		err = fmt.Errorf("%d of %d names were found by the prefetch", found, len(names))
	}
	return err
}

func (v *variant) purge(ctx context.Context, names []string) error {
	body := `{"names":["` + strings.Join(names, `","`) + `"]}`
	answer, err := v.post(ctx, "purge", "application/json", body)
	if want := fmt.Sprintf(`{"purged":%d}`, len(names)); err == nil && strings.TrimSpace(string(answer)) != want {
		err = fmt.Errorf("purge: %s", answer)
	}
	return err
}

func (v *variant) post(ctx context.Context, path, mediaType, body string) ([]byte, error) {
	address := "http://" + v.admin + "/cached_http/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", mediaType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, answer)
	}
	return answer, err
}

// fetchAll is the plain client.
func fetchAll(ctx context.Context, address string, names []string) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: prefetchers}}
	defer client.CloseIdleConnections()
	work := make(chan string)
	failures := make([]error, prefetchers)
	var workers sync.WaitGroup
	for worker := range prefetchers {
		workers.Go(func() {
			for name := range work {
				if failures[worker] == nil {
					failures[worker] = fetchOne(ctx, client, address, name)
				}
			}
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	workers.Wait()
	return errors.Join(failures...)
}

func fetchOne(ctx context.Context, client *http.Client, address, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?server_name="+url.QueryEscape(name), http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return err
}
