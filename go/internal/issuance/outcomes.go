package issuance

import "time"

// What Caddy's events tell of orders.

// Begin is told that an order for the name begins. It returns false if the order must not: the one that was permitted has
// failed, and this is certmagic's own retry of it. What was never permitted is none of ours, and may begin.
func (o *Orders) Begin(name string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now := o.now()
	o.sweep(now)
	unsure, isUnsure := o.takeUnsure(name, now)
	order := o.underWay[name]
	switch {
	case order != nil && !order.begun.IsZero():
		o.fail(name, Failure{Problem: "what was issued could not be kept", IsTemporary: true}, now)
		return false
	case order != nil && order.isCounted:
		order.begun = now
		return true
	case order == nil && !isUnsure:
		record := o.names[name]
		return record == nil || now.After(record.retriedUntil)
	}
	// It has no place, or none any more.
	delete(o.underWay, name)
	domain := RegisteredDomain(name)
	if unsure.objection != nil {
		return false
	}
	if refusal := o.refusal(name, domain, now); refusal != nil {
		o.counts.Refused[refusal.Rule]++
		return false
	}
	order = o.newOrder(name, domain, now)
	order.begun = now
	o.underWay[name] = order
	return true
}

// Blame is told that one authority has refused the name its certificate; another may be asked yet. It returns false if no
// order of ours is under way.
func (o *Orders) Blame(name string, failure Failure) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	order := o.underWay[name]
	if order != nil && order.blamed == nil && !failure.IsTemporary {
		order.blamed = &failure
	}
	return order != nil
}

// Obtained is told that the name has its certificate now, and returns what to tell other nodes, as Notes does. One by Caddy's
// own authority says nothing of a name, and takes nothing back: if another authority has refused it before, the order
// has failed.
func (o *Orders) Obtained(name string, byOwnAuthority bool) map[string]string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now, order := o.now(), o.underWay[name]
	about := subjects(name)
	ended := about[:1]
	if order != nil {
		if byOwnAuthority && order.blamed != nil {
			o.fail(name, Failure{}, now)
			return o.notes(name)
		}
		delete(o.underWay, name)
		o.counts.Obtained++
		ended = about[:] // the domain's, too
	}
	notes := make(map[string]string)
	for _, subject := range ended {
		records := o.recordsOf(subject)
		if record := records[subject.key]; record.isKnown() {
			notes[subject.String()] = text(note{Forgotten: latest(now, record.failedAt).UnixMilli()})
			forget(records, subject.key, now)
		}
	}
	return notes
}

// Failed is told that an order has failed. One that was never permitted is none of ours.
func (o *Orders) Failed(name string, failure Failure) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.underWay[name] != nil {
		o.fail(name, failure, o.now())
	}
}

// fail ends an order that is under way. What any authority has said of the name counts, whichever was the last.
func (o *Orders) fail(name string, failure Failure, now time.Time) {
	order := o.underWay[name]
	if order.blamed != nil {
		failure.Problem, failure.IsTemporary, failure.IsRateLimit = order.blamed.Problem, false, false
	}
	delete(o.underWay, name)
	o.counts.Failed++
	o.remember(name, order, failure, now)
}
