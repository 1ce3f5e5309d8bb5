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
	const full = maxAheadOfOne / (1000 + nameOverhead)
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
	// settle waits until a queue holds so many names, and for a while for more.
	settle := func(q *queue, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if names, _ := held(q); names >= want {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%d names, not %d", names, want)
			}
		}
		time.Sleep(50 * time.Millisecond)
		if names, bytes := held(q); names > want+1 || bytes > maxAheadOfOne {
			t.Fatalf("%d names, not %d; %d bytes", names, want, bytes)
		}
	}
	first, endFirst := fill()
	settle(first, full)
	second, endSecond := fill()
	settle(second, full)
	third, endThird := fill()
	settle(third, fewAhead)
	endFirst() // makes room for the others
	settle(third, full)
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
