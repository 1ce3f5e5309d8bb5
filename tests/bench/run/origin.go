package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// origin is a running backend.
type origin struct {
	*process
	address string
}

func (b *bench) startOrigin(ctx context.Context, kind bundles.Kind, names int) (*origin, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	child, err := startProcess(ctx, b.folder, filepath.Join(b.binaries, "origin"), writer,
		"-kind", string(kind), "-names", strconv.Itoa(names))
	writer.Close()
	if err != nil {
		return nil, err
	}
	address, err := firstLine(reader, child.ended)
	if err == nil && address == "" {
		err = fmt.Errorf("the origin printed no address")
	}
	if err != nil {
		child.stop()
		return nil, child.failure(err)
	}
	return &origin{child, address}, nil
}

// url is where certificates are asked for, at once or after the origin's latency.
func (o *origin) url(slow bool) string {
	if slow {
		return "http://" + o.address + "/slow/certificates"
	}
	return "http://" + o.address + "/certificates"
}

// requests is how many certificates it was asked for so far.
func (o *origin) requests() (int64, error) {
	response, err := http.Get("http://" + o.address + "/requests")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
