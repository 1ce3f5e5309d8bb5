package ask

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// addresses are where names must point: an address of a name, or what it is an alias of, is one of these.
type addresses struct {
	resolver *net.Resolver
	literal  []netip.Addr
	hosts    []string
}

// ErrElsewhere is the no of a name that points elsewhere, or nowhere.
var ErrElsewhere = fmt.Errorf("%w: the name does not point to any of resolves_to", ErrDenied)

// OpenDNS finds the client that asks the DNS where names point, or makes it. Close gives it back.
func OpenDNS(options *config.Permission) (*Client, error) {
	asked := strings.Join(options.ResolvesTo, " ") + " by " + strings.Join(options.Resolvers, " ")
	return openPooled(options, asked, [sha256.Size]byte{}, maxPending, func() (question, error) {
		to := &addresses{resolver: resolverOf(options.Resolvers)}
		for _, target := range options.ResolvesTo {
			if address, err := netip.ParseAddr(target); err == nil {
				to.literal = append(to.literal, address.Unmap())
			} else {
				to.hosts = append(to.hosts, target)
			}
		}
		return to, nil
	})
}

// resolverOf is the system's, or one that asks these servers in turn.
func resolverOf(servers []string) *net.Resolver {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	var next atomic.Uint32
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			server := servers[int(next.Add(1)-1)%len(servers)]
			if _, _, err := net.SplitHostPort(server); err != nil {
				server = net.JoinHostPort(server, "53")
			}
			return new(net.Dialer).DialContext(ctx, network, server)
		},
	}
}

func (a *addresses) close() {}

// lookupTimeout is for all lookups of one name. Whoever owns a name decides how long they take, so that each name has a place
// of its own, and not for long.
const lookupTimeout = 5 * time.Second

// ask: a hosts file or a search domain of this machine says nothing about where clients are sent, so that the name is
// asked for with its last dot.
func (a *addresses) ask(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := a.lookup(ctx, name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return ErrElsewhere
	}
	if slices.ContainsFunc(found, func(one netip.Addr) bool { return slices.Contains(a.literal, one) }) {
		return nil
	}
	// A host stands for its addresses: an alias of it has the same. Which one is unsure is not known, so that any is.
	var unsure error
	for _, host := range a.hosts {
		targets, err := a.lookup(ctx, host)
		if err == nil && slices.ContainsFunc(found, func(one netip.Addr) bool { return slices.Contains(targets, one) }) {
			return nil
		}
		if err == nil && len(targets) == 0 {
			err = fmt.Errorf("resolves_to %s has no address", host)
		}
		if err == nil {
			err = a.sameAlias(ctx, name, host)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrElsewhere) {
			unsure = errors.Join(unsure, err)
		}
	}
	if unsure != nil {
		return unsure
	}
	return ErrElsewhere
}

// sameAlias is for hosts that get other addresses each time they are looked up.
func (a *addresses) sameAlias(ctx context.Context, name, host string) error {
	of, err := a.resolver.LookupCNAME(ctx, rooted(name))
	if err != nil {
		return problemOf(err, name)
	}
	own, err := a.resolver.LookupCNAME(ctx, rooted(host))
	if err != nil {
		return problemOf(err, host)
	}
	if !strings.EqualFold(of, own) {
		return ErrElsewhere
	}
	return nil
}

// lookup returns no address for a name that has none.
func (a *addresses) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := a.resolver.LookupNetIP(ctx, "ip", rooted(name))
	for i := range found {
		found[i] = found[i].Unmap()
	}
	if failed, isDNS := errors.AsType[*net.DNSError](err); isDNS && failed.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, problemOf(err, name)
	}
	return found, nil
}

func problemOf(err error, name string) error {
	if failed, isDNS := errors.AsType[*net.DNSError](err); isDNS {
		return fmt.Errorf("resolves_to: looking up %s: %s", name, failed.Err) // without the resolver's address, which may be private
	}
	return fmt.Errorf("resolves_to: looking up %s: %w", name, err)
}

func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }
