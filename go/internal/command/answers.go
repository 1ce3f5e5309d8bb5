package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// What the API answers, as far as it is shown: see internal/store/facts.go.

type cacheIdentity struct {
	ID       string `json:"id"`
	Backend  string `json:"backend"`
	CacheDir string `json:"cache_dir"`
}

func (c cacheIdentity) String() string {
	text := fmt.Sprintf("%-8s  %s", c.ID, c.Backend)
	if c.CacheDir != "" {
		text += ", " + c.CacheDir
	}
	return text
}

// listed is what follows "these do:".
func listed(caches []cacheIdentity) string {
	var lines strings.Builder
	for _, cache := range caches {
		lines.WriteString("\n  " + printable(cache.String()))
	}
	return lines.String()
}

type cacheFacts struct {
	cacheIdentity
	document json.RawMessage // as it came

	Entries             int64      `json:"entries"`
	EntryBytes          uint64     `json:"entry_bytes"`
	Negatives           int64      `json:"negatives"`
	FailingNames        int64      `json:"failing_names"`
	BreakerOpen         bool       `json:"breaker_open"`
	DiskEntries         int64      `json:"disk_entries"`
	DiskBytes           uint64     `json:"disk_bytes"`
	FirstCertificateEnd *time.Time `json:"first_certificate_end"`
	FirstBridgeEnd      *time.Time `json:"first_bridge_end"`
	Fleet               *struct {
		BreakerOpen  bool       `json:"breaker_open"`
		Writes       int64      `json:"writes"`
		PurgesReadAt *time.Time `json:"purges_read_at"`
	} `json:"fleet"`
	Limits struct {
		MaxMemory            uint64 `json:"max_memory"`
		MaxDisk              uint64 `json:"max_disk"`
		MaxConcurrentFetches int64  `json:"max_concurrent_fetches"`
	} `json:"limits"`
}

type nameSummary struct {
	Name         string     `json:"name"`
	State        string     `json:"state"`
	NotAfter     *time.Time `json:"not_after"`
	FreshUntil   *time.Time `json:"fresh_until"`
	FailingSince *time.Time `json:"failing_since"`
	RetryAt      *time.Time `json:"retry_at"`
	LastError    string     `json:"last_error"`
}

type nameFacts struct {
	Name             string       `json:"name"`
	Cache            string       `json:"cache"`
	Backend          string       `json:"backend"`
	Entries          []entryFacts `json:"entries"`
	NegativeUntil    *time.Time   `json:"negative_until"`
	UnsupportedUntil *time.Time   `json:"unsupported_until"`
	FailingSince     *time.Time   `json:"failing_since"`
	RetryAt          *time.Time   `json:"retry_at"`
	LastError        string       `json:"last_error"`
	DiskError        string       `json:"disk_error"`
	FleetError       string       `json:"fleet_error"`
	Orders           *struct {
		IsUnderWay          bool       `json:"under_way"`
		Failures            int64      `json:"failures"`
		FailedAt            *time.Time `json:"failed_at"`
		LastProblem         string     `json:"last_problem"`
		CooldownUntil       *time.Time `json:"cooldown_until"`
		DomainCooldownUntil *time.Time `json:"domain_cooldown_until"`
	} `json:"orders"`
}

type entryFacts struct {
	KeyType    string     `json:"key_type"`
	Serial     string     `json:"serial"`
	SHA256     string     `json:"sha256"`
	DNSNames   []string   `json:"dns_names"`
	Issuer     string     `json:"issuer"`
	NotBefore  *time.Time `json:"not_before"`
	NotAfter   *time.Time `json:"not_after"`
	FetchedAt  *time.Time `json:"fetched_at"`
	FreshUntil *time.Time `json:"fresh_until"`
	StaleUntil *time.Time `json:"stale_until"`
	State      string     `json:"state"`
	In         []string   `json:"in"`
}

// result is what came of a refresh or a prefetch of one name.
type result struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	Error   string `json:"error"` // of the whole request, on a line of its own
}
