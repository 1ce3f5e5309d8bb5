package operate

import (
	"mime"
	"net/http"
)

// ForSite is the service for a site, which browsers can reach: it allows changes only if the operator has said so, and
// none that another site's page has its visitor's browser ask for.
func ForSite(service http.Handler, allowsChanges bool) http.Handler {
	crossOrigin := http.NewCrossOriginProtection() // Sec-Fetch-Site, or Origin against Host
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			switch {
			case !allowsChanges:
				writeProblem(response, errReadOnly)
				return
			case crossOrigin.Check(request) != nil:
				writeProblem(response, errOtherSite)
				return
			case !hasRightType(request):
				writeProblem(response, wrongType(request))
				return
			}
		}
		service.ServeHTTP(response, request)
	})
}

var (
	errReadOnly  = newProblem(http.StatusForbidden, "read-only: add 'write' to cached_http_api")
	errOtherSite = newProblem(http.StatusForbidden, "a page of another site can't change anything here: "+
		"the request's Sec-Fetch-Site or Origin is not this site's")
)

// hasRightType: a type that no form can have, or that at least no form has by itself.
func hasRightType(request *http.Request) bool {
	given, _, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	return err == nil && given == typeOf(request)
}

func typeOf(request *http.Request) string {
	if request.URL.Path == "/prefetch" {
		return "text/plain"
	}
	return "application/json"
}

func wrongType(request *http.Request) *problem {
	return newProblem(http.StatusUnsupportedMediaType, "the Content-Type must be %s", typeOf(request))
}
