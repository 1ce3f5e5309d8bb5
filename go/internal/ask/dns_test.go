package ask

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/miekg/dns"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// startDNS starts a DNS server, by UDP and TCP, and returns its address.
func startDNS(t *testing.T, answer func(*dns.Msg, bool)) string {
	t.Helper()
	packets, listener := onePort(t)
	handler := dns.HandlerFunc(func(writer dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		answer(reply, writer.LocalAddr().Network() == "udp")
		_ = writer.WriteMsg(reply)
	})
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = server.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return packets.LocalAddr().String()
}

// onePort binds one number by UDP and TCP. One that is free by UDP may be that of somebody's TCP connection.
func onePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var refused error
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		refused = err
		_ = packets.Close()
	}
	t.Fatal(refused)
	return nil, nil
}

func openDNS(t *testing.T, targets []string, servers ...string) *Client {
	t.Helper()
	client, err := OpenDNS(&config.Permission{
		ResolvesTo: targets, Resolvers: servers, Timeout: caddy.Duration(10 * time.Second),
		TTL: caddy.Duration(time.Hour), NegativeTTL: caddy.Duration(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func has(reply *dns.Msg, records ...string) {
	for _, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		reply.Answer = append(reply.Answer, record)
	}
}

// What stands in this machine's hosts file is nothing to a client elsewhere.
func TestTheHostsFileSaysNothing(t *testing.T) {
	var asked atomic.Int64
	server := startDNS(t, func(reply *dns.Msg, _ bool) {
		asked.Add(1)
		if reply.Question[0].Name == "hosts.example." && reply.Question[0].Qtype == dns.TypeAAAA {
			has(reply, "hosts.example. 1 IN AAAA 2001:db8::7")
		} else {
			reply.Rcode = dns.RcodeNameError
		}
	})
	client := openDNS(t, []string{"127.0.0.1", "::1", "2001:db8::7"}, server)
	// For both kinds of addresses; a question whose answer is late is asked once more.
	if answer := allowed(client, "localhost"); answer != "no" || asked.Load() < 2 {
		t.Errorf("%s after %d questions", answer, asked.Load())
	}
	if answer := allowed(client, "hosts.example"); answer != "yes" {
		t.Error(answer)
	}
}

func TestWhatADNSServerMayDo(t *testing.T) {
	t.Parallel()
	answers := func(reply *dns.Msg, _ bool) {
		if reply.Question[0].Qtype == dns.TypeA {
			has(reply, "alias.example. 1 IN CNAME Edge.Example.", "edge.example. 1 IN A 192.0.2.7")
		}
	}
	good := startDNS(t, answers)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	rcode := func(code int) func(*dns.Msg, bool) { return func(reply *dns.Msg, _ bool) { reply.Rcode = code } }
	const here, edge = "192.0.2.7", "edge.example"
	for title, test := range map[string]struct {
		servers []string
		target  string
		answer  string
	}{
		"an answer":               {[]string{good}, here, "yes"},
		"it points elsewhere":     {[]string{good}, "192.0.2.8", "no"},
		"an alias of a host":      {[]string{good}, edge, "yes"},
		"the first one is down":   {[]string{"127.0.0.1:1", good}, here, "yes"},
		"the first one is silent": {[]string{silent.LocalAddr().String(), good}, here, "yes"},
		"the first one is ill":    {[]string{startDNS(t, rcode(dns.RcodeServerFailure)), good}, here, "yes"},
		"the first one is closed": {[]string{startDNS(t, rcode(dns.RcodeRefused)), good}, here, "yes"},
		"there is no such name":   {[]string{startDNS(t, rcode(dns.RcodeNameError))}, here, "no"},
		"all are down":            {[]string{"127.0.0.1:1"}, here, "resolves_to: looking up alias.example: read: connection refused"},
		"all are ill":             {[]string{startDNS(t, rcode(dns.RcodeServerFailure))}, here, "resolves_to: looking up alias.example: the DNS server's answer is SERVFAIL"},
		"it is cut off by UDP":    {[]string{startDNS(t, func(reply *dns.Msg, byUDP bool) { reply.Truncated = byUDP; answers(reply, byUDP) })}, here, "yes"},
		"only one kind is known":  {[]string{startDNS(t, aOnly(answers))}, here, "yes"},
		"the other is not known":  {[]string{startDNS(t, aOnly(answers))}, "2001:db8::7", "resolves_to: looking up alias.example: the DNS server's answer is SERVFAIL"},
		"it answers something else": {[]string{startDNS(t, func(reply *dns.Msg, _ bool) {
			reply.Question[0].Name = "other.example."
			has(reply, "other.example. 1 IN A 192.0.2.7")
		})}, here, "resolves_to: looking up alias.example: " + errForged.Error()},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if answer := allowed(openDNS(t, []string{test.target}, test.servers...), "alias.example"); answer != test.answer {
				t.Errorf("%q", answer)
			}
		})
	}
}

// malformed panics in the midst of an exchange, as a parser may.
type malformed struct{ context.Context }

func (malformed) Deadline() (time.Time, bool) { panic("index out of range") }

func TestAPanicOverAnAnswerIsAnError(t *testing.T) {
	resolver := &resolver{servers: []string{"127.0.0.1:1"}}
	if found, err := resolver.lookup(malformed{t.Context()}, "a.example"); err == nil || len(found.addresses) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// aOnly fails for every other kind of address.
func aOnly(answer func(*dns.Msg, bool)) func(*dns.Msg, bool) {
	return func(reply *dns.Msg, byUDP bool) {
		if reply.Question[0].Qtype != dns.TypeA {
			reply.Rcode = dns.RcodeServerFailure
		}
		answer(reply, byUDP)
	}
}

// Whoever owns a domain may let its names wait; those of others don't.
func TestASlowDomainTakesItsOwnShareOnly(t *testing.T) {
	release := make(chan struct{})
	server := startDNS(t, func(reply *dns.Msg, _ bool) {
		if reply.Question[0].Name == "good.example.net." {
			has(reply, "good.example.net. 1 IN A 192.0.2.7")
			return
		}
		<-release
	})
	client := openDNS(t, []string{"192.0.2.7"}, server)
	var waiting sync.WaitGroup
	var turnedAway atomic.Int64
	for n := range 2 * maxPending {
		waiting.Go(func() {
			if allowed(client, fmt.Sprintf("n%d.slow.example.org", n)) == errTooMany.Error() {
				turnedAway.Add(1)
			}
		})
	}
	for turnedAway.Load() < 2*maxPending-maxPendingOfDomain {
		time.Sleep(time.Millisecond)
	}
	if answer := allowed(client, "good.example.net"); answer != "yes" {
		t.Error(answer)
	}
	close(release)
	waiting.Wait()
}
