package ask

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// addresses are where names must point: an address of a name, or what it is an alias of, is one of these.
type addresses struct {
	resolver *resolver
	literal  []netip.Addr
	hosts    []string
}

// ErrElsewhere is the no of a name that points elsewhere, or nowhere.
var ErrElsewhere = fmt.Errorf("%w: the name does not point to any of resolves_to", ErrDenied)

// OpenDNS finds the client that asks the DNS where names point, or makes it. Close gives it back.
func OpenDNS(options *config.Permission) (*Client, error) {
	asked := strings.Join(options.ResolvesTo, " ") + " by " + strings.Join(options.Resolvers, " ")
	return openPooled(options, asked, [sha256.Size]byte{}, maxPending, maxPendingOfDomain, func() (question, error) {
		to := &addresses{resolver: &resolver{servers: withPorts(options.Resolvers)}}
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

func (a *addresses) close() {}

// lookupTimeout is for all lookups of one name. Whoever owns a name decides how long they take, so that each name has a place
// of its own, and not for long.
const lookupTimeout = 5 * time.Second

// ask answers with what is known for sure: the DNS may tell some addresses and fail to tell others.
func (a *addresses) ask(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, unsure := a.resolver.lookup(ctx, name)
	if slices.ContainsFunc(found.addresses, func(one netip.Addr) bool { return slices.Contains(a.literal, one) }) {
		return nil
	}
	if len(found.addresses) > 0 {
		for _, host := range a.hosts {
			target, err := a.resolver.lookup(ctx, host)
			if found.isAt(target) {
				return nil
			}
			if err == nil && len(target.addresses) == 0 {
				err = fmt.Errorf("%s has no address", host)
			}
			unsure = errors.Join(unsure, err)
		}
	}
	if unsure != nil {
		return fmt.Errorf("resolves_to: %w", unsure)
	}
	return ErrElsewhere
}

// isAt: the name has an address of the host, or is an alias of the same, for hosts that get other addresses each time they
// are looked up.
func (p *place) isAt(host place) bool {
	isCommon := func(one netip.Addr) bool { return slices.Contains(host.addresses, one) }
	return slices.ContainsFunc(p.addresses, isCommon) || p.owner == host.owner
}
