package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// situation is what an alert is for: names that are known, something that happens then, and visitors all along.
type situation struct {
	names   int
	answer  testbackend.Answer // of the backend, at first
	options []string           // CACHE stands for a folder
	global  []string
	happens func(backend *testbackend.Server, c *caddy)
	visit   func(c *caddy, names []string, round int) // each name once, unless set
	fires   []string                                  // these alerts and no others
}

// Certificates that live for a second, so that each is refreshed while the test looks.
func brief() testbackend.Answer { return testbackend.Certificate(authority, testca.P256, "s-maxage=1") }

func answers(answer testbackend.Answer) func(*testbackend.Server, *caddy) {
	return func(backend *testbackend.Server, _ *caddy) { backend.AnswerOthers(answer) }
}

var situations = map[string]situation{
	"all is well": {
		names: 8, answer: confirming(brief()), options: []string{"cache_dir CACHE"}, visit: visitAndScan,
		global: []string{"on_demand_tls {", "\tpermission cached_http", "}"},
	},
	"the backend is down": {
		names: 8, answer: brief(), happens: answers(testbackend.Status(http.StatusBadGateway)),
		fires: []string{"CertificateBackendDown"},
	},
	"the backend of few names is down": {
		names: 2, answer: brief(), happens: func(backend *testbackend.Server, _ *caddy) { backend.Close() },
		fires: []string{"CertificateRequestsFail"},
	},
	"a bridge is about to end": {
		names: 8, answer: brief(), options: []string{"stale_if_error 1h"},
		happens: func(backend *testbackend.Server, _ *caddy) {
			backend.Answer(nameOf(0), testbackend.Status(http.StatusNotFound))
		},
		fires: []string{"CertificateBridgeEndsSoon"},
	},
	"a certificate is about to end": {
		names: 2, answer: endingSoon,
		fires: []string{"CertificateEndsSoon"},
	},
	"more names come than the backend can take": {
		answer:  testbackend.After(200*time.Millisecond, testbackend.Certificate(authority, testca.P256, "")),
		options: []string{"max_concurrent_fetches 2", "timeout 1s"}, visit: visitColdNames(60),
		fires: []string{"CertificateHandshakesOverloaded"},
	},
	"new names fail": {
		names: 8, answer: brief(), visit: visitColdNames(10),
		happens: func(backend *testbackend.Server, c *caddy) {
			for i := range 8 {
				backend.Answer(nameOf(i), brief())
				c.handshakes(nameOf(i))
			}
			time.Sleep(time.Second) // the backend is known to answer
			backend.AnswerOthers(testbackend.Status(http.StatusInternalServerError))
		},
		fires: []string{"CertificateHandshakesFail"},
	},
	"bundles are rejected": {
		names: 8, answer: brief(), happens: answers(testbackend.Text(testca.Encrypted(), "s-maxage=1")),
		fires: []string{"CertificateBundlesRejected"},
	},
	"the disk fails": {
		names: 8, answer: brief(), options: []string{"cache_dir CACHE"},
		happens: func(_ *testbackend.Server, c *caddy) { _ = os.RemoveAll(c.folder + "/cache") },
		fires:   []string{"CertificateDiskFails"},
	},
	"the storage of the fleet fails": {
		names: 8, answer: brief(),
		options: []string{"distributed {", "\tencryption_key KEY", "\tread_interval 1s", "\tstorage file_system CACHE-of-all", "}"},
		happens: func(_ *testbackend.Server, c *caddy) {
			shared := c.folder + "/cache-of-all"
			_ = os.Rename(shared, shared+"-gone")
			c.file("cache-of-all", nil) // no folder
		},
		fires: []string{"CertificateFleetStorageFails"},
	},
}

