package config

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// replacer replaces placeholders where the documentation says so, and keeps the first error: a placeholder that is
// unknown or empty.
type replacer struct {
	*caddy.Replacer
	err error
}

func newReplacer() *replacer { return &replacer{Replacer: caddy.NewReplacer()} }

func (r *replacer) replace(option string, text *string) {
	if r.err != nil {
		return
	}
	replaced, err := r.ReplaceOrErr(*text, true, true)
	if err != nil {
		r.err = fmt.Errorf("%s: %w", option, err)
		return
	}
	*text = replaced
}

// hasPlaceholder tells whether a check has to wait until placeholders are replaced.
func hasPlaceholder(text string) bool {
	_, rest, opened := strings.Cut(text, "{")
	return opened && strings.Contains(rest, "}")
}
