package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// noticeFile is what licences want to be handed on with a binary.
var noticeFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// notices writes the licences of all that a Caddy is made of: texts that are the same stand there once.
func notices(binary, moduleCache, cargoMetadata string, lines io.Reader, to io.Writer) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	crates, err := readCrates(lines)
	if err != nil {
		return err
	}
	folders, err := crateFolders(cargoMetadata)
	if err != nil {
		return err
	}
	components := make(map[string][]string) // by text
	add := func(component, folder string) error {
		texts, err := noticesIn(folder)
		if err != nil {
			return fmt.Errorf("the licence of %s: %w", component, err)
		}
		for _, text := range texts {
			components[text] = append(components[text], component)
		}
		return nil
	}
	for _, dependency := range modulesOf(info) {
		path, err := module.EscapePath(dependency.Path)
		if err != nil {
			return err
		}
		version, err := module.EscapeVersion(dependency.Version)
		if err != nil {
			return err
		}
		if err := add(dependency.Path+" "+dependency.Version, filepath.Join(moduleCache, filepath.FromSlash(path)+"@"+version)); err != nil {
			return err
		}
	}
	for _, crate := range crates {
		if strings.HasPrefix(crate.name, "cached-http-") {
			continue // our own
		}
		folder := folders[crate.name+" "+crate.version]
		if err := add(fmt.Sprintf("%s %s (%s)", crate.name, crate.version, crate.licence), folder); err != nil {
			return err
		}
	}
	fmt.Fprintln(to, "What this Caddy is made of, and the licences of that. Go's and Rust's own libraries are under BSD-3-Clause and MIT OR Apache-2.0.")
	byFirst := func(one, other string) int { return strings.Compare(components[one][0], components[other][0]) }
	for _, text := range slices.SortedFunc(maps.Keys(components), byFirst) {
		_, err = fmt.Fprintf(to, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(components[text], "\n"), text)
	}
	return err
}

// noticesIn reads what a component's folder has to hand on.
func noticesIn(folder string) (texts []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.IsDir() || !noticeFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.TrimSpace(string(text)))
	}
	if len(texts) == 0 {
		texts = []string{"(it comes without a file of its licence)"}
	}
	return texts, nil
}

// crateFolders reads where cargo metadata says that packages lie, by "NAME VERSION".
func crateFolders(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Packages []struct {
			Name, Version string
			ManifestPath  string `json:"manifest_path"`
		}
	}
	if err := json.Unmarshal(text, &metadata); err != nil {
		return nil, err
	}
	folders := make(map[string]string)
	for _, one := range metadata.Packages {
		folders[one.Name+" "+one.Version] = filepath.Dir(one.ManifestPath)
	}
	return folders, nil
}
