package cachedhttp

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// partialStorage has parts of a certificate, by the ending of their keys.
type partialStorage struct {
	certmagic.Storage
	parts  map[string]any // text, or why it can't be loaded
	loaded int
}

func (s *partialStorage) Exists(ctx context.Context, key string) bool {
	_, err := s.Load(ctx, key)
	return err == nil
}

func (s *partialStorage) Load(_ context.Context, key string) ([]byte, error) {
	s.loaded++
	switch part := s.parts[key[strings.LastIndex(key, "."):]].(type) {
	case string:
		return []byte(part), nil
	case error:
		return nil, part
	default:
		return nil, fs.ErrNotExist
	}
}

func TestWhatAStorageTellsOfACertificate(t *testing.T) {
	pem := func(ends time.Duration) string {
		leaf := testca.Leaf{Names: []string{"a.example.com"}, NotAfter: time.Now().Add(ends)}
		return string(testca.NewAuthority().Issue(leaf).CertificatesPEM())
	}
	good, ended, down := pem(time.Hour), pem(-time.Minute), errors.New("connection refused")
	for title, test := range map[string]struct {
		crt, key, json any
		want           storedState
		mostLoaded     int
	}{
		"all of it":            {good, "key", "{}", isStored, 3},
		"nothing":              {nil, nil, nil, notStored, 1},
		"no certificate":       {nil, "key", "{}", notStored, 3},
		"no key":               {good, nil, "{}", notStored, 3},
		"no metadata":          {good, "key", nil, notStored, 3},
		"it has ended":         {ended, "key", "{}", hasEnded, 3},
		"nobody can read it":   {"?", "key", "{}", isStored, 3},
		"it fails":             {down, down, down, maybeStored, 1},
		"the certificate does": {down, "key", "{}", maybeStored, 3},
		"the key does":         {good, down, "{}", maybeStored, 3},
		"the metadata do":      {good, "key", down, maybeStored, 3},
	} {
		storage := &partialStorage{parts: map[string]any{".crt": test.crt, ".key": test.key, ".json": test.json}}
		if state := stateOf(t.Context(), storage, "ca", "a.example.com"); state != test.want || storage.loaded > test.mostLoaded {
			t.Errorf("%s: %d, after %d operations", title, state, storage.loaded)
		}
	}
}
