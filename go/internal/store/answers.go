package store

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The engine's answers, as rust/core/src/operations.rs writes them, and what becomes of them here: times, and what a
// certificate says of itself.

type namesOperation struct {
	Prefix string    `json:"prefix"`
	State  NameState `json:"state,omitempty"`
	Limit  int       `json:"limit"`
	Cursor string    `json:"cursor,omitempty"`
}

type purgeResult struct {
	Purged int `json:"purged"`
}

// milliseconds since the Unix epoch.
type milliseconds int64

func (m *milliseconds) time() *time.Time {
	if m == nil {
		return nil
	}
	t := time.UnixMilli(int64(*m)).UTC()
	if t.Year() > 9999 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // JSON has no later one
	}
	return &t
}

type namesPage struct {
	Names []struct {
		Name         string        `json:"name"`
		State        NameState     `json:"state"`
		NotAfter     *milliseconds `json:"not_after"`
		FreshUntil   *milliseconds `json:"fresh_until"`
		FailingSince *milliseconds `json:"failing_since"`
		RetryAt      *milliseconds `json:"retry_at"`
		LastError    string        `json:"last_error"`
	} `json:"names"`
	Cursor string `json:"cursor"`
}

func (p namesPage) public() NamesPage {
	page := NamesPage{Names: make([]NameSummary, 0, len(p.Names)), Cursor: p.Cursor}
	for _, name := range p.Names {
		page.Names = append(page.Names, NameSummary{
			Name:         name.Name,
			State:        name.State,
			NotAfter:     name.NotAfter.time(),
			FreshUntil:   name.FreshUntil.time(),
			FailingSince: name.FailingSince.time(),
			RetryAt:      name.RetryAt.time(),
			LastError:    capped(name.LastError),
		})
	}
	return page
}

type nameFacts struct {
	Name             string             `json:"name"`
	Entries          []certificateFacts `json:"entries"`
	NegativeUntil    *milliseconds      `json:"negative_until"`
	UnsupportedUntil *milliseconds      `json:"unsupported_until"`
	FailingSince     *milliseconds      `json:"failing_since"`
	RetryAt          *milliseconds      `json:"retry_at"`
	LastError        string             `json:"last_error"`
	DiskError        string             `json:"disk_error"`
	FleetError       string             `json:"fleet_error"`
}

func (f nameFacts) public() (NameFacts, error) {
	facts := NameFacts{
		Name:             f.Name,
		Entries:          make([]EntryFacts, 0, len(f.Entries)),
		NegativeUntil:    f.NegativeUntil.time(),
		UnsupportedUntil: f.UnsupportedUntil.time(),
		FailingSince:     f.FailingSince.time(),
		RetryAt:          f.RetryAt.time(),
		LastError:        capped(f.LastError),
		DiskError:        capped(f.DiskError),
		FleetError:       capped(f.FleetError),
	}
	for _, entry := range f.Entries {
		public, err := entry.public()
		if err != nil {
			return NameFacts{}, err
		}
		facts.Entries = append(facts.Entries, public)
	}
	return facts, nil
}

type certificateFacts struct {
	Leaf       []byte        `json:"leaf"` // DER
	FetchedAt  milliseconds  `json:"fetched_at"`
	FreshUntil *milliseconds `json:"fresh_until"`
	StaleUntil *milliseconds `json:"stale_until"`
	State      NameState     `json:"state"`
	InMemory   bool          `json:"in_memory"`
	OnDisk     bool          `json:"on_disk"`
	InFleet    bool          `json:"in_fleet"`
}

func (f certificateFacts) public() (EntryFacts, error) {
	leaf, err := x509.ParseCertificate(f.Leaf)
	if err != nil {
		return EntryFacts{}, fmt.Errorf("reading a certificate in the cache: %w", err)
	}
	digest := sha256.Sum256(f.Leaf)
	facts := EntryFacts{
		KeyType:    keyType(leaf.PublicKey),
		Serial:     strings.ToUpper(hex.EncodeToString(leaf.SerialNumber.Bytes())),
		SHA256:     hex.EncodeToString(digest[:]),
		DNSNames:   leaf.DNSNames,
		Issuer:     leaf.Issuer.String(),
		NotBefore:  leaf.NotBefore.UTC(),
		NotAfter:   leaf.NotAfter.UTC(),
		FetchedAt:  *f.FetchedAt.time(),
		FreshUntil: f.FreshUntil.time(),
		StaleUntil: f.StaleUntil.time(),
		State:      f.State,
		In:         []string{},
	}
	if facts.DNSNames == nil {
		facts.DNSNames = []string{}
	}
	if f.InMemory {
		facts.In = append(facts.In, "memory")
	}
	if f.OnDisk {
		facts.In = append(facts.In, "disk")
	}
	if f.InFleet {
		facts.In = append(facts.In, "fleet")
	}
	return facts, nil
}

func keyType(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return "unknown"
	}
}
