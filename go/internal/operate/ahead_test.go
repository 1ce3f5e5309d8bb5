package operate

import (
	"context"
	"strings"
	"testing"
	"time"
)

// What requests read ahead is bounded by bytes, for one and for all together; each may go on all the same.
func TestAheadIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	name := strings.Repeat("x", 1000)
	fill := func() (q *queue, end func()) {
		q, end = newQueue(ctx)
		go func() {
			for q.push(name) {
			}
		}()
		return q, end
	}
	held := func(q *queue) (names, bytes int) {
		ahead.Lock()
		defer ahead.Unlock()
		return len(q.names), q.bytes
	}
	settle := func(q *queue) (names int) {
		t.Helper()
		for last := -1; ; time.Sleep(50 * time.Millisecond) {
			now, bytes := held(q)
			if bytes > maxAheadOfOne {
				t.Fatalf("%d bytes", bytes)
			}
			if now == last {
				return now
			}
			last = now
		}
	}
	first, endFirst := fill()
	settle(first)
	second, endSecond := fill()
	settle(second)
	third, endThird := fill()
	if names := settle(third); names < fewAhead || names > fewAhead+1 {
		t.Errorf("without room, %d names", names)
	}
	endFirst() // makes room for the others
	if names := settle(third); names < 10*fewAhead {
		t.Errorf("with room, %d names", names)
	}
	if got, more := third.pop(); got != name || !more {
		t.Error("no name")
	}
	endThird()
	cancel() // ends a queue, too
	for _, more := second.pop(); more; _, more = second.pop() {
	}
	endSecond()
	ahead.Lock()
	defer ahead.Unlock()
	if ahead.bytes != 0 {
		t.Errorf("%d bytes are left", ahead.bytes)
	}
}
