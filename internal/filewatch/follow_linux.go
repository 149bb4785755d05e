package filewatch

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// step is one name on the way to a file: an event about it may lead the way elsewhere.
type step struct {
	watch int    // of the folder that the name is in
	name  string // an event without a name is about the folder itself
}

// anyName is a step's that is about everything in the folder.
const anyName = ""

func (s step) isAbout(e event) bool {
	return s.watch == e.watch && (s.name == anyName || e.name == "" || s.name == e.name)
}

// follow walks from the root to a file, through symbolic links, and watches every folder
// on the way. It ends where something is missing: that will be an event of the last folder.
func (r *run) follow(f *file) {
	if r.in == nil {
		return
	}
	old := f.steps
	f.steps = nil
	// 40 links, as the kernel has it, of 4096 bytes each.
	links, dir, rest := 40, "/", strings.Split(f.abs, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			dir = filepath.Dir(dir)
			continue
		}
		// Watched first, looked at then: what happens in between is an event.
		watch, err := r.in.watch(dir)
		if err != nil {
			break // not readable, or gone: the poll sees the file all the same
		}
		f.steps = append(f.steps, step{watch, name})
		at := filepath.Join(dir, name)
		info, err := os.Lstat(at)
		if err != nil {
			break
		}
		if info.Mode()&os.ModeSymlink == 0 {
			dir = at
			if len(rest) == 0 && info.IsDir() {
				r.inside(f, at)
			}
			continue
		}
		to, err := os.Readlink(at)
		if links--; err != nil || links < 0 {
			break
		}
		if strings.HasPrefix(to, "/") {
			dir = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	r.forget(old)
}

// inside watches what is in the folder that is watched itself.
func (r *run) inside(f *file, dir string) {
	if watch, err := r.in.watch(dir); err == nil {
		f.steps = append(f.steps, step{watch, anyName})
	}
}

// forget ends the watches that no file needs any more.
func (r *run) forget(old []step) {
	if r.in == nil {
		return
	}
	needed := map[int]bool{}
	for _, f := range r.files {
		for _, s := range f.steps {
			needed[s.watch] = true
		}
	}
	for _, s := range old {
		if !needed[s.watch] {
			r.in.unwatch(s.watch)
			needed[s.watch] = true // once
		}
	}
}

// concerned is what inotify is asked for in a folder. IN_CREATE matters for links, which have no other event.
const concerned = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE |
	unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
