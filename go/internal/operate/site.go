package operate

import (
	"mime"
	"net/http"
)

// ForSite makes a service one for a site, which browsers can reach: it allows changes only if the operator has said so,
// and none that another site's page has its visitor's browser ask for.
func ForSite(service *Service, allowsChanges bool) *Service {
	crossOrigin := http.NewCrossOriginProtection() // Sec-Fetch-Site, or Origin against Host
	service.guard = func(request *http.Request) *problem {
		switch {
		case request.Method == http.MethodGet || request.Method == http.MethodHead:
			return nil
		case !allowsChanges:
			return errReadOnly
		case crossOrigin.Check(request) != nil:
			return errOtherSite
		case !hasRightType(request):
			return wrongType(request)
		}
		return nil
	}
	return service
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
