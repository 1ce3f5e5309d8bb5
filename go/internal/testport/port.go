// Package testport finds ports for servers that tests and the demo start as processes, which can't be given a listener.
package testport

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// As many ports below those that systems give to outgoing connections and to listeners at port 0: what is free stays
// free while a server starts or restarts.
const first, count = 20_000, 12_000

var picked atomic.Int64

// Free returns a port of 127.0.0.1 that nobody uses, by TCP nor UDP: another one each time. Safe for concurrent use;
// processes side by side begin at different places.
func Free() (int, error) {
	for range count {
		port := first + (os.Getpid()*37+int(picked.Add(1)))%count
		if isFree(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) {
			return port, nil
		}
	}
	return 0, errors.New("no port is free")
}

func isFree(address string) bool {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return false
	}
	defer listener.Close()
	packets, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return false
	}
	_ = packets.Close()
	return true
}
