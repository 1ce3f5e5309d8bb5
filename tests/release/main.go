// Command release does what make release needs beyond shell:
//
//	release proxy MODULE VERSION FOLDER TIME OUTPUT   lays a module out as a proxy's tree (https://go.dev/ref/mod#goproxy-protocol)
//	release unzip MODULE VERSION ZIP FOLDER           unpacks a module's zip
//	release notices BINARY MODCACHE METADATA          prints the licences of what a Caddy is made of; METADATA is a file of
//	                                                  cargo metadata, the crates are read from standard input as below
//	release sbom VERSION TIME BINARY RUST             prints what a Caddy is made of, CycloneDX; the Rust side is read from
//	                                                  standard input, a line "NAME VERSION LICENCE" for each crate
//
// TIME is in seconds since the Unix epoch: the same tree gives the same bytes.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 6 && arguments[0] == "proxy":
		err = proxy(module.Version{Path: arguments[1], Version: arguments[2]}, arguments[3], arguments[4], arguments[5])
	case len(arguments) == 5 && arguments[0] == "unzip":
		err = modzip.Unzip(arguments[4], module.Version{Path: arguments[1], Version: arguments[2]}, arguments[3])
	case len(arguments) == 4 && arguments[0] == "notices":
		err = notices(arguments[1], arguments[2], arguments[3], os.Stdin, os.Stdout)
	case len(arguments) == 5 && arguments[0] == "sbom":
		err = sbom(arguments[1], arguments[2], arguments[3], arguments[4])
	default:
		err = errors.New("usage: release proxy|unzip|notices|sbom ARGUMENTS, as this file's head says")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func moment(seconds string) (time.Time, error) {
	number, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time in seconds", seconds)
	}
	return time.Unix(number, 0).UTC(), nil
}

func proxy(of module.Version, folder, seconds, output string) error {
	at, err := moment(seconds)
	if err != nil {
		return err
	}
	escaped, err := module.EscapePath(of.Path)
	if err != nil {
		return err
	}
	versions := filepath.Join(output, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil { //nolint:gosec // it is public
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{of.Version, at})
	if err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		of.Version + ".info": info, of.Version + ".mod": goMod, "list": []byte(of.Version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), text, 0o644); err != nil { //nolint:gosec // it is public
			return err
		}
	}
	packed, err := os.Create(filepath.Join(versions, of.Version+".zip"))
	if err != nil {
		return err
	}
	if err := modzip.CreateFromDir(packed, of, folder); err != nil {
		return err
	}
	return packed.Close()
}

func sbom(version, seconds, binary, rust string) error {
	at, err := moment(seconds)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	document := cyclonedx.NewBOM()
	document.Metadata = &cyclonedx.Metadata{
		Timestamp: at.Format(time.RFC3339),
		Component: &cyclonedx.Component{
			Type: cyclonedx.ComponentTypeApplication, Name: "caddy with tls.get_certificate.cached_http", Version: version,
		},
	}
	components := []cyclonedx.Component{{
		Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"),
		PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
	}, {
		Type: cyclonedx.ComponentTypeLibrary, Name: "rust-std", Version: rust, PackageURL: "pkg:generic/rust-std@" + rust,
	}}
	for _, dependency := range modulesOf(info) {
		components = append(components, cyclonedx.Component{
			Type: cyclonedx.ComponentTypeLibrary, Name: dependency.Path, Version: dependency.Version,
			PackageURL: "pkg:golang/" + dependency.Path + "@" + dependency.Version,
		})
	}
	crates, err := readCrates(os.Stdin)
	if err != nil {
		return err
	}
	for _, crate := range crates {
		components = append(components, cyclonedx.Component{
			Type: cyclonedx.ComponentTypeLibrary, Name: crate.name, Version: crate.version,
			PackageURL: "pkg:cargo/" + crate.name + "@" + crate.version,
			Licenses:   &cyclonedx.Licenses{{Expression: crate.licence}},
		})
	}
	document.Components = &components
	encoder := cyclonedx.NewBOMEncoder(os.Stdout, cyclonedx.BOMFileFormatJSON)
	return encoder.SetPretty(true).Encode(document)
}
