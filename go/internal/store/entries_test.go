package store

import (
	"crypto/tls"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

func TestEntriesAreBounded(t *testing.T) {
	const limit = 10
	entries := newEntries(limit)
	hot := new(tls.Certificate)
	entries.begin(1)
	entries.put(1, hot)
	for entry := native.EntryID(2); entry < 1000; entry++ {
		entries.begin(entry)
		entries.put(entry, new(tls.Certificate))
		if entries.certificate(1) != hot {
			t.Fatalf("an entry that is asked for all the time was dropped at %d", entry)
		}
		if held := len(entries.young) + len(entries.old); held > limit {
			t.Fatalf("%d held", held)
		}
	}
	if entries.certificate(2) != nil {
		t.Error("an entry nobody asks for is still held")
	}
	entries.begin(1)
	if entries.put(1, new(tls.Certificate)) != hot {
		t.Error("the first certificate of an entry is not the one that is kept")
	}
	entries.drop(1)
	if entries.certificate(1) != nil {
		t.Error("not dropped")
	}
}

// The pump may drop an entry while a handshake builds its certificate; what was dropped stays dropped.
func TestADroppedEntryIsNotPutBack(t *testing.T) {
	entries := newEntries(10)
	late := new(tls.Certificate)
	entries.begin(1)
	entries.begin(1)
	entries.drop(1)
	for range 2 {
		if entries.put(1, late) != late || entries.certificate(1) != nil {
			t.Error("it is back")
		}
	}
	// The next one to build it knows more: the engine has it.
	entries.begin(1)
	if entries.put(1, late); entries.certificate(1) != late {
		t.Error("it is never kept again")
	}
	if len(entries.building) > 0 {
		t.Errorf("%d builds have not ended", len(entries.building))
	}
	entries.close()
	entries.begin(2)
	if entries.put(2, late); entries.certificate(2) != nil {
		t.Error("it is kept after the end")
	}
}
