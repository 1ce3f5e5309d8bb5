package main

import (
	"bufio"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// modulesOf are the Go modules that a binary was linked from, with what stands in another's place.
func modulesOf(info *buildinfo.BuildInfo) (modules []*debug.Module) {
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		modules = append(modules, dependency)
	}
	return modules
}

// crate is a Rust crate that is in the library; its licence is an SPDX expression.
type crate struct{ name, version, licence string }

// readCrates reads a line "NAME VERSION LICENCE" for each.
func readCrates(lines io.Reader) (crates []crate, err error) {
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		parts := strings.SplitN(scanner.Text(), " ", 3)
		if len(parts) != 3 || strings.ContainsAny(parts[2], "*/") {
			return nil, fmt.Errorf("%q is no line of a crate, with a licence that is an SPDX expression", scanner.Text())
		}
		one := crate{parts[0], parts[1], parts[2]}
		isKnown := func(other crate) bool { return other.name == one.name && other.version == one.version }
		if slices.ContainsFunc(crates, isKnown) {
			return nil, fmt.Errorf("%s %s stands there twice", one.name, one.version)
		}
		crates = append(crates, one)
	}
	if len(crates) == 0 && scanner.Err() == nil {
		return nil, errors.New("no crate stands in standard input")
	}
	return crates, scanner.Err()
}
