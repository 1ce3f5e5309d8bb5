package native

// #include "cached_http.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// textView lends a string's bytes for one call. An empty one is NULL: what StringData returns for it is
// unspecified.
func textView(text string) (*C.uint8_t, C.size_t) {
	if text == "" {
		return nil, 0
	}
	return (*C.uint8_t)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// bytesView is textView for a slice.
func bytesView(bytes []byte) (*C.uint8_t, C.size_t) {
	if len(bytes) == 0 {
		return nil, 0
	}
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(bytes))), C.size_t(len(bytes))
}

// takeText copies a buffer to Go and frees it: there is no other way to read one.
func takeText(buffer C.cached_http_buffer) string {
	defer C.cached_http_buffer_free(buffer)
	return string(bufferView(buffer))
}

func takeBytes(buffer C.cached_http_buffer) []byte {
	defer C.cached_http_buffer_free(buffer)
	return append([]byte(nil), bufferView(buffer)...)
}

func takeTokens(tokens C.cached_http_tokens) []uint64 {
	defer C.cached_http_tokens_free(tokens)
	if tokens.data == nil {
		return nil
	}
	return append([]uint64(nil), unsafe.Slice((*uint64)(unsafe.Pointer(tokens.data)), int(tokens.length))...)
}

func bufferView(buffer C.cached_http_buffer) []byte {
	if buffer.data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(buffer.data)), int(buffer.length))
}

var errChainCutShort = errors.New("the certificate chain is cut short (a bug, please report it)")

// splitChain takes apart a chain of certificates, each preceded by its length in 4 little-endian bytes. The
// certificates share the memory of framed.
func splitChain(framed []byte) ([][]byte, error) {
	var chain [][]byte
	for len(framed) > 0 {
		if len(framed) < 4 {
			return nil, errChainCutShort
		}
		length := uint64(binary.LittleEndian.Uint32(framed))
		framed = framed[4:]
		if length == 0 || length > uint64(len(framed)) {
			return nil, errChainCutShort
		}
		chain = append(chain, framed[:length:length])
		framed = framed[length:]
	}
	if len(chain) == 0 {
		return nil, errChainCutShort
	}
	return chain, nil
}
