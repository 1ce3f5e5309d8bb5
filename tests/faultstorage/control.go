package faultstorage

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Report is what the test reads of an instance.
type Report struct {
	// Counts says how often each key was asked for, by operation.
	Counts map[string]map[string]int `json:"counts"`
	// Inside is how many operations have not returned, Most how many there were at the same moment.
	Inside int `json:"inside"`
	Most   int `json:"most"`
	// Forbidden are operations other than Load, Store and Delete, and those on keys of others.
	Forbidden []string `json:"forbidden"`
}

// control is what the test and an instance share. It outlives the configuration that has made it, as hung operations do.
type control struct {
	current atomic.Pointer[faults]

	mutex  sync.Mutex
	report Report
}

var controls = struct {
	sync.Mutex
	byPath map[string]*control
}{byPath: map[string]*control{}}

// controlAt is the one of a Unix socket, which begins to listen the first time.
func controlAt(path string) (*control, error) {
	controls.Lock()
	defer controls.Unlock()
	if c := controls.byPath[path]; c != nil {
		return c, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // of an earlier process
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	c := &control{report: Report{Counts: map[string]map[string]int{}}}
	c.current.Store(&faults{ended: make(chan struct{})})
	controls.byPath[path] = c
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /faults", c.putFaults)
	mux.HandleFunc("GET /report", c.getReport)
	mux.HandleFunc("DELETE /report", c.resetReport)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // as long as the process
	return c, nil
}

func (c *control) faults() *faults { return c.current.Load() }

// putFaults takes a list in place of the one before; what hangs goes on.
func (c *control) putFaults(response http.ResponseWriter, request *http.Request) {
	next := &faults{ended: make(chan struct{})}
	if err := json.NewDecoder(request.Body).Decode(&next.list); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	close(c.current.Swap(next).ended)
}

func (c *control) getReport(response http.ResponseWriter, _ *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	_ = json.NewEncoder(response).Encode(c.report)
}

// resetReport begins to count anew; what was forbidden stays so.
func (c *control) resetReport(http.ResponseWriter, *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.report.Counts = map[string]map[string]int{}
	c.report.Most = c.report.Inside
}

// begin counts an operation and returns what ends it.
func (c *control) begin(operation, key string) func() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	r := &c.report
	if r.Counts[operation] == nil {
		r.Counts[operation] = map[string]int{}
	}
	r.Counts[operation][key]++
	isAllowed := slices.Contains([]string{"load", "store", "delete"}, operation) && strings.HasPrefix(key, "cached_http/")
	if !isAllowed && len(r.Forbidden) < 100 {
		r.Forbidden = append(r.Forbidden, operation+" "+key)
	}
	r.Inside++
	r.Most = max(r.Most, r.Inside)
	return func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		r.Inside--
	}
}
