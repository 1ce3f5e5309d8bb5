package e2e

import (
	"fmt"
	"strings"
)

// site is the Caddyfile of a test, but for what only the process knows: ports and folders.
type site struct {
	getter  string   // the word after get_certificate, cached_http unless set
	url     string   // of the backend
	options []string // lines of the getter's block; no block if there are none
	next    []string // lines after the getter: who is asked next
	global  []string // further global options
	sites   string   // further sites; PORT stands for the port
	noCA    bool     // no acme_ca, only to be adapted
}

// On-demand certificates for any name, high ports, a folder of its own; an ACME order would go to an address where
// nobody answers.
const caddyfileText = `{
	debug
	admin unix/%[1]s/admin.sock
	persist_config off
	storage file_system %[1]s/storage
	acme_ca https://127.0.0.1:1/directory
	skip_install_trust
	auto_https disable_redirects
	grace_period 1s
%[2]s}

https://:%[3]d {
	bind 127.0.0.1
	tls {
		get_certificate %[4]s
%[5]s	}
	respond "hello {host}"
}
%[6]s`

func (s site) caddyfile(folder string, port int) string {
	getter := s.getter
	if getter == "" {
		getter = "cached_http"
	}
	line := strings.TrimSpace(getter + " " + s.url)
	if len(s.options) > 0 {
		line += " {\n\t\t\t" + strings.Join(s.options, "\n\t\t\t") + "\n\t\t}"
	}
	global := ""
	for _, option := range s.global {
		global += "\t" + option + "\n"
	}
	next := ""
	for _, line := range s.next {
		next += "\t\t" + line + "\n"
	}
	sites := strings.ReplaceAll(s.sites, "PORT", fmt.Sprint(port))
	text := caddyfileText
	if s.noCA {
		text = strings.Replace(text, "\tacme_ca https://127.0.0.1:1/directory\n", "", 1)
	}
	return fmt.Sprintf(text, folder, global, port, line, next, sites)
}

// lineOf is the number of the first line from get_certificate on that holds the text.
func lineOf(caddyfile, text string) int {
	options := strings.Index(caddyfile, "get_certificate")
	at := options + strings.Index(caddyfile[options:], text)
	return 1 + strings.Count(caddyfile[:at], "\n")
}
