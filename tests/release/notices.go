package main

import (
	"bufio"
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
func notices(binary, moduleCache, cargoMetadata string, crates io.Reader, to io.Writer) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	texts := make(map[string][]string) // components by text
	add := func(component, folder string) error {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		found := false
		for _, entry := range entries {
			if entry.IsDir() || !noticeFile.MatchString(entry.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			if err != nil {
				return err
			}
			found = true
			texts[strings.TrimSpace(string(text))] = append(texts[strings.TrimSpace(string(text))], component)
		}
		if !found {
			texts["(it comes without a file of its licence)"] = append(texts["(it comes without a file of its licence)"], component)
		}
		return nil
	}
	for _, dependency := range info.Deps {
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
	folders, err := crateFolders(cargoMetadata)
	if err != nil {
		return err
	}
	for scanner := bufio.NewScanner(crates); scanner.Scan(); {
		parts := strings.SplitN(scanner.Text(), " ", 3)
		if len(parts) != 3 || folders[parts[0]+" "+parts[1]] == "" {
			return fmt.Errorf("%q is no line of a crate that cargo knows", scanner.Text())
		}
		if strings.HasPrefix(parts[0], "cached-http-") {
			continue
		}
		if err := add(fmt.Sprintf("%s %s (%s)", parts[0], parts[1], parts[2]), folders[parts[0]+" "+parts[1]]); err != nil {
			return err
		}
	}
	fmt.Fprintln(to, "What this Caddy is made of, and the licences of that. Go's and Rust's own libraries are under BSD-3-Clause and MIT OR Apache-2.0.")
	for _, text := range slices.SortedFunc(maps.Keys(texts), func(one, other string) int { return strings.Compare(texts[one][0], texts[other][0]) }) {
		_, err = fmt.Fprintf(to, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(texts[text], "\n"), text)
	}
	return err
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
