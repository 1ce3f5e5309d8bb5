package e2e

import "time"

// What an operator is told, field by field: an unknown one fails the test that reads it.

type cacheFacts struct {
	ID                  string `json:"id"`
	Backend             string `json:"backend"`
	CacheDir            string `json:"cache_dir"`
	Entries             int    `json:"entries"`
	EntryBytes          int    `json:"entry_bytes"`
	Negatives           int    `json:"negatives"`
	FailingNames        int    `json:"failing_names"`
	BreakerOpen         bool   `json:"breaker_open"`
	DiskEntries         int    `json:"disk_entries"`
	DiskBytes           int    `json:"disk_bytes"`
	FirstCertificateEnd string `json:"first_certificate_end"`
	FirstBridgeEnd      string `json:"first_bridge_end"`
	Limits              struct {
		MaxMemory            uint64 `json:"max_memory"`
		MaxNegativeMemory    uint64 `json:"max_negative_memory"`
		MaxDisk              uint64 `json:"max_disk"`
		MaxConcurrentFetches int    `json:"max_concurrent_fetches"`
	} `json:"limits"`
}

type namesPage struct {
	Names []struct {
		Name         string     `json:"name"`
		State        string     `json:"state"`
		NotAfter     *time.Time `json:"not_after"`
		FreshUntil   *time.Time `json:"fresh_until"`
		FailingSince *time.Time `json:"failing_since"`
		RetryAt      *time.Time `json:"retry_at"`
		LastError    string     `json:"last_error"`
	} `json:"names"`
	Cursor string `json:"cursor"`
}

type nameFacts struct {
	Name    string `json:"name"`
	Entries []struct {
		KeyType    string     `json:"key_type"`
		Serial     string     `json:"serial"`
		SHA256     string     `json:"sha256"`
		DNSNames   []string   `json:"dns_names"`
		Issuer     string     `json:"issuer"`
		NotBefore  time.Time  `json:"not_before"`
		NotAfter   time.Time  `json:"not_after"`
		FetchedAt  time.Time  `json:"fetched_at"`
		FreshUntil *time.Time `json:"fresh_until"`
		StaleUntil *time.Time `json:"stale_until"`
		State      string     `json:"state"`
		In         []string   `json:"in"`
	} `json:"entries"`
	NegativeUntil    *time.Time `json:"negative_until"`
	UnsupportedUntil *time.Time `json:"unsupported_until"`
	FailingSince     *time.Time `json:"failing_since"`
	RetryAt          *time.Time `json:"retry_at"`
	LastError        string     `json:"last_error"`
	DiskError        string     `json:"disk_error"`
	Cache            string     `json:"cache"`
	Backend          string     `json:"backend"`
}
