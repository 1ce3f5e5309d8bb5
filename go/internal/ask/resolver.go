package ask

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns" // which certmagic brings; Go's own resolver reads the hosts file, whatever it is asked
)

// resolver asks DNS servers and nothing else: no hosts file and no search domain of this machine says where clients are
// sent. Safe for concurrent use.
type resolver struct {
	servers []string // addresses; those of the system if there are none
	next    atomic.Uint32
}

// place is where a name points.
type place struct {
	addresses []netip.Addr
	owner     string // what has them: the name itself, or what it is an alias of
}

const (
	// resolverTries is how often each server is asked, and tryTimeout how long it has, so that one that is down is no reason
	// to fail.
	resolverTries = 2
	tryTimeout    = 1500 * time.Millisecond
	// udpSize is what fits into a packet on any way (DNS flag day 2020).
	udpSize = 1232
)

var errForged = errors.New("an answer to another question")

// lookup returns the addresses that it has found with an error for the kind that it could not ask for. A name that has none is no
// error.
func (r *resolver) lookup(ctx context.Context, name string) (place, error) {
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	answers, failures := make([]*dns.Msg, len(kinds)), make([]error, len(kinds))
	var asking sync.WaitGroup
	for i, kind := range kinds {
		asking.Go(func() { answers[i], failures[i] = r.ask(ctx, dns.Fqdn(name), kind) })
	}
	asking.Wait()
	var found place
	for _, answer := range answers {
		if answer != nil {
			found.take(answer.Answer)
		}
	}
	for _, err := range failures {
		if err != nil {
			return found, fmt.Errorf("looking up %s: %w", name, err)
		}
	}
	return found, nil
}

func (p *place) take(records []dns.RR) {
	for _, record := range records {
		var address netip.Addr
		switch record := record.(type) {
		case *dns.A:
			address, _ = netip.AddrFromSlice(record.A)
		case *dns.AAAA:
			address, _ = netip.AddrFromSlice(record.AAAA)
		}
		if address.IsValid() {
			p.addresses, p.owner = append(p.addresses, address.Unmap()), strings.ToLower(record.Header().Name)
		}
	}
}

// ask asks the servers in turn until one answers. Its errors name no server, whose address may be private.
func (r *resolver) ask(ctx context.Context, name string, kind uint16) (answer *dns.Msg, err error) {
	defer recovered(&err) // the bytes come from outside, and nobody else would stop a panic of this goroutine
	servers, first := r.servers, int(r.next.Add(1)-1)
	if len(servers) == 0 {
		servers, first = systemServers(), 0 // in their order, which may have its reasons
	}
	for try := range resolverTries * len(servers) {
		if answer, err = exchange(ctx, servers[(first+try)%len(servers)], name, kind); err == nil || ctx.Err() != nil {
			break
		}
	}
	return answer, err
}

// exchange returns an answer that tells what there is of the name, if only that there is nothing.
func exchange(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, kind)
	query.SetEdns0(udpSize, false)
	var answer *dns.Msg
	for _, network := range []string{"udp", "tcp"} { // TCP is for what was cut off
		var err error
		client := dns.Client{Net: network, Timeout: tryTimeout}
		if answer, _, err = client.ExchangeContext(ctx, query, server); err != nil {
			return nil, withoutAddress(err)
		}
		if !answer.Truncated {
			break
		}
	}
	if len(answer.Question) != 1 || answer.Question[0].Qtype != kind || !strings.EqualFold(answer.Question[0].Name, name) {
		return nil, errForged
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("the DNS server's answer is %s", dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

func withoutAddress(err error) error {
	if failed, isNetwork := errors.AsType[*net.OpError](err); isNetwork {
		return failed.Err
	}
	return err
}

// systemServers are read anew each time, as they may change while Caddy runs.
func systemServers() []string {
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(config.Servers) == 0 {
		return []string{"127.0.0.1:53", "[::1]:53"} // as other resolvers do (resolv.conf(5))
	}
	return withPorts(config.Servers)
}

// withPorts gives each address a port if it has none.
func withPorts(servers []string) []string {
	addresses := make([]string, 0, len(servers))
	for _, server := range servers {
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
		addresses = append(addresses, server)
	}
	return addresses
}
