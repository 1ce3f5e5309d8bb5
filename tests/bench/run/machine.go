package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is the line without which no figure may be quoted.
func machine(binaries string) (string, error) {
	info, err := buildinfo.ReadFile(filepath.Join(binaries, "caddy"))
	if err != nil {
		return "", err
	}
	caddy := "?"
	for _, dependency := range info.Deps {
		if dependency.Path == "github.com/caddyserver/caddy/v2" {
			caddy = dependency.Version
		}
	}
	rustc := "no rustc"
	if output, err := exec.Command("rustc", "--version").Output(); err == nil {
		rustc = strings.Join(strings.Fields(string(output))[:2], " ")
	}
	return fmt.Sprintf("%s, %d cores, %s; %s, %s, Caddy %s; %s", processor(), runtime.NumCPU(), kernel(),
		info.GoVersion, rustc, caddy, time.Now().UTC().Format("2006-01-02")), nil
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if field, value, _ := strings.Cut(line, ":"); strings.TrimSpace(field) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + version
}
