package issuance

import (
	"encoding/json"
	"time"
)

// What the nodes of a fleet tell each other of failures, so that three nodes are not three times the rate. Somebody else
// carries it, and keeps strangers from making it up; he may bring an old note, whose time is over.

// note is about the failures of a name, or of a domain. Times are milliseconds since the Unix epoch.
type note struct {
	Failures   int   `json:"failures,omitempty"`
	FailedAt   int64 `json:"failed_at,omitempty"`
	CoolsUntil int64 `json:"cools_until,omitempty"`
	// ForgottenAt is until when the failures count towards the next cooldown.
	ForgottenAt int64  `json:"forgotten_at,omitempty"`
	Problem     string `json:"problem,omitempty"`
	// Forgotten: failures until then were forgotten, since somebody has mended what was wrong.
	Forgotten int64 `json:"forgotten,omitempty"`
}

// relearnAfter is how often it is looked whether another node has forgotten what this one refuses a name for.
const relearnAfter = 15 * time.Second

// SubjectOfAll is what a note is about that lets all names be forgotten.
const SubjectOfAll = "orders/all"

// subject is what a note is about.
type subject struct {
	isDomain bool
	key      string
}

func (s subject) String() string {
	if s.isDomain {
		return "orders/domain/" + s.key
	}
	return "orders/name/" + s.key
}

func subjects(name string) [2]subject {
	return [...]subject{{key: name}, {key: RegisteredDomain(name), isDomain: true}}
}

// Subjects are what notes may be about that concern a name.
func Subjects(name string) []string {
	var texts []string
	for _, subject := range subjects(name) {
		texts = append(texts, subject.String())
	}
	return texts
}

func (o *Orders) recordsOf(about subject) map[string]*failures {
	if about.isDomain {
		return o.domains
	}
	return o.names
}

// Notes are what to tell other nodes after a failure of the name, by subject.
func (o *Orders) Notes(name string) map[string]string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.notes(name)
}

func (o *Orders) notes(name string) map[string]string {
	notes := make(map[string]string)
	for _, subject := range subjects(name) {
		if record := o.recordsOf(subject)[subject.key]; record.isKnown() {
			notes[subject.String()] = text(note{
				Failures: record.number, FailedAt: record.failedAt.UnixMilli(), CoolsUntil: record.coolsUntil.UnixMilli(),
				Problem: record.problem, ForgottenAt: record.forgottenAt.UnixMilli(),
			})
		}
	}
	return notes
}

// Forgetting is a note that lets other nodes forget failures: until now, or until the one that a note tells of, which was
// written by another clock.
func (o *Orders) Forgetting(known string) string {
	var last note
	_ = json.Unmarshal([]byte(known), &last) // if it is none, there is none
	return text(note{Forgotten: max(o.now().UnixMilli(), last.FailedAt)})
}

// Learn takes over a note that is about one of the Subjects of a name, or about all.
func (o *Orders) Learn(name, about, told string) {
	var of note
	if json.Unmarshal([]byte(told), &of) != nil {
		return
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if about == SubjectOfAll {
		if told := time.UnixMilli(of.Forgotten); told.Before(o.now().Add(o.longestCooldown())) {
			o.allForgotten = latest(o.allForgotten, told)
		}
	}
	for _, subject := range subjects(name) {
		switch about {
		case SubjectOfAll:
			o.forgetEarlier(subject, o.allForgotten)
		case subject.String():
			o.learn(subject, of)
		}
	}
}

func (o *Orders) forgetEarlier(about subject, until time.Time) {
	records := o.recordsOf(about)
	if record := records[about.key]; record != nil && !record.failedAt.After(until) {
		delete(records, about.key)
	}
}

func (o *Orders) learn(subject subject, of note) {
	if of.Forgotten > 0 {
		o.forgetEarlier(subject, time.UnixMilli(of.Forgotten))
		return
	}
	now, records := o.now(), o.recordsOf(subject)
	record := records[subject.key]
	failedAt, coolsUntil, forgottenAt := time.UnixMilli(of.FailedAt), time.UnixMilli(of.CoolsUntil), time.UnixMilli(of.ForgottenAt)
	if !failedAt.After(o.allForgotten) || record != nil && !failedAt.After(record.forgotten) {
		return // told before somebody had it forgotten
	}
	// Clocks differ: nothing lasts for longer from now than it did there, nor than it would here.
	coolsUntil = earliest(coolsUntil, now.Add(coolsUntil.Sub(failedAt)))
	forgottenAt = earliest(forgottenAt, now.Add(forgottenAt.Sub(failedAt)))
	longest := o.longestCooldown()
	if subject.isDomain {
		longest = o.limits.Cooldown
	}
	if o.limits.Cooldown <= 0 || !forgottenAt.After(now) || coolsUntil.After(now.Add(longest)) || forgottenAt.After(now.Add(2*longest)) {
		return
	}
	if record = recordOf(records, subject.key); record == nil || !failedAt.After(record.failedAt) {
		return
	}
	record.number, record.problem = max(record.number, min(of.Failures, mostFailures)), oneLine(of.Problem)
	record.failedAt, record.coolsUntil = failedAt, latest(record.coolsUntil, coolsUntil)
	record.forgottenAt = latest(record.forgottenAt, forgottenAt)
}

// mostFailures is more than it takes for any cooldown.
const mostFailures = 1_000

// IsToRelearn tells whether it is time to look again for notes about a name that is refused. It says so once.
func (o *Orders) IsToRelearn(name string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now, is := o.now(), false
	for _, subject := range subjects(name) {
		if record := o.recordsOf(subject)[subject.key]; record.isCooling(now) && now.Sub(record.learntAt) >= relearnAfter {
			record.learntAt, is = now, true
		}
	}
	return is
}

func text(of note) string {
	encoded, err := json.Marshal(of)
	if err != nil {
		return ""
	}
	return string(encoded)
}
