// Command client makes full TLS 1.3 handshakes, many at a time, and counts them. It is a process of its own, so
// that its cost is not the server's.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// result is printed as one line of JSON.
type result struct {
	Handshakes int64   `json:"handshakes"`
	Failures   int64   `json:"failures"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`
}

// load says what to ask, and for how long: until count handshakes were begun, or the time is over.
type load struct {
	address      string
	first, names int
	parallel     int
	count        int64
	duration     time.Duration
	x25519       bool
}

func main() {
	var load load
	flag.StringVar(&load.address, "address", "", "address of the server")
	flag.IntVar(&load.first, "first", 0, "number of the first name")
	flag.IntVar(&load.names, "names", 1, "how many names are asked for in turn")
	flag.IntVar(&load.parallel, "parallel", 8, "connections at a time")
	flag.Int64Var(&load.count, "count", 0, "handshakes in all; 0: as many as the time allows")
	flag.DurationVar(&load.duration, "for", time.Minute, "when to stop at the latest")
	flag.BoolVar(&load.x25519, "x25519", false, "offer X25519 alone rather than what browsers offer, ML-KEM first")
	flag.Parse()
	if err := json.NewEncoder(os.Stdout).Encode(load.run()); err != nil {
		log.Fatal(err)
	}
}

func (l *load) run() result {
	var handshakes, failures, turn atomic.Int64
	var firstError error
	var once sync.Once
	var group sync.WaitGroup
	start := time.Now()
	for range l.parallel {
		group.Go(func() {
			for time.Since(start) < l.duration {
				n := turn.Add(1) - 1
				if l.count > 0 && n >= l.count {
					return
				}
				if err := l.handshake(l.first + int(n%int64(l.names))); err != nil {
					failures.Add(1)
					once.Do(func() { firstError = err })
					continue
				}
				handshakes.Add(1)
			}
		})
	}
	group.Wait()
	result := result{handshakes.Load(), failures.Load(), "", time.Since(start).Seconds()}
	if firstError != nil {
		result.FirstError = firstError.Error()
	}
	return result
}

// handshake opens a connection for the n-th name, checks that the certificate is that name's, and closes it.
// There is no session cache, so nothing is ever resumed.
func (l *load) handshake(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	config := &tls.Config{
		ServerName:         bundles.Name(n),
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // #nosec G402 -- the authority is made up; the name is checked below
	}
	if l.x25519 {
		config.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	dialer := tls.Dialer{NetDialer: new(net.Dialer), Config: config}
	connection, err := dialer.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("%s: %w", config.ServerName, err)
	}
	state := connection.(*tls.Conn).ConnectionState()
	err = state.PeerCertificates[0].VerifyHostname(config.ServerName)
	if state.DidResume {
		err = errors.New("a session was resumed")
	}
	return errors.Join(err, connection.Close())
}
