package issuance

import (
	"hash/maphash"
	"time"
)

// newcomers are names that were refused for the first time. A scanner makes up another name each time, while people come
// again: whoever does goes before.
type newcomers struct {
	seed        maphash.Seed
	generations [2]map[uint64]time.Time // when each was refused first; the second is the older
	begun       time.Time
}

const (
	// newcomersShare: names that come for the first time hold no more than this part of max_orders.
	newcomersShare = 4
	// comesAgain is how much later a name has to come to be one that comes again: browsers try twice at once.
	comesAgain = time.Second
	// maxNewcomers in each generation, 40 bytes each.
	maxNewcomers = 20_000
	// newcomersTime is how long a generation lasts, unless it is full before.
	newcomersTime = 10 * time.Minute
)

func newNewcomers() *newcomers {
	return &newcomers{seed: maphash.MakeSeed(), generations: [2]map[uint64]time.Time{{}, {}}}
}

// note remembers a name that is refused.
func (n *newcomers) note(name string, now time.Time) {
	hash := maphash.String(n.seed, name)
	for _, generation := range n.generations {
		if _, isKnown := generation[hash]; isKnown {
			return
		}
	}
	if len(n.generations[0]) >= maxNewcomers || now.Sub(n.begun) >= newcomersTime {
		n.generations = [2]map[uint64]time.Time{{}, n.generations[0]}
		n.begun = now
	}
	n.generations[0][hash] = now
}

// isOne tells whether a name has not been refused before.
func (n *newcomers) isOne(name string, now time.Time) bool {
	hash := maphash.String(n.seed, name)
	for _, generation := range n.generations {
		if first, isKnown := generation[hash]; isKnown {
			return now.Sub(first) < comesAgain
		}
	}
	return true
}
