package cachedhttp

import (
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth" // basic_auth, in a golden file
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"   // handle_path, as well
)
