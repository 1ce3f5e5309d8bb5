package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a server sends is shown on a terminal, which obeys control characters. Both functions leave none: neither those
// of ASCII and Latin-1 nor those that turn the direction of text.

// printable escapes what can't be seen, as Go's literals do.
func printable(text string) string {
	if strings.IndexFunc(text, isHidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var clean strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 || isHidden(r) {
			quoted := strconv.Quote(text[:size])
			clean.WriteString(quoted[1 : len(quoted)-1])
		} else {
			clean.WriteString(text[:size])
		}
		text = text[size:]
	}
	return clean.String()
}

func isHidden(r rune) bool { return !unicode.IsPrint(r) }

var errNoJSON = errors.New("the answer is not JSON")

// printableJSON is the same document on one line, with what can't be seen written as JSON's escapes.
func printableJSON(document []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, document); err != nil {
		return nil, errNoJSON
	}
	clean := make([]byte, 0, compact.Len())
	for text := compact.Bytes(); len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			clean = append(clean, `\ufffd`...)
		case !isHidden(r):
			clean = append(clean, text[:size]...)
		case r > 0xffff:
			clean = fmt.Appendf(clean, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			clean = fmt.Appendf(clean, `\u%04x`, r)
		}
		text = text[size:]
	}
	return clean, nil
}
