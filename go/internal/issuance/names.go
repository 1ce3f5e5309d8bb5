package issuance

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// NormalName is a name as certmagic compares it, and as it is meant here.
func NormalName(name string) string {
	name = strings.TrimSpace(name)
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii
	}
	return strings.ToLower(name)
}

// RegisteredDomain is what somebody has registered to have the name: example.co.uk of www.example.co.uk. An address is
// its own.
func RegisteredDomain(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return name
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name // of no public suffix, or one itself
	}
	return domain
}

// canBeMadeUp tells names below a domain from the domain itself and its www, of which there is one each.
func canBeMadeUp(name, domain string) bool {
	return name != domain && name != "www."+domain
}
