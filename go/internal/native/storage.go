package native

// #include "cached_http.h"
import "C"

// StorageOperation is what the fleet's storage is to do.
type StorageOperation uint32

// The numbers are the header's own.
const (
	StorageLoad   StorageOperation = C.CACHED_HTTP_STORAGE_LOAD
	StorageStore  StorageOperation = C.CACHED_HTTP_STORAGE_STORE
	StorageDelete StorageOperation = C.CACHED_HTTP_STORAGE_DELETE
)

// StorageAnswer is what became of an operation.
type StorageAnswer uint32

// The numbers are the header's own.
const (
	// StorageFound: with the value that was loaded.
	StorageFound StorageAnswer = C.CACHED_HTTP_STORAGE_FOUND
	// StorageMissing: there is no such key.
	StorageMissing StorageAnswer = C.CACHED_HTTP_STORAGE_MISSING
	// StorageDone: it is written, or removed.
	StorageDone StorageAnswer = C.CACHED_HTTP_STORAGE_DONE
	// StorageFailed: with a text that says how, free of secrets.
	StorageFailed StorageAnswer = C.CACHED_HTTP_STORAGE_FAILED
)

// AnswerStorage answers an EventStorage, once, when the storage has returned, however late that is: until then the
// operation keeps its place among those that may be under way.
func (e *Engine) AnswerStorage(request uint64, answer StorageAnswer, data []byte) error {
	bytes, length := bytesView(data)
	return asError(C.cached_http_storage_answer(e.handle, C.cached_http_storage_request_id(request), C.uint32_t(answer), bytes, length))
}
