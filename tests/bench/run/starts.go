package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// starts times cached_http from its start to its first handshake, with a full cache_dir and with an empty one in
// turn. With the full one the handshake has to be served from its file.
func (bench *bench) starts(ctx context.Context) error {
	origin, err := bench.startOrigin(ctx, bundles.ECDSAP256, 1)
	if err != nil {
		return err
	}
	defer origin.stop()
	for _, files := range []int{bench.plan.files / 100, bench.plan.files / 10, bench.plan.files} {
		if err := bench.startsWith(ctx, origin, files, files == bench.plan.files); err != nil {
			return err
		}
	}
	return nil
}

func (bench *bench) startsWith(ctx context.Context, origin *origin, files int, judged bool) error {
	full, err := bench.writeEntries(origin.url(false), files)
	if err != nil {
		return err
	}
	defer os.RemoveAll(full)
	var fullTimes, emptyTimes sample
	for range bench.plan.starts {
		before, err := origin.requests()
		if err != nil {
			return err
		}
		took, err := bench.startWith(ctx, origin, full)
		if err != nil {
			return err
		}
		fullTimes = append(fullTimes, took)
		after, err := origin.requests()
		if err != nil {
			return err
		}
		if after != before {
			return errors.New("the first name was not served from its file: is run/entry_files.go out of date?")
		}
		empty, err := os.MkdirTemp(bench.folder, "cache-")
		if err != nil {
			return err
		}
		if took, err = bench.startWith(ctx, origin, empty); err != nil {
			return err
		}
		emptyTimes = append(emptyTimes, took)
	}
	bench.points = append(bench.points, point{"start to first handshake, ms", cachedHTTP, files, fullTimes.median()})
	if judged {
		bench.add(ratioRow(fmt.Sprintf("start to first handshake, %s files, against an empty cache_dir", thousands(float64(files))),
			fullTimes.over(emptyTimes), atMost(1.2),
			fmt.Sprintf("%.0f ms against %.0f ms", fullTimes.median(), emptyTimes.median())))
	}
	return nil
}

// startWith is the time to the first handshake, in milliseconds.
func (bench *bench) startWith(ctx context.Context, origin *origin, directory string) (float64, error) {
	server, took, err := bench.start(ctx, setting{
		name: cachedHTTP, url: origin.url(false), options: []string{"cache_dir " + directory},
	})
	if err != nil {
		return 0, err
	}
	server.stop()
	return float64(took) / float64(time.Millisecond), nil
}
