// Package crashfs is a journal.FS in memory for tests: it stops, as at a power cut, at
// any operation, and then forgets whatever had not been synced, in every way in
// which a disk may.
package crashfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"berth/internal/ledger/journal"
)

// ErrStopped is the answer to everything after the machine has stopped.
var ErrStopped = errors.New("the machine has stopped")

// FS is the file system. Its methods may be called from several goroutines.
type FS struct {
	mu      sync.Mutex
	names   map[string]*node // as running processes see it
	durable map[string]*node // as synced
	ops     int
	stopAt  int // 0: never
	half    bool
	stopped bool
	space   int // bytes that all files may have together; -1: no limit
	fails   func(op, name string) error
	locked  bool
}

// node is a file's content. A file is only written at its end, or cut.
type node struct{ data, synced []byte }

// New gives an empty file system.
func New() *FS {
	return &FS{names: map[string]*node{}, durable: map[string]*node{}, space: -1}
}

// StopAt stops the machine at the n-th changing operation from now, from 1; half says whether a
// write at which it stops is half done.
func (f *FS) StopAt(n int, half bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops, f.stopAt, f.half = 0, n, half
}

// Ops counts the changing operations since New or StopAt.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Limit makes the disk full when its files have n bytes together; -1 takes the limit away.
func (f *FS) Limit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.space = n
}

// Used is how many bytes the files have together.
func (f *FS) Used() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() int {
	n := 0
	for _, node := range f.names {
		n += len(node.data)
	}
	return n
}

// Fail has every changing operation ask fails, which is given "create", "write", "sync", "rename", "remove",
// "syncdir" or "open" and the base name; nil takes that away.
func (f *FS) Fail(fails func(op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

// Survival is what is left of the unsynced after a power cut.
type Survival struct {
	Names bool                             // the unsynced names are there
	Data  func(synced, data []byte) []byte // what a file has; nil: only what was synced
}

// Keep keeps everything: the machine only lost power after the kernel had written it all.
func Keep() Survival {
	return Survival{Names: true, Data: func(_, data []byte) []byte { return data }}
}

// Cut keeps the first n bytes of what each file had beyond the synced ones.
func Cut(n int) Survival {
	return Survival{Names: true, Data: func(synced, data []byte) []byte {
		if len(data) < len(synced) {
			return data
		}
		return data[:min(len(synced)+n, len(data))]
	}}
}

// Hole keeps the size and the end of what was not synced, but has zeros for its first n bytes: the
// disk wrote a later block first.
func Hole(n int) Survival {
	return Survival{Names: true, Data: func(synced, data []byte) []byte {
		if len(data) < len(synced) {
			return data
		}
		out := slices.Clone(data)
		clear(out[len(synced):min(len(synced)+n, len(out))])
		return out
	}}
}

// Reboot gives the file system as it is after the power cut.
func (f *FS) Reboot(s Survival) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := New()
	names := f.durable
	if s.Names {
		names = f.names
	}
	for name, n := range names {
		data := n.synced
		if s.Data != nil {
			data = s.Data(n.synced, n.data)
		}
		after.names[name] = &node{data: slices.Clone(data), synced: slices.Clone(data)}
	}
	after.durable = maps.Clone(after.names)
	return after
}

// Edit changes a file's content behind everybody's back, as a failing disk does.
func (f *FS) Edit(name string, edit func([]byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[name]
	n.data = edit(n.data)
	n.synced = slices.Clone(n.data)
}

// step counts a changing operation; it reports whether it is to be half done, and an error when not at all.
func (f *FS) step(op, name string) (half bool, err error) {
	if f.stopped {
		return false, ErrStopped
	}
	f.ops++
	if f.ops == f.stopAt {
		f.stopped = true
		if f.half && op == "write" {
			return true, nil
		}
		return false, ErrStopped
	}
	if f.fails != nil {
		return false, f.fails(op, filepath.Base(name))
	}
	return false, nil
}

// MkdirAll does nothing: there is one directory.
func (f *FS) MkdirAll(string) error { return nil }

// Lock is exclusive among those who have this FS.
func (f *FS) Lock(dir string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked {
		return nil, &journal.LockedError{Dir: dir}
	}
	f.locked = true
	return unlocker{f}, nil
}

type unlocker struct{ f *FS }

func (u unlocker) Close() error {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	u.f.locked = false
	return nil
}

// List gives the base names.
func (f *FS) List(string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for name := range f.names {
		out = append(out, filepath.Base(name))
	}
	return out, nil
}

// ReadFile gives a copy of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return bytes.Clone(n.data), nil
}

// Create makes an empty file; that is durable after SyncDir.
func (f *FS) Create(name string) (journal.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step("create", name); err != nil {
		return nil, err
	}
	n := f.names[name]
	if n == nil {
		n = &node{}
		f.names[name] = n
	}
	n.data = nil
	return &file{f, n, name}, nil
}

// OpenAt cuts a file; that is durable after Sync.
func (f *FS) OpenAt(name string, size int64) (journal.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step("open", name); err != nil {
		return nil, err
	}
	n := f.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	n.data = n.data[:size:size]
	return &file{f, n, name}, nil
}

// Rename is durable after SyncDir.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step("rename", to); err != nil {
		return err
	}
	n := f.names[from]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(f.names, from)
	f.names[to] = n
	return nil
}

// Remove is durable after SyncDir.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step("remove", name); err != nil {
		return err
	}
	if f.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(f.names, name)
	return nil
}

// SyncDir makes the names durable.
func (f *FS) SyncDir(string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.step("syncdir", ""); err != nil {
		return err
	}
	f.durable = maps.Clone(f.names)
	return nil
}

type file struct {
	fs   *FS
	node *node
	name string
}

func (f *file) Write(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	half, err := f.fs.step("write", f.name)
	if err != nil {
		return 0, err
	}
	n := len(b)
	if half {
		n, err = n/2, ErrStopped
	}
	if f.fs.space >= 0 {
		if room := max(f.fs.space-f.fs.used(), 0); room < n {
			n, err = room, syscall.ENOSPC
		}
	}
	f.node.data = append(f.node.data, b[:n]...)
	return n, err
}

func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.step("sync", f.name); err != nil {
		return err
	}
	f.node.synced = slices.Clone(f.node.data)
	return nil
}

func (f *file) Close() error { return nil }