// Each alert of docs/alerts.yml fires in the situation it is for and in no other, and each panel of docs/dashboard.json
// shows something: a real Prometheus watches real Caddys. Only the times for which an alert has to wait are shortened.
func TestAlerts(t *testing.T) { //nolint:tparallel // the group ends when all situations have
	t.Parallel()
	ports := map[string]int{}
	for title := range situations {
		ports[title] = freePort(t)
	}
	prometheus := startPrometheus(t, ports)
	t.Run("situations", func(t *testing.T) {
		for title, s := range situations {
			t.Run(title, func(t *testing.T) {
				t.Parallel()
				s.play(t, ports[title], prometheus)
			})
		}
	})
	if fired := len(prometheus.query("count by (alertname) (count_over_time(ALERTS[5m]))")); fired != strings.Count(alertRules(t), "- alert:") {
		t.Errorf("only %d alerts were tried", fired)
	}
	// The ordinary day has had what must alarm nobody.
	for _, metric := range []string{`lookups_total{result="unsupported_key_type",`, `lookups_total{result="negative",`, `fetches_total{outcome="not_modified",`} {
		selector := fmt.Sprintf("caddy_cached_http_%sinstance=%q}", metric, addressOf(ports["all is well"]))
		if len(prometheus.query("max_over_time("+selector+"[5m]) > 1")) == 0 {
			t.Error("it had no", selector)
		}
	}
	for title, expressions := range dashboardExpressions(t) {
		for _, expression := range expressions {
			if len(prometheus.query("count_over_time(("+expression+")[5m:1s])")) == 0 {
				t.Errorf("the panel %q shows nothing: %s", title, expression)
			}
		}
	}
}

func nameOf(i int) string { return fmt.Sprintf("shop-%d.example.com", i) }

