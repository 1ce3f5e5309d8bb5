package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// shortestCooldown keeps an order that fails at once from being made as often as a client comes.
const shortestCooldown = time.Second

// CheckCooldown checks one that is not off.
func CheckCooldown(duration time.Duration) error {
	if duration < shortestCooldown || duration > 30*24*time.Hour {
		return fmt.Errorf("%v is out of range; 1s to 30d are allowed, and off", duration)
	}
	return nil
}

// CheckTargets checks resolves_to: addresses that clients can reach, and names of hosts.
func CheckTargets(targets []string) error {
	for _, target := range targets {
		if hasPlaceholder(target) {
			continue
		}
		if address, err := netip.ParseAddr(target); err == nil {
			if address.IsUnspecified() {
				return fmt.Errorf("resolves_to: %s is the address of no server; write the one that customers point their names to", target)
			}
			continue
		}
		if !isHost(target) {
			return fmt.Errorf("resolves_to: %q is neither an address, such as 203.0.113.7 or 2001:db8::7, nor the name of a host", target)
		}
	}
	return nil
}

// isHost leaves out what was meant as an address: no top-level domain is a number.
func isHost(target string) bool {
	lastDot := strings.LastIndexByte(target, '.')
	return lastDot >= 0 && strings.Trim(target[lastDot+1:], "0123456789") != "" &&
		!strings.ContainsAny(target, "*/:@[] ") && certmagic.SubjectQualifiesForCert(target)
}

// CheckResolvers checks resolvers: addresses, with or without a port.
func CheckResolvers(servers []string) error {
	for _, server := range servers {
		if hasPlaceholder(server) {
			continue
		}
		host := server
		if withPort, port, err := net.SplitHostPort(server); err == nil {
			if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
				return fmt.Errorf("resolvers: %q has no port that there is", server)
			}
			host = withPort
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("resolvers: %q is no address, such as 192.0.2.53 or [2001:db8::53]:5353", server)
		}
	}
	return nil
}
