package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// record is a line of Caddy's log.
type record struct {
	Level, Logger, Msg string
	text               string
}

func (c *caddy) log() []record {
	var records []record
	for line := range strings.Lines(c.logText()) {
		r := record{text: line}
		if json.Unmarshal([]byte(line), &r) != nil {
			r.Level = "error" // a line that is no record: a panic, or a message on the way out
		}
		records = append(records, r)
	}
	return records
}

// notable are the lines that an operator sees without debug logging and that hold all these texts, whatever the case.
func (c *caddy) notable(texts ...string) []record {
	return c.filter(func(r record) bool {
		line := strings.ToLower(r.text)
		for _, text := range texts {
			if !strings.Contains(line, strings.ToLower(text)) {
				return false
			}
		}
		return r.Level != "debug"
	})
}

// acmeOrders are the lines that tell of an order for a certificate, or of getting ready for one.
func (c *caddy) acmeOrders() []record {
	return c.filter(func(r record) bool {
		return r.Logger == "tls.on_demand" || strings.HasPrefix(r.Logger, "tls.obtain") ||
			strings.HasPrefix(r.Logger, "tls.issuance") || strings.HasSuffix(r.Logger, "acme_client") ||
			strings.Contains(r.Msg, "ACME account") || strings.Contains(r.text, "new-order")
	})
}

func (c *caddy) filter(wanted func(record) bool) []record {
	var found []record
	for _, r := range c.log() {
		if wanted(r) {
			found = append(found, r)
		}
	}
	return found
}

func (c *caddy) expectNoACME() {
	c.t.Helper()
	if orders := c.acmeOrders(); len(orders) > 0 {
		c.t.Errorf("%d lines about an ACME order, first: %s", len(orders), orders[0].text)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %s: %s", limit, what)
		}
	}
}
