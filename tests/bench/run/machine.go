package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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
	return fmt.Sprintf("%s %s, %d cores, %s; %s, %s, Caddy %s; %s", processor(), ifma(), runtime.NumCPU(), kernel(),
		info.GoVersion, rustc, caddy, time.Now().UTC().Format("2006-01-02")), nil
}

func processor() string {
	if model := cpuinfo("model name"); model != "" {
		return model
	}
	return runtime.GOARCH
}

// withoutIFMA as the value of OPENSSL_ia32cap makes aws-lc do without AVX-512 IFMA.
const withoutIFMA = ":~0x200000"

// hasIFMA tells whether aws-lc multiplies by AVX-512 IFMA: an RSA signature takes two to three times as long without.
func hasIFMA() bool {
	return slices.Contains(strings.Fields(cpuinfo("flags")), "avx512ifma") && os.Getenv("OPENSSL_ia32cap") != withoutIFMA
}

func ifma() string {
	if hasIFMA() {
		return "with AVX-512 IFMA"
	}
	return "without AVX-512 IFMA"
}

// cpuinfo is what the kernel says of the first processor, "" if nothing.
func cpuinfo(wanted string) string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if field, value, _ := strings.Cut(line, ":"); strings.TrimSpace(field) == wanted {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + version
}
