package issuance

import (
	"fmt"
	"time"
)

// Rule is what an order was refused by, as metrics call it.
type Rule string

// The rules.
const (
	RuleCooldown           Rule = "cooldown"
	RuleDomainCooldown     Rule = "domain_cooldown"
	RuleMaxOrders          Rule = "max_orders"
	RuleMaxOrdersPerDomain Rule = "max_orders_per_domain"
	RuleResolvesTo         Rule = "resolves_to"
)

// Rules are all of them.
var Rules = []Rule{RuleCooldown, RuleDomainCooldown, RuleMaxOrders, RuleMaxOrdersPerDomain, RuleResolvesTo}

// Refusal says why no order may be made for a name now.
type Refusal struct { //nolint:errname // it is an answer, and no mistake of anybody
	Rule   Rule
	Reason string
	Until  time.Time // zero if nobody knows
}

func (r *Refusal) Error() string {
	if r.Until.IsZero() {
		return r.Reason
	}
	return fmt.Sprintf("%s; not before %s", r.Reason, r.Until.UTC().Format(time.RFC3339))
}

// refusal finds the rule that stands against an order.
func (o *Orders) refusal(name, domain string, now time.Time) *Refusal {
	o.sweep(now)
	if order := o.underWay[name]; order != nil && order.isCounted {
		return nil // certmagic lets this one wait for it
	}
	if record := o.names[name]; record.isCooling(now) {
		return &Refusal{RuleCooldown, "its last order has failed (" + record.problem + ")", record.coolsUntil}
	}
	if record := o.domains[domain]; record.isCooling(now) && canBeMadeUp(name, domain) {
		return &Refusal{RuleDomainCooldown, "the last orders of new names of " + domain + " have failed", record.coolsUntil}
	}
	all, ofDomain, ofNewcomers := 0, 0, 0
	for _, other := range o.underWay {
		if !other.isCounted {
			continue
		}
		all++
		if other.domain == domain {
			ofDomain++
		}
		if other.isNew {
			ofNewcomers++
		}
	}
	if ofDomain >= o.limits.MaxOrdersPerDomain {
		return &Refusal{RuleMaxOrdersPerDomain, "as many orders of " + domain + " are under way as max_orders_per_domain allows", time.Time{}}
	}
	if all >= o.limits.MaxOrders {
		o.newcomers.note(name, now)
		return &Refusal{RuleMaxOrders, "as many orders are under way as max_orders allows", time.Time{}}
	}
	if ofNewcomers >= max(1, o.limits.MaxOrders/newcomersShare) && o.newcomers.isOne(name, now) {
		o.newcomers.note(name, now)
		return &Refusal{RuleMaxOrders, "as many orders of names that came for the first time are under way as max_orders allows; " +
			"who comes again goes before", time.Time{}}
	}
	return nil
}
