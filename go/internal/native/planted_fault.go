//go:build asan

package native

// #include <stdlib.h>
// #include "cached_http.h"
import "C"

// openWithFreedSettings makes the library read memory that was freed, for a test to see that the address sanitizer finds
// it: a report is only as good as the library's own instrumentation. In builds with -asan only.
func openWithFreedSettings() {
	const length = 64
	var engine C.cached_http_engine
	var descriptor C.int32_t
	settings := C.calloc(length, 1)
	C.free(settings)
	C.cached_http_engine_open((*C.uint8_t)(settings), length, &engine, &descriptor, nil)
}
