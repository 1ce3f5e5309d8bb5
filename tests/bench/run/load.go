package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// load is what the client is to do: ask for names in turn, until count handshakes are made or the time is over.
type load struct {
	first, names, count int
	parallel            int
	duration            time.Duration
}

// measured is what a load cost.
type measured struct {
	handshakes int64
	seconds    float64
	server     time.Duration // CPU time of the server alone
}

// each asks for every name once.
func each(first, names int) load {
	return load{first: first, names: names, count: names, parallel: 8, duration: 10 * time.Minute}
}

// inTurn asks for names again and again for a time.
func inTurn(names int, duration time.Duration) load {
	return load{names: names, parallel: 8, duration: duration}
}

// run lets a client process work, and takes what the server spent in that time. A failed handshake is an error:
// a variant that refuses work must not look fast.
func (b *bench) run(ctx context.Context, server *variant, load load) (measured, error) {
	before, err := server.cpu()
	if err != nil {
		return measured{}, err
	}
	arguments := []string{
		"-address", server.address, "-first", strconv.Itoa(load.first), "-names", strconv.Itoa(load.names),
		"-count", strconv.Itoa(load.count), "-parallel", strconv.Itoa(load.parallel), "-for", load.duration.String(),
	}
	if b.x25519 {
		arguments = append(arguments, "-x25519")
	}
	output, err := exec.CommandContext(ctx, filepath.Join(b.binaries, "client"), arguments...).Output()
	if err != nil {
		return measured{}, fmt.Errorf("the client against %s: %w", server.name, err)
	}
	time.Sleep(20 * time.Millisecond) // the server may still read the end of the last connections
	after, err := server.cpu()
	if err != nil {
		return measured{}, err
	}
	var result struct {
		Handshakes, Failures int64
		FirstError           string `json:"first_error"`
		Seconds              float64
	}
	if err := json.Unmarshal(output, &result); err != nil {
		return measured{}, err
	}
	if result.Failures > 0 || result.Handshakes == 0 {
		return measured{}, server.failure(fmt.Errorf("%s failed %d of %d handshakes; the first: %s",
			server.name, result.Failures, result.Failures+result.Handshakes, result.FirstError))
	}
	return measured{result.Handshakes, result.Seconds, after - before}, nil
}

// perHandshake is the server's CPU time for one handshake, in microseconds.
func (m measured) perHandshake() float64 {
	return float64(m.server.Nanoseconds()) / 1e3 / float64(m.handshakes)
}
