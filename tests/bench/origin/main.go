// Command origin is the backend: it holds the bundles of many names and answers them at once, or after a
// latency, so that what is measured is the variants' cost and not the making of certificates.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

func main() {
	kind := flag.String("kind", "ecdsa", "type of the keys: rsa or ecdsa")
	names := flag.Int("names", 1000, "how many names there are")
	latency := flag.Duration("latency", 50*time.Millisecond, "how long /slow/ waits before it answers")
	flag.Parse()
	if err := serve(bundles.Kind(*kind), *names, *latency); err != nil {
		log.Fatal(err)
	}
}

// serve prints its address once all bundles are made, and ends only by a signal.
func serve(kind bundles.Kind, names int, latency time.Duration) error {
	issuer, err := bundles.NewIssuer(kind)
	if err != nil {
		return err
	}
	backend := &backend{bundles: make([][]byte, names)}
	err = issuer.Each(0, names, func(n int, bundle []byte) error {
		backend.bundles[n] = bundle
		return nil
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /certificates", backend.answer)
	mux.HandleFunc("GET /slow/certificates", func(writer http.ResponseWriter, request *http.Request) {
		time.Sleep(latency)
		backend.answer(writer, request)
	})
	mux.HandleFunc("GET /requests", func(writer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(writer, backend.requests.Load())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

type backend struct {
	bundles  [][]byte // by a name's number
	requests atomic.Int64
}

// answer gives the name's bundle, or 204 for a name that is none of ours.
func (b *backend) answer(writer http.ResponseWriter, request *http.Request) {
	b.requests.Add(1)
	var n int
	name := request.URL.Query().Get("server_name")
	if _, err := fmt.Sscanf(name, "n%07d", &n); err != nil || n < 0 || n >= len(b.bundles) || name != bundles.Name(n) {
		writer.WriteHeader(http.StatusNoContent)
		return
	}
	writer.Header().Set("Content-Type", "application/x-pem-file")
	writer.Header().Set("Cache-Control", "s-maxage=86400")
	// The client has left if this fails; it will ask again.
	_, _ = writer.Write(b.bundles[n])
}
