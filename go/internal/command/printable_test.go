package command

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"shop.example, Zürich \"x\" \\":       "shop.example, Zürich \"x\" \\",
		"\x1b[31mred\x1b]0;title\a":           `\x1b[31mred\x1b]0;title\a`,
		"two\nlines\r\ttab\x7f":               `two\nlines\r\ttab\x7f`,
		"\u009b31m, \u202eback\u2066, \xff":   `\u009b31m, \u202eback\u2066, \xff`,
		"a\u2028b\u00a0c\U000e0041\ufffd end": "a\\u2028b\\u00a0c\\U000e0041\ufffd end",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Nothing that a server sends as JSON moves the cursor, and it says the same as before.
func TestPrintableJSON(t *testing.T) {
	t.Parallel()
	document := "{\r\n\t\"name\" : \"a\\u001b[31m\u009b31m\x7f\u202e\U000e0041\xff\" }\n"
	clean, err := printableJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if strings.IndexFunc(string(clean), func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		t.Errorf("%q", clean)
	}
	var before, after struct{ Name string }
	if json.Unmarshal([]byte(document), &before) != nil || json.Unmarshal(clean, &after) != nil || before != after {
		t.Errorf("%q became %q", before.Name, after.Name)
	}
	for _, text := range []string{"", "\x1b[31m", "{} \x1b", "{\"a\":\"\x1b\"}", "{}{}"} {
		if clean, err := printableJSON([]byte(text)); err == nil {
			t.Errorf("%q is JSON: %q", text, clean)
		}
	}
}
