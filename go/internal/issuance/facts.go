package issuance

import "time"

// Facts is what is remembered of a name's orders. Times are in UTC.
type Facts struct {
	IsUnderWay          bool       `json:"under_way"`
	Failures            int        `json:"failures"` // in a row
	FailedAt            *time.Time `json:"failed_at,omitempty"`
	LastProblem         string     `json:"last_problem,omitempty"`
	CooldownUntil       *time.Time `json:"cooldown_until,omitempty"`
	DomainCooldownUntil *time.Time `json:"domain_cooldown_until,omitempty"` // of the registered domain
}

// Facts returns nil if nothing is remembered.
func (o *Orders) Facts(name string) *Facts {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now := o.now()
	o.sweep(now)
	order, record, domain := o.underWay[name], o.names[name], o.domains[RegisteredDomain(name)]
	if order == nil && !record.isKnown() && !domain.isCooling(now) {
		return nil
	}
	facts := &Facts{IsUnderWay: order != nil && order.isCounted}
	if record.isKnown() {
		facts.Failures, facts.LastProblem = record.number, record.problem
		failedAt := record.failedAt.UTC()
		facts.FailedAt = &failedAt
		facts.CooldownUntil = until(record, now)
	}
	facts.DomainCooldownUntil = until(domain, now)
	return facts
}

func until(record *failures, now time.Time) *time.Time {
	if !record.isCooling(now) {
		return nil
	}
	end := record.coolsUntil.UTC()
	return &end
}

// Forget lets the names, and their domains, be ordered at once: somebody has mended what was wrong. It returns of how many
// names failures were remembered.
func (o *Orders) Forget(names []string) (known int) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for _, name := range names {
		if o.names[name].isKnown() {
			known++
		}
		forget(o.names, name, o.now())
		forget(o.domains, RegisteredDomain(name), o.now())
	}
	return known
}

// forget leaves when that was, for as long as other nodes may not know of it.
func forget(records map[string]*failures, key string, now time.Time) {
	delete(records, key)
	if record := recordOf(records, key); record != nil {
		record.forgotten, record.forgottenAt = now, now.Add(time.Minute)
	}
}

// ForgetAll is Forget of every name.
func (o *Orders) ForgetAll() (known int) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for _, record := range o.names {
		if record.isKnown() {
			known++
		}
	}
	o.allForgotten = o.now()
	clear(o.names)
	clear(o.domains)
	return known
}

// Counts returns the totals.
func (o *Orders) Counts() Counts {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now := o.now()
	o.sweep(now)
	counts := o.counts
	counts.Refused = make(map[Rule]uint64, len(Rules))
	for _, rule := range Rules {
		counts.Refused[rule] = o.counts.Refused[rule]
	}
	for _, order := range o.underWay {
		if order.isCounted {
			counts.UnderWay++
		}
	}
	counts.CoolingNames, counts.CoolingDomains = cooling(o.names, now), cooling(o.domains, now)
	return counts
}

func cooling(records map[string]*failures, now time.Time) (number int) {
	for _, record := range records {
		if record.isCooling(now) {
			number++
		}
	}
	return number
}
