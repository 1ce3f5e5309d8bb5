package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Distributed is what several Caddys share, the nodes of a fleet: what one of them was sent by the backend, the others take
// from a storage of Caddy's that they have in common. A new node starts warm, an outage of the backend is bridged by all, and a
// certificate is usually fetched once for all of them. Certificates and keys lie on the storage sealed. What the storage
// does fails no handshake that the backend could serve.
type Distributed struct {
	// Paths of files with an encryption key each: one line of 64 hexadecimal digits, as `caddy cached-http keygen FILE` writes it,
	// readable by Caddy's user alone. All nodes have the same. The first seals, all open: so that a key can be
	// changed without losing what is stored. Required.
	EncryptionKeys []string `json:"encryption_keys,omitempty"`

	// The storage. Default: the one that Caddy itself uses.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=caddy.storage inline_key=module"`

	// How often this node looks for names that other nodes have purged. Default: `5s`.
	ReadInterval caddy.Duration `json:"read_interval,omitempty"`

	// How long an operation of the storage may take. A handshake never waits for it longer than 100 ms before the backend is
	// asked, too. Default: `2s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many operations of the storage may be under way at once, those included that do not return. Default: 16.
	MaxConcurrent int `json:"max_concurrent,omitempty"`

	storage string // tells storages apart, once StorageRaw is loaded
}

// Defaults of the options that have one.
const (
	DefaultReadInterval   = 5 * time.Second
	DefaultStorageTimeout = 2 * time.Second
	DefaultMaxConcurrent  = 16
)

var errNoEncryptionKey = errors.New("distributed: encryption_key is missing: private keys never lie in clear on a storage; " +
	"caddy cached-http keygen FILE makes a key, which all nodes need")

var errKeyForPath = errors.New("distributed: encryption_key takes the path of a file that has the key, and not the key itself")

// encryptionKeyLength is in bytes; a file has it in hexadecimal digits.
const encryptionKeyLength = 32

// CheckDistributed checks the options that are set.
func CheckDistributed(d *Distributed) error {
	if len(d.EncryptionKeys) == 0 || slices.Contains(d.EncryptionKeys, "") {
		return errNoEncryptionKey
	}
	if slices.ContainsFunc(d.EncryptionKeys, isKey) {
		return errKeyForPath
	}
	for _, option := range []struct {
		name        string
		value       caddy.Duration
		least, most time.Duration
	}{
		{"read_interval", d.ReadInterval, time.Second, time.Hour},
		{"timeout", d.Timeout, 100 * time.Millisecond, 30 * time.Second},
	} {
		value := time.Duration(option.value)
		if value != 0 && (value < option.least || value > option.most) {
			return fmt.Errorf("distributed: %s: %v is out of range; %v to %v is allowed", option.name, value, option.least, option.most)
		}
	}
	if d.MaxConcurrent != 0 {
		if err := CheckNumber("max_concurrent", d.MaxConcurrent); err != nil {
			return fmt.Errorf("distributed: %w", err)
		}
	}
	return nil
}

// isKey tells a key, which no message may show, from the path of one.
func isKey(value string) bool {
	key, err := hex.DecodeString(strings.TrimSpace(value))
	return err == nil && len(key) == encryptionKeyLength
}

// identifyStorage notes which storage is meant. Caddy empties StorageRaw when it loads the module.
func (d *Distributed) identifyStorage() {
	if d.StorageRaw != nil {
		digest := sha256.Sum256(d.StorageRaw)
		d.storage = hex.EncodeToString(digest[:])
	}
}

func (d *Distributed) replacePlaceholders(replacer *replacer) {
	for index := range d.EncryptionKeys {
		replacer.replace("distributed: encryption_key", &d.EncryptionKeys[index])
	}
}

func (d *Distributed) applyDefaults() {
	applyDefault(&d.ReadInterval, caddy.Duration(DefaultReadInterval))
	applyDefault(&d.Timeout, caddy.Duration(DefaultStorageTimeout))
	applyDefault(&d.MaxConcurrent, DefaultMaxConcurrent)
}

// Fleet is the part of an engine's document that is about a fleet.
type Fleet struct {
	Storage       string   `json:"storage"` // empty is Caddy's own
	KeyFiles      []string `json:"key_files"`
	ReadInterval  int64    `json:"read_interval_ms"`
	Timeout       int64    `json:"timeout_ms"`
	MaxConcurrent int      `json:"max_concurrent"`
}

func (d *Distributed) fleet() (*Fleet, error) {
	if d == nil {
		return nil, nil
	}
	fleet := &Fleet{
		Storage:       d.storage,
		ReadInterval:  time.Duration(d.ReadInterval).Milliseconds(),
		Timeout:       time.Duration(d.Timeout).Milliseconds(),
		MaxConcurrent: d.MaxConcurrent,
	}
	for _, file := range d.EncryptionKeys {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("distributed: encryption_key: %w", err)
		}
		fleet.KeyFiles = append(fleet.KeyFiles, path)
	}
	return fleet, nil
}

// HasKeysOf tells whether both have the same keys, in any order: while a key is changed, nodes have them in different ones.
func (f *Fleet) HasKeysOf(other *Fleet) bool {
	ours, theirs := slices.Sorted(slices.Values(f.KeyFiles)), slices.Sorted(slices.Values(other.KeyFiles))
	return slices.Equal(ours, theirs)
}

// Equal tells whether both say the same.
func (f *Fleet) Equal(other *Fleet) bool {
	if f == nil || other == nil {
		return f == other
	}
	return f.Storage == other.Storage && f.ReadInterval == other.ReadInterval && f.Timeout == other.Timeout && f.MaxConcurrent == other.MaxConcurrent &&
		slices.Equal(f.KeyFiles, other.KeyFiles)
}
