package issuance

import "slices"

// Claim is what one configuration wants the limits to be. Those of the newest one apply that has begun to serve and has not
// ended: a reload that fails has begun, and one whose servers are being stopped may still be asked.
type Claim struct {
	limits Limits
	serves bool
}

// Claim is called in the order of configurations, and changes nothing yet.
func (o *Orders) Claim(limits Limits) *Claim {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	claim := &Claim{limits: limits}
	o.claims = append(o.claims, claim)
	return claim
}

// Serve says that the configuration has begun to serve. What was remembered under other limits stays.
func (o *Orders) Serve(claim *Claim) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	claim.serves = true
	o.applyClaims()
}

// Withdraw says that it has ended, whether or not it has served.
func (o *Orders) Withdraw(claim *Claim) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.claims = slices.DeleteFunc(o.claims, func(other *Claim) bool { return other == claim })
	o.applyClaims()
}

func (o *Orders) applyClaims() {
	for _, claim := range o.claims {
		if claim.serves {
			o.limits = claim.limits
		}
	}
}
