// Package faultstorage is a Caddy storage for tests. It keeps values in files, fails as the test tells it to while Caddy
// runs, and counts what it is asked: see control.go for how a test does that, and faults.go for what can go wrong.
//
//	storage fault {
//		root    /shared/folder          # the values, as files named by their keys
//		control /folder/of/node.socket  # where the test speaks to this instance
//	}
package faultstorage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

func init() {
	caddy.RegisterModule(new(Storage))
}

// Storage is the module. Every value lies under Root by its key, and every value that a key has ever had under Root + ".history".
type Storage struct {
	Root    string `json:"root"`
	Control string `json:"control"`

	control *control
}

// CaddyModule tells Caddy of it.
func (*Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.fault", New: func() caddy.Module { return new(Storage) }}
}

// UnmarshalCaddyfile reads the two options.
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		target := map[string]*string{"root": &s.Root, "control": &s.Control}[d.Val()]
		if target == nil {
			return d.Errf("storage fault has no option %s", d.Val())
		}
		if !d.AllArgs(target) {
			return d.ArgErr()
		}
	}
	return nil
}

// Provision begins to listen to the test, unless an earlier configuration of this process has.
func (s *Storage) Provision(caddy.Context) (err error) {
	if s.Root == "" || s.Control == "" {
		return errors.New("storage fault wants both root and control")
	}
	s.control, err = controlAt(s.Control)
	return err
}

// CertMagicStorage is what Caddy asks for.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

// Load returns a value, or what a fault has made of it.
func (s *Storage) Load(_ context.Context, key string) ([]byte, error) {
	defer s.control.begin("load", key)()
	return s.control.faults().load(s, key)
}

// Store writes a value as a whole or not at all.
func (s *Storage) Store(_ context.Context, key string, value []byte) error {
	defer s.control.begin("store", key)()
	if err := s.control.faults().before("store", key); err != nil {
		return err
	}
	history := filepath.Join(s.Root+".history", filepath.FromSlash(key))
	if err := write(filepath.Join(history, fmt.Sprintf("%020d-%d", time.Now().UnixNano(), os.Getpid())), value); err != nil {
		return err
	}
	return write(s.path(key), value)
}

// Delete removes a value; one that is missing is no error.
func (s *Storage) Delete(_ context.Context, key string) error {
	defer s.control.begin("delete", key)()
	if err := s.control.faults().before("delete", key); err != nil {
		return err
	}
	if err := os.Remove(s.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// What follows is not to be used: it is counted, and fails the test.

// Lock is recorded.
func (s *Storage) Lock(_ context.Context, name string) error { return s.refuse("lock", name) }

// Unlock is recorded.
func (s *Storage) Unlock(_ context.Context, name string) error { return s.refuse("unlock", name) }

// Exists is recorded.
func (s *Storage) Exists(_ context.Context, key string) bool { return s.refuse("exists", key) == nil }

// List is recorded.
func (s *Storage) List(_ context.Context, path string, _ bool) ([]string, error) {
	return nil, s.refuse("list", path)
}

// Stat is recorded.
func (s *Storage) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	return certmagic.KeyInfo{}, s.refuse("stat", key)
}

func (s *Storage) refuse(operation, key string) error {
	defer s.control.begin(operation, key)()
	return fmt.Errorf("%s of %s: the cache is to use Load, Store and Delete alone", operation, key)
}

func (s *Storage) path(key string) string { return filepath.Join(s.Root, filepath.FromSlash(key)) }

func (s *Storage) read(key string) ([]byte, error) {
	if strings.Contains(key, "..") {
		return nil, fmt.Errorf("%s: no such key", key)
	}
	return os.ReadFile(s.path(key))
}

func write(path string, value []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(value); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

var (
	_ caddy.Provisioner      = (*Storage)(nil)
	_ caddy.StorageConverter = (*Storage)(nil)
	_ caddyfile.Unmarshaler  = (*Storage)(nil)
	_ certmagic.Storage      = (*Storage)(nil)
)
