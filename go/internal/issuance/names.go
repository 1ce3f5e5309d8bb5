package issuance

import (
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

// registeredDomain is what somebody has registered to have the name: example.co.uk of www.example.co.uk.
func registeredDomain(name string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name // of no public suffix, or one itself
	}
	return domain
}
