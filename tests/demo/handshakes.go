package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// expectation is what one handshake must come to.
type expectation struct {
	refused  bool
	requests int    // what it costs the backend
	serial   string // of the certificate; empty if any will do
}

const rowFormat = "  %-26s %-38s %8s %10s %10s\n"

func heading(text string) {
	fmt.Printf("\n%s\n", text)
	fmt.Printf(rowFormat, "name", "handshake", "ms", "requests", "so far")
}

// handshakes opens one handshake after the other, prints a row for each, and stops at the first that is not as
// expected.
func (d *demo) handshakes(ctx context.Context, want expectation, names ...string) error {
	for _, name := range names {
		before := d.requests
		result, took, err := d.handshake(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.settleRequests(before + want.requests)
		fmt.Printf(rowFormat, name, result, fmt.Sprintf("%.1f", took.Seconds()*1000),
			fmt.Sprintf("+%d", d.requests-before), fmt.Sprint(d.requests))

		switch {
		case err != nil && !want.refused:
			return fmt.Errorf("the handshake of %s failed: %w", name, err)
		case err == nil && want.refused:
			return fmt.Errorf("the handshake of %s should have been refused", name)
		case err != nil && !strings.Contains(err.Error(), "remote error"):
			return fmt.Errorf("%s was to be refused by the server, but: %w", name, err)
		case !strings.HasSuffix(result, want.serial):
			return fmt.Errorf("%s was served another certificate than %s", name, want.serial)
		case d.requests-before != want.requests:
			return fmt.Errorf("the handshake of %s cost %d backend requests instead of %d",
				name, d.requests-before, want.requests)
		}
	}
	return nil
}

// handshake is one full TLS handshake by a client that trusts only the demo's authority and resumes no session.
func (d *demo) handshake(ctx context.Context, name string) (string, time.Duration, error) {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", loopback(d.httpsPort))
	if err != nil {
		return "no connection", 0, err
	}
	defer connection.Close()
	client := tls.Client(connection, &tls.Config{ServerName: name, RootCAs: d.authority.Roots()})
	begin := time.Now()
	err = client.HandshakeContext(ctx)
	took := time.Since(begin)
	if err != nil {
		return "refused: " + strings.TrimPrefix(err.Error(), "remote error: "), took, err
	}
	state := client.ConnectionState()
	leaf := state.PeerCertificates[0]
	key := leaf.PublicKeyAlgorithm.String() + ","
	return fmt.Sprintf("ok, %s, %-6s serial %s", tls.VersionName(state.Version), key, serialOf(leaf)), took, nil
}

// settleRequests reads the backend's log. A line is written just after its answer is sent, so the expected count may
// come a moment late, and one too many as well.
func (d *demo) settleRequests(expected int) {
	for deadline := time.Now().Add(20 * time.Second); countLines(d.backendLog) < expected && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	d.requests = countLines(d.backendLog)
}
