// Package page is the page for people that the handler cached_http_api serves at "/". It asks the JSON service beside it
// and nothing else. All its URLs are relative, so that it works below a path prefix, too.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"time"
)

//go:embed index.html *.css *.js
var files embed.FS

var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
}

// policy lets the page load its own files and ask its own origin. The icon is a data URL: without one, browsers ask for
// /favicon.ico, outside of the prefix. Text from the service can't become markup: there is no Trusted Types policy.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// file is one answer, ready to send.
type file struct {
	content []byte
	tag     string // of its content
}

// assets are the scripts and the style, by path.
var assets = func() map[string]file {
	paths := map[string]file{}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, entry := range entries {
		if entry.Name() != "index.html" {
			paths["/"+entry.Name()] = newFile(read(entry.Name()))
		}
	}
	return paths
}()

// Serves tells whether a URL's path is the page's: "/", a script or the style.
func Serves(urlPath string) bool {
	_, known := assets[urlPath]
	return known || urlPath == "/"
}

// Handler serves the page at "/" and its scripts and style beside it; everything else is 404. With write, the page offers
// to purge and to refresh names; whether these are allowed is the service's to say.
func Handler(write bool) http.Handler {
	front := index(write)
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		wanted, known := assets[request.URL.Path]
		if request.URL.Path == "/" {
			wanted, known = front, true
		}
		switch {
		case !known:
			http.NotFound(response, request)
		case request.Method != http.MethodGet && request.Method != http.MethodHead:
			response.Header().Set("Allow", "GET, HEAD")
			http.Error(response, "only GET is served here", http.StatusMethodNotAllowed)
		default:
			serve(response, request, wanted)
		}
	})
}

func serve(response http.ResponseWriter, request *http.Request, wanted file) {
	extension := path.Ext(request.URL.Path)
	if extension == "" {
		extension = ".html"
	}
	header := response.Header()
	header.Set("Content-Type", types[extension])
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Not no-referrer: some browsers then send "Origin: null" with what is written, which the service rejects.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache") // asked each time, so that all files are of one version
	header.Set("ETag", wanted.tag)
	http.ServeContent(response, request, "", time.Time{}, bytes.NewReader(wanted.content))
}

func index(write bool) file {
	var text bytes.Buffer
	page := template.Must(template.New("index.html").Parse(string(read("index.html"))))
	if err := page.Execute(&text, struct{ Write bool }{write}); err != nil {
		panic(err) // it is embedded
	}
	return newFile(text.Bytes())
}

func read(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return content
}

func newFile(content []byte) file {
	sum := sha256.Sum256(content)
	return file{content, `"` + hex.EncodeToString(sum[:8]) + `"`}
}
