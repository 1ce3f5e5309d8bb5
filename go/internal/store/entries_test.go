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
	entries.put(1, hot)
	for entry := native.EntryID(2); entry < 1000; entry++ {
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
	if entries.put(1, new(tls.Certificate)) != hot {
		t.Error("the first certificate of an entry is not the one that is kept")
	}
	entries.drop(1)
	if entries.certificate(1) != nil {
		t.Error("not dropped")
	}
}
