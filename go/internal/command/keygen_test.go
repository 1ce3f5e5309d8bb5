package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestKeygenWritesAKeyForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.key")
	made := run(t, "keygen", path)
	if made.code != 0 || !strings.Contains(made.out, "encryption_key "+path) {
		t.Fatalf("%+v", made)
	}
	text, err := os.ReadFile(path)
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{64}\n$`).Match(text) {
		t.Fatalf("%q, %v", text, err)
	}
	if strings.Contains(made.out+made.err, string(text[:16])) {
		t.Error("the key was printed")
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}

	again := run(t, "keygen", path)
	if again.code != exitUsage || !strings.Contains(again.err, "exists") {
		t.Errorf("%+v", again)
	}
	if after, _ := os.ReadFile(path); string(after) != string(text) {
		t.Error("the key was written over")
	}
}

func TestKeygenSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		code      int
		arguments []string
	}{
		{exitUsage, []string{"keygen"}},
		{exitUsage, []string{"keygen", "a", "b"}},
		{exitFailed, []string{"keygen", "/no/such/folder/fleet.key"}},
	} {
		if got := run(t, test.arguments...); got.code != test.code || got.err == "" {
			t.Errorf("%v: %+v", test.arguments, got)
		}
	}
}
