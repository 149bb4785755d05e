package pinfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrChanged says that the file is not what the caller read any more.
var ErrChanged = errors.New("the file changed meanwhile")

// Replace writes data in the place of path, atomically and durably: a reader, also after a
// power cut, finds the old text or the new one. The mode, owner and extended attributes stay;
// a symbolic link stays, too, and what it points to is replaced. It fails with ErrChanged and leaves the
// file alone when that no longer holds was: read it again, and try again. Other errors
// are an *ipam.Problem. Nil for was is an absent or empty file.
func Replace(path string, was, data []byte) error {
	target, err := resolve(path)
	if err != nil {
		return fileProblem("write", path, err)
	}
	if len(data) > maxFile {
		return tooLarge(path)
	}
	dir, base := split(target)
	unlock, err := lockFolder(dir)
	if err != nil {
		return fileProblem("write", path, err)
	}
	defer unlock()
	now, err := Read(target)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, was) {
		return ErrChanged
	}
	sweep(target)
	old, err := os.Stat(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileProblem("write", path, err)
	}
	temp := dir + tempPrefix(base) + rand.Text()
	if err := writeTemp(temp, target, old, data); err != nil {
		_ = os.Remove(temp)
		return fileProblem("write", path, err)
	}
	switch err := install(temp, target, old != nil, was, data); {
	case errors.Is(err, ErrChanged):
		return err
	case err != nil:
		return fileProblem("write", path, err)
	}
	if err := syncFolder(dir); err != nil {
		return fileProblem("write", path, err)
	}
	return nil
}

// writeTemp writes the new file beside the old one, and to the disk.
func writeTemp(temp, target string, old fs.FileInfo, data []byte) error {
	mode := fs.FileMode(0o600)
	if old == nil {
		mode = 0o644 // what the umask leaves of it
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if old != nil {
		if err := dress(f, target, old); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// dress gives f the owner, mode and, as far as they may be set, extended attributes
// (access lists, security labels) of the file it is to replace.
func dress(f *os.File, target string, old fs.FileInfo) error {
	var theirs, ours unix.Stat_t
	if err := unix.Stat(target, &theirs); err != nil {
		return &fs.PathError{Op: "stat", Path: target, Err: err}
	}
	if err := unix.Fstat(int(f.Fd()), &ours); err != nil {
		return err
	}
	if theirs.Uid != ours.Uid || theirs.Gid != ours.Gid {
		if err := f.Chown(int(theirs.Uid), int(theirs.Gid)); err != nil {
			return err
		}
	}
	if err := f.Chmod(old.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
		return err
	}
	copyAttributes(int(f.Fd()), target)
	return nil
}

func copyAttributes(fd int, target string) {
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(target, list)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if name == "" {
			continue
		}
		if size, err := unix.Getxattr(target, name, value); err == nil {
			_ = unix.Fsetxattr(fd, name, value[:size], 0)
		}
	}
}

// install puts temp in the place of target; afterwards temp is gone.
func install(temp, target string, exists bool, was, data []byte) error {
	var err error
	if exists {
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	} else {
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
	}
	switch {
	case err == nil && exists:
		return confirm(temp, target, was, data)
	case err == nil:
		return nil
	case isNotOffered(err): // by this file system
		err = os.Rename(temp, target)
	case exists && errors.Is(err, unix.ENOENT), !exists && errors.Is(err, unix.EEXIST):
		err = ErrChanged
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// confirm looks at what the exchange has put into temp: a save that came in between the last
// look and the exchange is found there, and goes back to its place. For an instant a reader sees
// what was not meant to stay; the alternative, a plain rename, would lose the save.
func confirm(temp, target string, was, data []byte) error {
	if holds(temp, was) {
		return os.Remove(temp)
	}
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE); err != nil {
			if errors.Is(err, unix.ENOENT) { // and deleted meanwhile: the last word
				_ = os.Remove(temp)
				return ErrChanged
			}
			return fmt.Errorf("put %s back from %s: %w", target, temp, err) // which holds the save
		}
		if holds(temp, data) {
			_ = os.Remove(temp)
			return ErrChanged
		}
		// Saved once more, over ours: that is newer than what has just gone back.
		data, _ = Read(target)
	}
}

// holds reports whether path is a regular file with this content.
func holds(path string, content []byte) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	have, err := Read(path)
	return err == nil && bytes.Equal(have, content)
}

// lockFolder keeps other calls of Replace away, also those of other processes, until unlock.
func lockFolder(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(askAgain) {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) && time.Since(began) < patience {
			continue
		}
		// Not taken, for whatever reason: the look at what was displaced is the guard then.
		return func() { _ = d.Close() }, nil
	}
}

// isNotOffered reports whether a file system does not know the flags of renameat2(2).
func isNotOffered(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}

// syncFolder makes the new name durable: the fsync of a file does not reach its folder.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// resolve follows path through symbolic links to a name that is none; nothing need be
// there. The links of the folders on the way are left to the kernel.
func resolve(path string) (string, error) {
	const most = 40 // as the kernel has it
	for range most {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			dir, _ := split(path)
			to = dir + to
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
}

// split cuts path before its last element. It does not clean, as filepath.Dir does:
// "dir/../x" is elsewhere when dir is a link.
func split(path string) (dir, base string) {
	dir, base = filepath.Split(path)
	if dir == "" {
		dir = "./"
	}
	return dir, base
}

// tempPrefix begins with a dot: nobody who reads a folder of files takes it for one.
func tempPrefix(base string) string {
	const room = 200 // of the 255 octets of a name
	return fmt.Sprintf(".%s.berth-", base[:min(len(base), room)])
}

// sweep removes what a process that was killed in the middle of Replace left.
func sweep(target string) {
	dir, base := split(target)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix(base)) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(dir + e.Name())
		}
	}
}
