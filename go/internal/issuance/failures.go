package issuance

import (
	"strings"
	"time"
)

// Failure is why an order has failed.
type Failure struct {
	Problem string // one line
	// IsTemporary: the authority could not be reached or was too busy, or the account is in trouble. The name is not to blame,
	// is left alone for a moment only, and says nothing about its domain.
	IsTemporary bool
	// IsRateLimit: it was asked too often, by this name or by all. That may last for a week.
	IsRateLimit bool
	// IsRetried: certmagic tries again by itself, while handshakes wait.
	IsRetried bool
}

// failures in a row, of a name or of the new names of a domain.
type failures struct {
	number      int
	limited     int // of a name, by the authority's rate limits
	coolsUntil  time.Time
	forgottenAt time.Time
	// retriedUntil is how long certmagic may retry the order that failed, by itself.
	retriedUntil time.Time
	problem      string
	failedAt     time.Time
	learntAt     time.Time // when other nodes were asked for news of it
	forgotten    time.Time // when somebody had earlier failures forgotten; other nodes may tell of them yet
}

const (
	// longestCooldown is where the doubling ends, if `cooldown` itself is not longer.
	longestCooldown = 24 * time.Hour
	// shortCooldown is for what is not a name's fault, and the first of a domain.
	shortCooldown = time.Minute
	// longestLimited is where the doubling ends for a name that the authority's rate limits stand against.
	longestLimited = time.Hour
	// domainFailures in a row let a domain cool as a whole.
	domainFailures = 3
	// maxRecords bounds the names, and the domains, about 300 bytes each. Orders that fail are few, since certmagic
	// makes ten in ten seconds; so that no failure has to go before its time.
	maxRecords = 100_000
	// longestProblem bounds what an authority has to say.
	longestProblem = 300
)

func (f *failures) isCooling(now time.Time) bool { return f != nil && now.Before(f.coolsUntil) }

// isKnown: there are failures that nobody had forgotten.
func (f *failures) isKnown() bool { return f != nil && !f.failedAt.IsZero() }

// longestCooldown is where the doubling ends.
func (o *Orders) longestCooldown() time.Duration { return max(o.limits.Cooldown, longestCooldown) }

// remember lets a name cool, and its domain if new names of it fail one after the other.
func (o *Orders) remember(name string, order *order, failure Failure, now time.Time) {
	cooldown := o.limits.Cooldown
	if cooldown <= 0 {
		return
	}
	record := recordOf(o.names, name)
	if record == nil {
		return
	}
	isNew := record.number == 0
	record.problem, record.failedAt = oneLine(failure.Problem), now
	if failure.IsRetried {
		record.retriedUntil = order.permitted.Add(longestOrder)
	}
	if failure.IsRateLimit {
		record.limited++
		record.cool(doubled(min(cooldown, shortCooldown), record.limited-1, longestLimited), o.random(), now)
		return
	}
	if failure.IsTemporary {
		record.cool(min(cooldown, shortCooldown), o.random(), now)
		return
	}
	record.number++
	record.cool(doubled(cooldown, record.number-1, o.longestCooldown()), o.random(), now)
	if !isNew {
		return // it has failed before, and says nothing new of its domain
	}
	domain := recordOf(o.domains, order.domain)
	if domain == nil {
		return
	}
	domain.number++
	domain.problem, domain.failedAt = record.problem, now
	if domain.number >= domainFailures {
		domain.cool(doubled(min(cooldown, shortCooldown), domain.number-domainFailures, cooldown), o.random(), now)
	}
	domain.forgottenAt = latest(domain.forgottenAt, now.Add(cooldown))
}

// cool lets orders wait for a fifth less than the time at most, so that names that failed together don't come back
// together. The failures are forgotten after as long again.
func (f *failures) cool(duration time.Duration, random float64, now time.Time) {
	f.coolsUntil = latest(f.coolsUntil, now.Add(time.Duration(float64(duration)*(1-random/5))))
	f.forgottenAt = latest(f.forgottenAt, f.coolsUntil.Add(duration))
}

func recordOf(records map[string]*failures, key string) *failures {
	if records[key] == nil {
		if len(records) >= maxRecords {
			return nil
		}
		records[key] = new(failures)
	}
	return records[key]
}

func doubled(duration time.Duration, times int, longest time.Duration) time.Duration {
	for ; times > 0 && duration < longest; times-- {
		duration *= 2
	}
	return min(duration, longest)
}

func earliest(one, other time.Time) time.Time {
	if one.Before(other) {
		return one
	}
	return other
}

func latest(one, other time.Time) time.Time {
	if one.After(other) {
		return one
	}
	return other
}

// oneLine has no more of a text of the authority than a line holds.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > longestProblem {
		text = strings.ToValidUTF8(text[:longestProblem], "") + "..."
	}
	return text
}
