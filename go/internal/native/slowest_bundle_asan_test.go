//go:build asan

package native

import "time"

// slowestBundle is ten times as long where each access to memory is watched.
const slowestBundle = 500 * time.Millisecond
