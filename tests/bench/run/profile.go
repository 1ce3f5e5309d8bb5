package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// profile takes five seconds of a variant's CPU profile and writes it as text, the functions with the
// largest shares first. What Rust does shows as runtime.cgocall.
func (b *bench) profile(ctx context.Context, server *variant, title string) error {
	time.Sleep(time.Second) // so that the load has begun
	response, err := http.Get("http://" + server.admin + "/debug/pprof/profile?seconds=5")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the profile of %s: %s", server.name, response.Status)
	}
	raw := filepath.Join(b.folder, "profile")
	file, err := os.Create(raw)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	file.Close()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("profile-%s-%s.txt", title, strings.ReplaceAll(server.name, " ", "-"))
	text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=60",
		filepath.Join(b.binaries, "caddy"), raw).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	return os.WriteFile(filepath.Join(b.output, name), text, 0o600)
}

// collectGarbage makes a variant's Go runtime collect, twice, so that finalizers have run too.
func (v *variant) collectGarbage() error {
	for range 2 {
		response, err := http.Get("http://" + v.admin + "/debug/pprof/heap?gc=1")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
