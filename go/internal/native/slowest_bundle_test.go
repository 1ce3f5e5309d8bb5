//go:build !asan

package native

import "time"

// slowestBundle is how long one may take from the end of the response to its end, in a debug build on a busy machine.
const slowestBundle = 50 * time.Millisecond
