package cachedhttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	_ "github.com/cached-http/caddy-cached-http/go"
)

// A site for every name that the backend knows. Its certificates are asked for once and then come from the cache, over
// restarts too.
func Example() {
	caddyfile := `https:// {
	tls {
		get_certificate cached_http http://127.0.0.1:8080/certificates {
			cache_dir /var/lib/caddy/certificates
		}
	}
}
`
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var config struct {
		Apps struct {
			TLS json.RawMessage `json:"tls"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		fmt.Println(err)
		return
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, config.Apps.TLS, "", "  ")
	fmt.Println(indented.String())
	// Output:
	// {
	//   "automation": {
	//     "policies": [
	//       {
	//         "get_certificate": [
	//           {
	//             "cache_dir": "/var/lib/caddy/certificates",
	//             "url": "http://127.0.0.1:8080/certificates",
	//             "via": "cached_http"
	//           }
	//         ]
	//       }
	//     ]
	//   }
	// }
}
