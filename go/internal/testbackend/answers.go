package testbackend

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Answer sends a response to a request for a name.
type Answer func(response http.ResponseWriter, request *http.Request, name string)

// Certificate answers each name with a certificate for it, the same one each time. cacheControl may be empty.
func Certificate(authority *testca.Authority, algorithm testca.Algorithm, cacheControl string) Answer {
	var mutex sync.Mutex
	bundles := map[string][]byte{}
	return func(response http.ResponseWriter, request *http.Request, name string) {
		mutex.Lock()
		text, known := bundles[name]
		if !known {
			text = authority.Issue(testca.Leaf{Names: []string{name}, Algorithm: algorithm}).PEM()
			bundles[name] = text
		}
		mutex.Unlock()
		Text(text, cacheControl)(response, request, name)
	}
}

// Text answers 200 with this body. cacheControl may be empty.
func Text(body []byte, cacheControl string) Answer {
	return func(response http.ResponseWriter, _ *http.Request, _ string) {
		if cacheControl != "" {
			response.Header().Set("Cache-Control", cacheControl)
		}
		response.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = response.Write(body)
	}
}

// Status answers with a status alone: 204 is "no such name", anything else a fault.
func Status(code int) Answer {
	return func(response http.ResponseWriter, _ *http.Request, _ string) {
		response.WriteHeader(code)
	}
}

// Redirect sends the client elsewhere.
func Redirect(location string) Answer {
	return func(response http.ResponseWriter, request *http.Request, _ string) {
		http.Redirect(response, request, location, http.StatusFound)
	}
}

// Huge answers with white space without end, until the client has had enough.
func Huge() Answer {
	chunk := bytes.Repeat([]byte("\n"), 64*1024)
	return func(response http.ResponseWriter, request *http.Request, _ string) {
		for request.Context().Err() == nil {
			if _, err := response.Write(chunk); err != nil {
				return
			}
		}
	}
}

// Hang never answers; it ends when the client leaves or the server closes.
func Hang() Answer {
	return func(_ http.ResponseWriter, request *http.Request, _ string) {
		<-request.Context().Done()
	}
}

// After waits before it answers, whether the client is still there or not.
func After(delay time.Duration, then Answer) Answer {
	return func(response http.ResponseWriter, request *http.Request, name string) {
		time.Sleep(delay)
		then(response, request, name)
	}
}

// ByClient answers as a backend does that has certificates of both kinds: ECDSA for whom can use it, by what the
// query says about the client.
func ByClient(ecdsa, rsa Answer) Answer {
	tls13 := []string{"1301", "1302", "1303"}
	ecdheECDSA := []string{"c02b", "c02c", "cca9", "c009", "c00a"}
	return func(response http.ResponseWriter, request *http.Request, name string) {
		suites := strings.Split(request.URL.Query().Get("cipher_suites"), ",")
		schemes := strings.Split(request.URL.Query().Get("signature_schemes"), ",")
		offers := func(suite string) bool { return slices.Contains(suites, suite) }
		if (slices.ContainsFunc(tls13, offers) || slices.ContainsFunc(ecdheECDSA, offers)) && slices.Contains(schemes, "403") {
			ecdsa(response, request, name)
		} else {
			rsa(response, request, name)
		}
	}
}
