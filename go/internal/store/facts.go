package store

import "time"

// What an operator can be told of a cache. Times are in UTC; a nil time is one that there is not. Nothing here is PEM
// text or key material.

// NameState is what is known of a name.
type NameState string

// The states by which names can be listed.
const (
	StateFresh    NameState = "fresh"    // a certificate in memory, within its lifetime
	StateStale    NameState = "stale"    // one past its lifetime, served until a newer one comes
	StateExpired  NameState = "expired"  // one in memory that is served no more
	StateNegative NameState = "negative" // the backend has none
	StateFailing  NameState = "failing"  // the last request for it failed
	StateDisk     NameState = "disk"     // a file in cache_dir, whatever is in memory
	StateEnding   NameState = "ending"   // in memory, the certificates that end first, the first of them first
)

// NamesQuery chooses a page of names.
type NamesQuery struct {
	Prefix string    // of the name; ignored for StateEnding
	State  NameState // empty for all with a certificate in memory
	Limit  int       // at most as many
	Cursor string    // of the page before; empty for the first
}

// NamesPage is one page. It may be short, or empty, and yet have a cursor.
type NamesPage struct {
	Names  []NameSummary `json:"names"`
	Cursor string        `json:"cursor,omitempty"` // of the next page; empty after the last
}

// NameSummary is one row of a page.
type NameSummary struct {
	Name         string     `json:"name"`
	State        NameState  `json:"state"`
	NotAfter     *time.Time `json:"not_after,omitempty"`     // of the certificate
	FreshUntil   *time.Time `json:"fresh_until,omitempty"`   // of the certificate in memory, or of "no certificate"
	FailingSince *time.Time `json:"failing_since,omitempty"` // the first failure in a row
	RetryAt      *time.Time `json:"retry_at,omitempty"`      // not asked for again before
	LastError    string     `json:"last_error,omitempty"`
}

// NameFacts is all that is known of a name in one cache.
type NameFacts struct {
	Name          string       `json:"name"` // in its normal form
	Entries       []EntryFacts `json:"entries"`
	NegativeUntil *time.Time   `json:"negative_until,omitempty"` // until then "no certificate" is remembered
	// UnsupportedUntil: until then clients that can't use the backend's only certificate are turned away unasked.
	UnsupportedUntil *time.Time `json:"unsupported_until,omitempty"`
	FailingSince     *time.Time `json:"failing_since,omitempty"`
	RetryAt          *time.Time `json:"retry_at,omitempty"`
	LastError        string     `json:"last_error,omitempty"`
	DiskError        string     `json:"disk_error,omitempty"`  // why it is not known what lies on disk
	FleetError       string     `json:"fleet_error,omitempty"` // why it is not known what lies on the fleet's storage
}

// EntryFacts is one certificate of a name.
type EntryFacts struct {
	KeyType    string     `json:"key_type"` // RSA 2048, ECDSA P-256, Ed25519, ...
	Serial     string     `json:"serial"`   // hexadecimal, as openssl prints it
	SHA256     string     `json:"sha256"`   // of the leaf, hexadecimal
	DNSNames   []string   `json:"dns_names"`
	Issuer     string     `json:"issuer"`
	NotBefore  time.Time  `json:"not_before"`
	NotAfter   time.Time  `json:"not_after"`
	FetchedAt  time.Time  `json:"fetched_at"`
	FreshUntil *time.Time `json:"fresh_until,omitempty"`
	StaleUntil *time.Time `json:"stale_until,omitempty"` // served until then if no newer one can be had
	State      NameState  `json:"state"`                 // fresh, stale or expired
	In         []string   `json:"in"`                    // memory, disk, fleet
}

// RefreshResult is what came of a refresh or a prefetch of one name.
type RefreshResult struct {
	Name    string         `json:"name"`
	Outcome RefreshOutcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
}

// RefreshOutcome is the end of a refresh or a prefetch.
type RefreshOutcome string

// What can come of it.
const (
	OutcomeFound         RefreshOutcome = "found"
	OutcomeNotModified   RefreshOutcome = "not_modified"   // the backend says that what is held is right
	OutcomeNoCertificate RefreshOutcome = "no_certificate" // the backend has none
	OutcomeFailed        RefreshOutcome = "failed"         // Reason says why; what is held is served as before
	OutcomeFresh         RefreshOutcome = "fresh"          // of a prefetch: held already, nobody was asked
)

// Limits are a cache's limits as they apply.
type Limits struct {
	MaxMemory            uint64 `json:"max_memory"`
	MaxNegativeMemory    uint64 `json:"max_negative_memory"`
	MaxDisk              uint64 `json:"max_disk"`
	MaxConcurrentFetches int    `json:"max_concurrent_fetches"`
}
