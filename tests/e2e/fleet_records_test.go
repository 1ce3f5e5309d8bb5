package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// Records that a hostile tenant, a bad disk or an old backup has put on the storage: each is a miss, and the backend is asked.

func TestFleetDamagedRecords(t *testing.T) {
	t.Parallel()
	names := fleetNames(12)
	damages := []struct {
		title string
		do    func(records map[string][]byte)
	}{
		{"empty", each(func([]byte) []byte { return nil })},
		{"the header alone", each(func(record []byte) []byte { return record[:58] })},
		{"truncated", each(func(record []byte) []byte { return record[:len(record)/2] })},
		{"without its last byte", each(func(record []byte) []byte { return record[:len(record)-1] })},
		{"a byte longer", each(func(record []byte) []byte { return append(record, 0) })},
		{"huge", each(func(record []byte) []byte { return append(record, make([]byte, 8<<20)...) })},
		{"a bit of the header flipped", each(flipped(20))},
		{"a bit of the key's id flipped", each(flipped(44))},
		{"a bit of the nonce flipped", each(flipped(60))},
		{"a bit of the box flipped", each(flipped(400))},
		{"swapped", func(records map[string][]byte) {
			paths := slices.Sorted(maps.Keys(records))
			first := records[paths[0]]
			for i := range len(paths) - 1 {
				records[paths[i]] = records[paths[i+1]]
			}
			records[paths[len(paths)-1]] = first
		}},
		{"in clear", each(func([]byte) []byte {
			return []byte("purges: \ncaddy-cached-http entry, format 1\n")
		})},
	}
	f := startFleet(t, 1, "s-maxage=3600")
	old := f.nodes[0].serials(names)
	f.settled(len(names))
	whole := f.records()
	f.replaced()
	served := 0
	for _, damage := range damages {
		records := maps.Clone(whole)
		damage.do(records)
		f.put(records)
		f.start(1)
		fresh := f.nodes[len(f.nodes)-1]
		requests := len(f.backend.Requests())
		for i, serial := range fresh.serials(names) {
			if serial == old[i] {
				served++
				t.Errorf("%s: %s is served from its record", damage.title, names[i])
			}
		}
		if asked := len(f.backend.Requests()) - requests; asked != len(names) {
			t.Errorf("%s: %d requests", damage.title, asked)
		}
		eventually(t, 10*time.Second, damage.title+": all are counted", func() bool {
			const refused = "fleet_records_refused_total{"
			return fresh.metric(refused, `reason="damaged"`)+fresh.metric(refused, `reason="unknown_key"`) == float64(len(names))
		})
		// What it was sent takes the place of the damaged.
		eventually(t, 20*time.Second, damage.title+": the records are written anew", func() bool {
			for path, record := range f.records() {
				if slices.Equal(record, records[path]) {
					return false
				}
			}
			return true
		})
		fresh.stop()
	}
	t.Logf("%d kinds of damage to each of %d records: %d served (target 0)", len(damages), len(names), served)
}

// A record is put back after its name was purged: by what lies on the storage, and by a storage that answers with old values.
func TestFleetReplayedRecords(t *testing.T) {
	t.Parallel()
	names := fleetNames(8)
	f := startFleet(t, 2, "s-maxage=3600")
	old := f.known(names)
	before := f.records()
	f.replaced()
	f.nodes[0].adminDoor().purge(fmt.Sprintf(`{"names": [%q, %q, %q, %q]}`, names[0], names[1], names[2], names[3]), 4)
	f.gone(names[:4], old[:4])
	f.settled(len(names))
	f.put(before)
	f.start(1)
	time.Sleep(readInterval / 2) // it reads the purges when it starts
	served := 0
	for _, n := range f.nodes {
		for i, serial := range n.serials(names[:4]) {
			if serial == old[i] {
				served++
				t.Errorf("%s is served after its purge", names[i])
			}
		}
	}
	f.backend.AnswerOthers(testbackend.Status(http.StatusBadGateway)) // which is asked, too, beside a storage that takes 100 ms
	if got := f.nodes[2].serials(names[4:]); !slices.Equal(got, old[4:]) {
		t.Error("what nobody has purged was not taken from the storage")
	}
	f.replaced()
	// A purge of all, and then a storage that tells of the time before, but for the journal.
	old = f.nodes[0].serials(names)
	f.nodes[0].adminDoor().purgeAll()
	f.replaced()
	f.gone(names, old)
	f.start(1)
	f.faults(replayedRecords(f)...)
	for i, serial := range f.nodes[3].serials(names) {
		if serial == old[i] {
			served++
			t.Errorf("%s is served after the purge of all", names[i])
		}
	}
	t.Logf("records replayed after purges of %d names, and of all: %d served (target 0)", len(names)/2, served)
}

// replayedRecords have the storage answer with the first value of each key but the journal's.
func replayedRecords(f *fleet) (faults []fault) {
	for path := range f.records() {
		key, _ := filepath.Rel(f.folder, path)
		faults = append(faults, fault{Operations: []string{"load"}, Key: key, Kind: "replay"})
	}
	return faults
}

// Records of a key that this node has not are none, and do it no harm.
func TestFleetForeignRecords(t *testing.T) {
	t.Parallel()
	names := fleetNames(10)
	f := startFleet(t, 1, "s-maxage=3600")
	old := f.nodes[0].serials(names)
	f.settled(len(names))
	f.replaced()
	stranger := f.prepare()
	stranger.keys = []string{newKey(t)}
	stranger.run()
	served := 0
	for i, serial := range stranger.serials(names) {
		if serial == old[i] {
			served++
		}
	}
	t.Logf("%d records of a foreign key: %d served (target 0), %d handshakes served from the backend", len(names), served, len(names))
	eventually(t, 10*time.Second, "all are counted", func() bool {
		return stranger.metric("fleet_records_refused_total{", `reason="unknown_key"`) == float64(len(names))
	})
	if served > 0 {
		t.Error("a record was opened without its key")
	}
	if again := f.nodes[0].serials(names); !slices.Equal(again, old) {
		t.Error("the stranger has changed what the first node holds")
	}
}

// each changes all records.
func each(change func([]byte) []byte) func(map[string][]byte) {
	return func(records map[string][]byte) {
		for path, record := range records {
			records[path] = change(slices.Clone(record))
		}
	}
}

func flipped(place int) func([]byte) []byte {
	return func(record []byte) []byte {
		record[place] ^= 4
		return record
	}
}

// records are what lies on the storage, by path.
func (f *fleet) records() map[string][]byte {
	f.t.Helper()
	records := map[string][]byte{}
	for _, path := range f.sealed() {
		if record, err := os.ReadFile(path); err == nil {
			records[path] = record
		}
	}
	return records
}

func (f *fleet) put(records map[string][]byte) {
	f.t.Helper()
	for path, record := range records {
		if err := os.WriteFile(path, record, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}
