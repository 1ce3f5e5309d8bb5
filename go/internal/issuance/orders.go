// Package issuance keeps the orders that Caddy makes on demand few, and fair: how many are under way, how many of one
// registered domain, and how long a name whose order has failed is left alone. It is told what becomes of orders and
// knows neither Caddy nor a certificate authority.
package issuance

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Limits are what orders are held to.
type Limits struct {
	Cooldown           time.Duration // after the first failure of a name; 0 is none
	MaxOrders          int           // under way
	MaxOrdersPerDomain int           // under way, of one registered domain
}

const (
	// reservation is how long an order may take from its permission to its beginning: a storage is asked in between.
	reservation = 30 * time.Second
	// longestOrder is when an order ends of which nothing was heard: certmagic gives a handshake 180 s for one.
	longestOrder = 200 * time.Second
	// lastNews is what an order may take to fail when its handshake has ended.
	lastNews = 10 * time.Second
)

// Orders remembers what becomes of orders. Safe for concurrent use.
type Orders struct {
	mutex    sync.Mutex
	now      func() time.Time
	random   func() float64 // in [0, 1)
	limits   Limits
	claims   []*Claim // the newest last
	underWay map[string]*order
	unsure   map[string]unsure
	names    map[string]*failures
	domains  map[string]*failures
	swept    time.Time
	// allForgotten is when all failures were forgotten, here or on another node.
	allForgotten time.Time
	counts       Counts

	newcomers *newcomers
}

// order is one that was permitted, and is under way for as long as it is counted.
type order struct {
	domain    string
	isNew     bool // it came for the first time
	permitted time.Time
	begun     time.Time // zero before it is
	expires   time.Time // if nothing is heard of it
	isCounted bool
	blamed    *Failure // what the first authority has said of the name, if another one goes on
}

// unsure is a name whose certificate Caddy may have: an order, if it comes to one, has to ask first.
type unsure struct {
	permitted time.Time
	objection error // to an order; nil for none
}

// Counts are totals, but for UnderWay.
type Counts struct {
	UnderWay         int
	Obtained, Failed uint64
	Refused          map[Rule]uint64
	CoolingNames     int
	CoolingDomains   int
}

// New returns one that remembers nothing yet.
func New() *Orders { return newOrders(time.Now, rand.Float64) }

func newOrders(now func() time.Time, random func() float64) *Orders {
	return &Orders{
		now: now, random: random,
		underWay: make(map[string]*order), unsure: make(map[string]unsure), names: make(map[string]*failures), domains: make(map[string]*failures),
		counts: Counts{Refused: make(map[Rule]uint64)}, newcomers: newNewcomers(),
	}
}

// Check returns a *Refusal if an order for the name would be refused now, else nil. It reserves nothing and counts nothing.
func (o *Orders) Check(name string) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if refusal := o.refusal(name, RegisteredDomain(name), o.now()); refusal != nil {
		return refusal
	}
	return nil
}

// Permit returns nil and keeps a place for an order of the name, or a *Refusal. Of a name whose order is under way it
// keeps no second one. The place lasts no longer than the context of the handshake that it is for: nobody tells of an order
// that Caddy did not need, or that another event handler forbade.
func (o *Orders) Permit(ctx context.Context, name string) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now, domain := o.now(), RegisteredDomain(name)
	if refusal := o.refusal(name, domain, now); refusal != nil {
		return refusal
	}
	if order := o.underWay[name]; order == nil || !order.isCounted {
		order = o.newOrder(name, domain, now)
		o.underWay[name] = order
		context.AfterFunc(ctx, func() { o.abandon(name, order) })
	}
	return nil
}

// abandon is for an order whose handshake has ended. What has begun may fail of that, and be told of.
func (o *Orders) abandon(name string, order *order) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	switch {
	case o.underWay[name] != order:
	case order.begun.IsZero():
		delete(o.underWay, name)
	default:
		order.expires = earliest(order.expires, o.now().Add(lastNews))
	}
}

func (o *Orders) newOrder(name, domain string, now time.Time) *order {
	return &order{domain: domain, isNew: o.newcomers.isOne(name, now), permitted: now, expires: now.Add(longestOrder), isCounted: true}
}

// PermitUnsure is for a name whose certificate Caddy may have, while its storage fails or is too slow to tell. It keeps no place: if
// the name is ordered after all, Begin asks the rules. An objection, nil for none, ends that order.
func (o *Orders) PermitUnsure(name string, objection error) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	now := o.now()
	o.sweep(now)
	if _, isKnown := o.unsure[name]; !isKnown && len(o.unsure) >= maxRecords {
		return &Refusal{RuleMaxOrders, "too many names wait for the storage", time.Time{}}
	}
	o.unsure[name] = unsure{now, objection}
	return nil
}

// CountRefusal is for who was told of it and could not be served otherwise.
func (o *Orders) CountRefusal(rule Rule) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.counts.Refused[rule]++
}

// takeUnsure returns what is remembered of a name that was permitted unsure, and forgets it. What is over may not be swept yet.
func (o *Orders) takeUnsure(name string, now time.Time) (taken unsure, isUnsure bool) {
	taken = o.unsure[name]
	delete(o.unsure, name)
	if taken.isOver(now) {
		return unsure{}, false
	}
	return taken, true
}

func (u unsure) isOver(now time.Time) bool { return now.Sub(u.permitted) >= longestOrder }

// sweep ends orders of which nothing was heard. Unsure names and failures that no longer matter it forgets once a minute only:
// they may be many, and handshakes wait meanwhile.
func (o *Orders) sweep(now time.Time) {
	for name, order := range o.underWay {
		switch {
		case !now.Before(order.expires):
			delete(o.underWay, name)
		case order.begun.IsZero() && now.Sub(order.permitted) >= reservation:
			order.isCounted = false // there was a certificate after all; if not, it is recognised when it begins
		}
	}
	if now.Sub(o.swept) < time.Minute {
		return
	}
	o.swept = now
	maps.DeleteFunc(o.unsure, func(_ string, unsure unsure) bool { return unsure.isOver(now) })
	for _, records := range []map[string]*failures{o.names, o.domains} {
		for key, record := range records {
			if now.After(record.forgottenAt) {
				delete(records, key)
			}
		}
	}
}
