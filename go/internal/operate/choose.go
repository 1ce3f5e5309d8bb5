package operate

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// identity tells caches apart.
type identity struct {
	ID       string `json:"id"`
	Backend  string `json:"backend"`
	CacheDir string `json:"cache_dir,omitempty"`
}

func identityOf(cache Cache) identity {
	return identity{cache.ID(), cache.Backend(), cache.CacheDir()}
}

func identitiesOf(caches []Cache) []identity {
	identities := make([]identity, len(caches))
	for i, cache := range caches {
		identities[i] = identityOf(cache)
	}
	return identities
}

// running are the caches, always in the same order.
func (s *Service) running() []Cache {
	return slices.SortedFunc(slices.Values(s.caches()), func(one, other Cache) int {
		return cmp.Or(cmp.Compare(one.Backend(), other.Backend()), cmp.Compare(one.CacheDir(), other.CacheDir()))
	})
}

// choose finds the cache that is meant by an ID or a backend's URL, or the only one by an empty text.
func (s *Service) choose(wanted string) (Cache, error) {
	caches, err := s.chooseAll(wanted)
	if err != nil {
		return nil, err
	}
	if len(caches) > 1 {
		return nil, tooMany("there are %d caches; choose one with cache=ID", caches)
	}
	return caches[0], nil
}

// chooseAll is choose, but takes an empty text for all caches. There is at least one.
func (s *Service) chooseAll(wanted string) ([]Cache, error) {
	caches := s.running()
	if len(caches) == 0 {
		return nil, errNoCache
	}
	if wanted == "" {
		return caches, nil
	}
	// As the configuration has it, a URL may have a query, of which a backend's name has a digest.
	name, err := config.BackendName(wanted)
	meant := slices.DeleteFunc(slices.Clone(caches), func(cache Cache) bool {
		return cache.ID() != wanted && cache.Backend() != wanted && (err != nil || cache.Backend() != name)
	})
	switch len(meant) {
	case 0:
		// What was asked for is not repeated: it may be a URL with a password.
		unknown := newProblem(http.StatusNotFound, "no cache has this ID or backend; choose one with cache=ID")
		unknown.Caches = identitiesOf(caches)
		return nil, unknown
	case 1:
		return meant, nil
	default:
		return nil, tooMany("%d caches have this backend; choose one with cache=ID", meant)
	}
}

func tooMany(format string, caches []Cache) *problem {
	p := newProblem(http.StatusBadRequest, format, len(caches))
	p.Caches = identitiesOf(caches)
	return p
}
