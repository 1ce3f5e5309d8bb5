package command

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for length, want := range map[time.Duration]string{
		0:                             "0 s",
		400 * time.Millisecond:        "0 s",
		12 * time.Second:              "12 s",
		61 * time.Second:              "1 min 1 s",
		4*time.Hour + 5*time.Minute:   "4 h 5 min",
		24 * time.Hour:                "1 d 0 h",
		76*time.Hour + 59*time.Minute: "3 d 4 h",
		1<<63 - 1:                     "106751 d 23 h",
	} {
		if got := span(length); got != want {
			t.Errorf("%s: %s, want %s", length, got, want)
		}
	}
	if got := distance(-90 * time.Second); got != "1 min 30 s ago" {
		t.Error(got)
	}
	if got := distance(76 * time.Hour); got != "in 3 d 4 h" {
		t.Error(got)
	}
}
