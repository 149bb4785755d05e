package dnsmasq

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"berth/internal/ipam"
)

// What is read at most: one file, all files together, files, and files within files.
const (
	maxFile  = 16 << 20
	maxTotal = 64 << 20
	maxFiles = 4096
	maxDepth = 32
)

// watch notes a file or a folder that the configuration depends on.
func (r *reader) watch(name string) {
	if !r.watched[name] {
		r.watched[name] = true
		r.c.Files = append(r.c.Files, name)
	}
}

// inside is a path as the file system wants it.
func inside(name string) string {
	if name = strings.TrimPrefix(absolute(name), "/"); name == "" {
		return "."
	}
	return name
}

// fetch reads a regular file. at is where it is asked for.
func (r *reader) fetch(name string, at ipam.Source) ([]byte, *ipam.Problem) {
	if len(r.c.Files) >= maxFiles {
		return nil, refused(name, at, fmt.Sprintf("is one of more than %d files, and not read", maxFiles), "make it fewer files")
	}
	r.watch(name)
	info, err := fs.Stat(r.files, inside(name))
	if err != nil {
		return nil, unreadable(name, at, err)
	}
	if bad := irregular(name, at, info); bad != nil {
		return nil, bad
	}
	f, err := r.files.Open(inside(name))
	if err != nil {
		return nil, unreadable(name, at, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, unreadable(name, at, err)
	}
	if bad := irregular(name, at, info); bad != nil {
		return nil, bad
	}
	limit := min(maxFile, maxTotal-r.total)
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, unreadable(name, at, err)
	}
	if int64(len(data)) > limit {
		return nil, refused(name, at, fmt.Sprintf("is too large: at most %d MiB are read of a file, and %d MiB of all", maxFile>>20, maxTotal>>20),
			"is it meant to be read? See: head "+name)
	}
	r.total += int64(len(data))
	return data, nil
}

func refused(name string, at ipam.Source, what, hint string) *ipam.Problem {
	if at.File == name && at.Line == 0 {
		return &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: "the file " + what, Hint: hint}
	}
	return &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: quote(name) + " " + what, Hint: hint}
}

// irregular says what lies at name instead of a file, or nil.
func irregular(name string, at ipam.Source, info fs.FileInfo) *ipam.Problem {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return refused(name, at, "is a folder", "name a file in it, or read all of it with conf-dir="+name)
	case mode&fs.ModeNamedPipe != 0:
		what = "is a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "is a socket"
	case mode&fs.ModeDevice != 0:
		what = "is a device"
	default:
		what = "is no regular file"
	}
	return refused(name, at, what+", and not read", "name an ordinary file")
}

// unreadable says what to do about a file that can not be read.
func unreadable(name string, at ipam.Source, err error) *ipam.Problem {
	what, hint, code := "", "ls -ld "+name, ipam.CodeConfig
	switch {
	case errors.Is(err, fs.ErrNotExist):
		what, hint = "does not exist", "make it, or delete the line that names it: touch "+name
	case errors.Is(err, fs.ErrPermission):
		what, hint, code = "may not be read", "run as root, and see: ls -ld "+name, ipam.CodeDenied
	case errors.Is(err, syscall.ELOOP):
		what = "is a symbolic link that goes round in circles"
	default:
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		what = "can not be read: " + err.Error()
	}
	p := refused(name, at, what, hint)
	p.Code, p.Err = code, err
	return p
}

// folder is the files in a folder that dnsmasq would read, in order of their names: none that is hidden or an
// editor's backup, and none that keep refuses.
func (r *reader) folder(name string, at ipam.Source, keep func(string) bool) []string {
	r.watch(name)
	entries, err := fs.ReadDir(r.files, inside(name))
	if err != nil {
		r.problems.add(unreadable(name, at, err))
		return nil
	}
	var found []string
	for _, e := range entries {
		base := e.Name()
		if base == "" || base[0] == '.' || strings.HasSuffix(base, "~") || base[0] == '#' && strings.HasSuffix(base, "#") || !keep(base) {
			continue
		}
		file := path.Join(name, base)
		info, err := fs.Stat(r.files, inside(file))
		if err != nil {
			r.watch(file)
			r.problems.add(unreadable(file, at, err))
			continue
		}
		if info.Mode().IsRegular() {
			found = append(found, file)
		}
	}
	slices.Sort(found)
	return found
}

func everything(string) bool { return true }

func (r *reader) isFolder(name string) bool {
	info, err := fs.Stat(r.files, inside(name))
	return err == nil && info.IsDir()
}
