package command

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// What is wrong with the list leaves out no name before it.
func TestListThatBreaks(t *testing.T) {
	t.Parallel()
	fake := startPrefetcher(t, 0)
	command := prepare(t, "prefetch", "--address", fake.address)
	command.Stdin = strings.NewReader("a.example\n\nb.example\n" + strings.Repeat("x", 2000) + "\nc.example\n")
	said := finish(t, command).atOnce()
	if said.code != 1 || said.out != "2 names in 0 s: 2 found\n" || !strings.Contains(said.err, "line 4 is longer than 1024 bytes") {
		t.Errorf("%+v", said)
	}
	command = prepare(t, "prefetch", ".", "--address", fake.address)
	if said = finish(t, command); said.code != 1 || !strings.Contains(said.err, "is a directory") {
		t.Errorf("%+v", said)
	}
}

func TestNameReader(t *testing.T) {
	t.Parallel()
	text := "a.example\n # c\n\nb.example\r\n" + strings.Repeat("x", maxName) + "\r\nlast.example"
	want := "a.example\nb.example\n" + strings.Repeat("x", maxName) + "\nlast.example\n"
	for name, source := range map[string]io.Reader{
		"whole": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text)),
	} {
		reader := newNameReader(t.Context(), source)
		got, err := io.ReadAll(iotest.OneByteReader(reader))
		if err != nil || string(got) != want || reader.names.Load() != 4 || !reader.ended.Load() || reader.problem != nil {
			t.Errorf("%s: %q, %d names, %v %v", name, got, reader.names.Load(), err, reader.problem)
		}
	}
	broken := newNameReader(t.Context(), io.MultiReader(strings.NewReader("a.example\n"), iotest.ErrReader(errors.New("disk on fire"))))
	if got, err := io.ReadAll(broken); err != nil || string(got) != "a.example\n" || broken.problem == nil {
		t.Errorf("%q %v %v", got, err, broken.problem)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent, _ := io.Pipe()
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := newNameReader(ctx, silent).Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
