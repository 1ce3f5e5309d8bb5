package operate

import (
	"context"
	"sync"
)

const (
	// maxAhead is how much all requests together read ahead of their answers, and maxAheadOfOne what one of them may.
	// Many clients read nothing before they have sent everything: they can send as much, and what the connection holds.
	maxAhead      = 64 << 20 // bytes
	maxAheadOfOne = maxAhead / 2
	// fewAhead is how many names each request may have, whatever others do, so that it goes on if its client reads.
	fewAhead = 1000
	// nameOverhead is about what a name takes beside its text.
	nameOverhead = 32
)

// ahead is what all queues hold.
var ahead struct {
	sync.Mutex
	bytes int
}

// room is for queues that wait for others to hold less.
var room = sync.NewCond(&ahead)

// queue holds the names of one request that were read ahead of their answers.
type queue struct {
	names   []string
	bytes   int
	isWhole bool // no more will come
	arrived sync.Cond
}

// newQueue makes one that is empty for good once the context has ended.
func newQueue(ctx context.Context) (q *queue, end func()) {
	q = &queue{}
	q.arrived.L = &ahead
	stop := context.AfterFunc(ctx, q.drop)
	return q, func() {
		stop()
		q.drop()
	}
}

// push waits for room; false says that no name is taken any more.
func (q *queue) push(name string) bool {
	ahead.Lock()
	defer ahead.Unlock()
	size := len(name) + nameOverhead
	for !q.isWhole && len(q.names) >= fewAhead && (ahead.bytes+size > maxAhead || q.bytes+size > maxAheadOfOne) {
		room.Wait()
	}
	if q.isWhole {
		return false
	}
	q.names = append(q.names, name)
	q.hold(size)
	q.arrived.Signal()
	return true
}

// pop waits for a name; false says that there are no more.
func (q *queue) pop() (name string, more bool) {
	ahead.Lock()
	defer ahead.Unlock()
	for len(q.names) == 0 && !q.isWhole {
		q.arrived.Wait()
	}
	if len(q.names) == 0 {
		return "", false
	}
	name, q.names[0] = q.names[0], ""
	q.names = q.names[1:]
	q.hold(-len(name) - nameOverhead)
	return name, true
}

// complete says that no more will come.
func (q *queue) complete() {
	ahead.Lock()
	defer ahead.Unlock()
	q.isWhole = true
	q.arrived.Broadcast()
}

func (q *queue) drop() {
	q.complete()
	ahead.Lock()
	defer ahead.Unlock()
	q.names = nil
	q.hold(-q.bytes)
}

func (q *queue) hold(more int) {
	q.bytes += more
	ahead.bytes += more
	if more <= 0 {
		room.Broadcast()
	}
}
