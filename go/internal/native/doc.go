// Package native is the Go side of the C ABI in cached_http.h, and the only package that imports "C". It knows
// nothing of Caddy.
//
// An [Engine] is a store of certificates and keys; a [LookupConfig] is one set of settings over it; a [Key] signs.
// All three are held as numbers that are never reused, so a call on a closed one is the error [StatusClosed],
// never a crash. Every method is safe for concurrent use and returns at once, except [Engine.NextEvents], which
// has one caller and waits, as Go waits for a socket.
//
// Nothing that Go owns is kept by the other side after a call, and everything that comes back is copied to Go
// memory and freed before the method returns.
package native
