package config

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// ByteSize is a number of bytes: in JSON a number, or a text as Caddyfiles have it, such as `256MiB`.
type ByteSize uint64

// ParseByteSize reads what Caddy accepts as a size: 1MiB is 1,048,576 bytes, 1MB is 1,000,000.
func ParseByteSize(text string) (ByteSize, error) {
	size, err := humanize.ParseBytes(text)
	if err != nil || size > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size; write a number of bytes or a size such as 256MiB", text)
	}
	return ByteSize(size), nil
}

// UnmarshalJSON accepts a number and a text.
func (s *ByteSize) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	parsed, err := ParseByteSize(text)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
