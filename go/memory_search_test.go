//go:build linux

package cachedhttp

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// searchChunk is how much memory is searched at once.
const searchChunk = 1 << 20

// searchMemory counts the copies of each secret in every mapping that can be read, by the mapping's kind.
func searchMemory(t *testing.T, secrets []secret) []map[string]int {
	t.Helper()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	overlap := 0
	for _, secret := range secrets {
		overlap = max(overlap, len(secret.Masked)-1)
	}
	// Shared, so that it is a mapping of its own, which is left out: it will hold what is found.
	buffer, err := syscall.Mmap(-1, 0, searchChunk+overlap, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(buffer)
	copies := make([]map[string]int, len(secrets))
	for index := range copies {
		copies[index] = make(map[string]int)
	}
	for _, mapping := range privateMappings(t) {
		for start := mapping.start; start < mapping.end; start += searchChunk {
			wanted := min(mapping.end-start, searchChunk+int64(overlap))
			read, err := memory.ReadAt(buffer[:wanted], start)
			if err != nil && read == 0 {
				continue // gone meanwhile, or the kernel's own
			}
			mask(buffer[:read])
			for index, secret := range secrets {
				copies[index][mapping.kind] += countWithin(buffer[:read], secret.Masked)
			}
		}
	}
	for index := range copies {
		for kind, number := range copies[index] {
			if number == 0 {
				delete(copies[index], kind)
			}
		}
	}
	return copies
}

// countWithin counts what starts in the first chunk of the data; the next read sees the rest.
func countWithin(data, wanted []byte) (count int) {
	for from := 0; ; count++ {
		found := bytes.Index(data[from:], wanted)
		if found < 0 || from+found >= searchChunk {
			return count
		}
		from += found + 1
	}
}

type mapping struct {
	start, end int64
	kind       string
}

func privateMappings(t *testing.T) []mapping {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var mappings []mapping
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		var one mapping
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &one.start, &one.end); err != nil {
			continue // [vsyscall], beyond what fits
		}
		if permissions := fields[1]; permissions[0] != 'r' || permissions[3] != 'p' {
			continue
		}
		switch {
		case len(fields) > 5:
			one.kind = fields[5]
		case one.start>>32 == 0xc0:
			one.kind = "Go heap"
		default:
			one.kind = "anonymous"
		}
		mappings = append(mappings, one)
	}
	return mappings
}
