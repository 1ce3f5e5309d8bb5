package native

// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_amd64 -lcached_http -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
