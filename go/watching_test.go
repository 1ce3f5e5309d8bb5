package cachedhttp

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What operators copy from docs/ asks for metrics, labels and results that there are, and each metric is to be seen: on
// the dashboard and in the README.
func TestDocsNameTheMetricsThatThereAre(t *testing.T) {
	labels := describedLabels()
	results := collectedResults(t)
	for _, file := range []string{"../docs/alerts.yml", "../docs/dashboard.json"} {
		for _, used := range metricsIn(readText(t, file)) {
			known, isKnown := labels[used.name]
			if !isKnown {
				t.Errorf("%s: there is no metric %s", file, used.name)
			}
			for _, matcher := range used.matchers {
				if !slices.Contains(known, matcher.label) {
					t.Errorf("%s: %s has no label %s", file, used.name, matcher.label)
				}
				for _, value := range matcher.values {
					if !results[used.name+" "+value] {
						t.Errorf("%s: %s has never %s=%q", file, used.name, matcher.label, value)
					}
				}
			}
		}
	}
	dashboard := readText(t, "../docs/dashboard.json")
	if !json.Valid([]byte(dashboard)) {
		t.Error("the dashboard is no JSON")
	}
	readme := readText(t, "../README.md")
	for name := range labels {
		if !slices.ContainsFunc(metricsIn(dashboard), func(used usedMetric) bool { return used.name == name }) {
			t.Errorf("the dashboard does not show %s", name)
		}
		// One row of the table may have several: `caddy_cached_http_entries`, `_entry_bytes`.
		short := strings.TrimPrefix(name, metricsPrefix)
		if !regexp.MustCompile("`(" + metricsPrefix + "|_)" + short + "[`{]").MatchString(readme) {
			t.Errorf("the README does not list %s", name)
		}
	}
}

// Each alert leads to a heading of its own that says what to do, and there is no heading of an alert that is gone.
func TestEachAlertHasItsRunbook(t *testing.T) {
	rules, runbook := readText(t, "../docs/alerts.yml"), readText(t, "../docs/operations.md")
	var alerts, linked, headings []string
	for _, match := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, strings.ToLower(match[1]))
	}
	const runbookURL = `runbook_url: https://github\.com/cached-http/caddy-cached-http/blob/main/docs/operations\.md#(\w+)$`
	for _, match := range regexp.MustCompile("(?m)"+runbookURL).FindAllStringSubmatch(rules, -1) {
		linked = append(linked, match[1])
	}
	for _, match := range regexp.MustCompile(`(?m)^#+ (Certificate\w+)$`).FindAllStringSubmatch(runbook, -1) {
		headings = append(headings, strings.ToLower(match[1]))
	}
	if len(alerts) == 0 || !slices.Equal(alerts, linked) || !slices.Equal(alerts, headings) {
		t.Errorf("alerts: %q\nlinks:  %q\nheadings of the runbook: %q", alerts, linked, headings)
	}
}

// describedLabels are the labels of each metric that the collector describes.
func describedLabels() map[string][]string {
	descriptions := make(chan *prometheus.Desc, 100)
	collector{}.Describe(descriptions)
	close(descriptions)
	described := regexp.MustCompile(`fqName: "(\w+)".* variableLabels: \{([\w,]*)\}`)
	labels := make(map[string][]string)
	for description := range descriptions {
		match := described.FindStringSubmatch(description.String())
		labels[match[1]] = strings.Split(match[2], ",")
	}
	return labels
}

// collectedResults are the values of the second label of each metric, as "METRIC VALUE".
func collectedResults(t *testing.T) map[string]bool {
	backend, server := stack(t, "")
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "")
	if err := server.handshake("a.example"); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	results := make(map[string]bool)
	for result := range gather(t, registry) {
		results[result] = true
	}
	return results
}

// usedMetric is a metric in an expression, with the labels that it is chosen by.
type usedMetric struct {
	name     string
	matchers []labelMatcher
}

type labelMatcher struct {
	label  string
	values []string // none if a variable of the dashboard says
}

func metricsIn(text string) (used []usedMetric) {
	text = strings.ReplaceAll(text, `\"`, `"`) // an expression in JSON
	selector := regexp.MustCompile(metricsPrefix + `(\w+)(\{[^}]*\})?`)
	matcher := regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"([^"]*)"`)
	for _, match := range selector.FindAllStringSubmatch(text, -1) {
		metric := usedMetric{name: metricsPrefix + match[1]}
		for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
			metric.name = strings.TrimSuffix(metric.name, part)
		}
		for _, found := range matcher.FindAllStringSubmatch(match[2], -1) {
			m := labelMatcher{label: found[1]}
			if !strings.HasPrefix(found[2], "$") {
				m.values = strings.Split(found[2], "|")
			}
			metric.matchers = append(metric.matchers, m)
		}
		used = append(used, metric)
	}
	return used
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
