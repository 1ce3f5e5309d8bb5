package command

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestProgressBar(t *testing.T) {
	t.Parallel()
	fake := startPrefetcher(t, 2*time.Millisecond)
	names := writeFile(t, t.TempDir(), "names.txt", list(200)+"bad.example\n"+list(200))
	seen := onTerminal(t, "code ", "", "prefetch", names, "--address", fake.address)
	for _, text := range []string{"of 401 names [", "/s, 1 failed, ", " s left", "\x1b[1A\x1b[Jfailed          bad.example: the backend answered 503\r\n", ": 400 found, 1 failed\r\ncode 4"} {
		if !strings.Contains(seen, text) {
			t.Errorf("no %q in %q", text, seen)
		}
	}
	for line := range strings.SplitSeq(seen, "\r\n") {
		if line = strings.TrimPrefix(line, "\x1b[1A\x1b[J"); len(line) > 80 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}

	seen = onTerminalOf(t, "dumb", "code ", "", "prefetch", names, "--address", fake.address)
	if strings.Contains(seen, "\x1b") || !strings.Contains(seen, ": 400 found, 1 failed\r\ncode 4") {
		t.Errorf("on a dumb terminal: %q", seen)
	}

	fake = startPrefetcher(t, 2*time.Millisecond)
	names = writeFile(t, t.TempDir(), "names.txt", list(4000))
	seen = onTerminal(t, " s left", "\x03", "prefetch", names, "--address", fake.address)
	if !strings.Contains(seen, "Interrupted: ") || !strings.HasSuffix(seen, " found\r\ncode 130\r\n") {
		t.Errorf("%q", seen)
	}
}

// Names that are held come in no time, and say nothing about those that follow.
func TestPaceForgets(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	pace := pace{begun: begun, at: begun}
	count := int64(0)
	for second := 1; second <= 60; second++ {
		if second <= 5 {
			count += 100_000
		} else {
			count += 500
		}
		pace.observe(begun.Add(time.Duration(second)*time.Second), count)
		if second == 5 && math.Abs(pace.perSecond-100_000) > 1 {
			t.Errorf("%.0f/s after 5 s", pace.perSecond)
		}
	}
	if pace.perSecond < 500 || pace.perSecond > 1000 {
		t.Errorf("%.0f/s after 55 s of 500/s", pace.perSecond)
	}
	pace.perSecond = 500
	if text := pace.text(100, 1100, 2); text != "500/s, 2 failed, 2 s left" {
		t.Error(text)
	}
}