// play lets the situation come, and has visitors until the alerts have fired, and for a while after: no other may.
func (s situation) play(t *testing.T, port int, watching prometheus) {
	backend := startBackend(t, s.answer)
	c := prepareCaddy(t)
	var options []string
	for _, option := range s.options {
		option = strings.ReplaceAll(option, "CACHE", c.folder+"/cache")
		if strings.Contains(option, "KEY") {
			option = strings.ReplaceAll(option, "KEY", newKey(t))
		}
		options = append(options, option)
	}
	served := site{url: backend.URL(), options: options, global: s.global}
	c.start(served)
	var names []string
	for i := range s.names {
		names = append(names, nameOf(i))
	}
	c.handshakes(names...)
	served.sites = fmt.Sprintf("http://127.0.0.1:%d {\n\tbind 127.0.0.1\n\tmetrics\n}\n", port)
	c.reload(served) // what happened before is long ago
	eventually(t, startLimit, "Prometheus sees it", func() bool {
		return len(watching.query(fmt.Sprintf("caddy_cached_http_entries{instance=%q}", addressOf(port)))) > 0
	})
	time.Sleep(time.Second) // those certificates are past their lifetime
	if s.happens != nil {
		s.happens(backend, c)
	}
	visit := s.visit
	if visit == nil {
		visit = func(c *caddy, names []string, _ int) { c.handshakes(names...) }
	}
	begin := time.Now()
	var settled time.Time
	for round := 0; settled.IsZero() || time.Since(settled) < 8*time.Second; round++ {
		visit(c, names, round)
		if settled.IsZero() && slices.Equal(watching.alerts(port, "firing"), s.fires) {
			settled = time.Now()
		}
		if settled.IsZero() && time.Since(begin) > 30*time.Second {
			t.Fatalf("after 30 s firing are %q, not %q", watching.alerts(port, "firing"), s.fires)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%q after %s", s.fires, settled.Sub(begin).Round(100*time.Millisecond))
	unwanted := "firing"
	if len(s.fires) == 0 {
		unwanted += "|pending" // an ordinary day does not even come near
	}
	if alerts := watching.alerts(port, unwanted); !slices.Equal(alerts, s.fires) {
		t.Errorf("there were alerts %q, not %q", alerts, s.fires)
	}
}

// visitAndScan is an ordinary day: customers, and scanners who offer old suites or make names up.
func visitAndScan(c *caddy, names []string, round int) {
	c.handshakes(names...)
	for _, name := range names {
		c.refused(name, rsaOnly)
	}
	c.refused(fmt.Sprintf("made-up-%d.example.com", round/2))
	c.refused("localhost")
}

// visitColdNames has so many new names each round beside those that are known.
func visitColdNames(count int) func(*caddy, []string, int) {
	return func(c *caddy, names []string, round int) {
		var clients sync.WaitGroup
		for i := range count {
			clients.Go(func() { _, _ = c.handshake(fmt.Sprintf("cold-%d-%d.example.com", round, i)) })
		}
		c.handshakes(names...)
		clients.Wait()
	}
}

// confirming knows the shops only, and answers 304 to who has their certificates.
func confirming(certificate testbackend.Answer) testbackend.Answer {
	return func(response http.ResponseWriter, request *http.Request, name string) {
		response.Header().Set("ETag", `"1"`)
		switch {
		case !strings.HasPrefix(name, "shop-"):
			response.WriteHeader(http.StatusNoContent)
		case request.Header.Get("If-None-Match") != "":
			response.Header().Set("Cache-Control", "s-maxage=1")
			response.WriteHeader(http.StatusNotModified)
		default:
			certificate(response, request, name)
		}
	}
}

// endingSoon sends certificates that nothing has renewed.
func endingSoon(response http.ResponseWriter, request *http.Request, name string) {
	leaf := testca.Leaf{Names: []string{name}, NotAfter: time.Now().AddDate(0, 0, 2)}
	testbackend.Text(authority.Issue(leaf).PEM(), "s-maxage=1")(response, request, name)
}

// prometheus is one that scrapes and evaluates five times a second.
type prometheus struct {
	t       *testing.T
	address string
}

func startPrometheus(t *testing.T, ports map[string]int) prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("absent: prometheus, so no alert is tried (Debian: apt install prometheus)")
	}
	folder := t.TempDir()
	var targets []string
	for _, port := range ports {
		targets = append(targets, addressOf(port))
	}
	file := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("alerts.yml", regexp.MustCompile(`(?m)^( +for:) .*$`).ReplaceAllString(alertRules(t), "$1 1s"))
	file("prometheus.yml", "global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\n"+
		"rule_files: [alerts.yml]\n"+
		"scrape_configs: [{job_name: caddy, static_configs: [{targets: ["+strings.Join(targets, ", ")+"]}]}]\n")
	p := prometheus{t, addressOf(freePort(t))}
	command := exec.Command(path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn",
		"--web.listen-address="+p.address)
	command.Dir = folder
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("what Prometheus said:\n%s", lastLines(log.String(), 5))
		}
	})
	eventually(t, startLimit, "Prometheus is ready", func() bool {
		response, err := http.Get("http://" + p.address + "/-/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// alerts are those that this Caddy has had in a state, at any time.
func (p prometheus) alerts(port int, state string) (names []string) {
	p.t.Helper()
	selector := fmt.Sprintf(`ALERTS{alertstate=~%q,instance=%q}`, state, addressOf(port))
	for _, labels := range p.query("count by (alertname) (count_over_time(" + selector + "[5m]))") {
		names = append(names, labels["alertname"])
	}
	slices.Sort(names)
	return names
}

// query returns the labels of each series that the expression has now.
func (p prometheus) query(expression string) (series []map[string]string) {
	p.t.Helper()
	response, err := http.PostForm("http://"+p.address+"/api/v1/query", url.Values{"query": {expression}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		p.t.Fatalf("%s: %v %s", expression, err, answer.Error)
	}
	for _, result := range answer.Data.Result {
		series = append(series, result.Metric)
	}
	return series
}

func addressOf(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func alertRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dashboardExpressions are those of docs/dashboard.json, each under the title of its panel.
func dashboardExpressions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$backend", ".*", "$__rate_interval", "10s")
	expressions := map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions[panel.Title] = append(expressions[panel.Title], variables.Replace(target.Expr))
		}
	}
	return expressions
}
