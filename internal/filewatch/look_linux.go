package filewatch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hashUpTo is the size of the largest file whose content is compared, in bytes.
const hashUpTo = 64 << 20

// look sees what a reader of path would find. Content that before has seen is not read
// again, unless in doubt.
func look(path string, before sight) sight {
	s := sight{at: time.Now()}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		s.state = failure(err)
		return s
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		s.state = list(path)
		return s
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		s.state = state{kind: other, size: int64(st.Mode & unix.S_IFMT)}
		return s
	}
	// Not before it is known to be a file: opening a device or a pipe may do something.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		s.state = failure(err)
		return s
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		s.state = failure(err)
		return s
	}
	s.stamp = stampOf(&st)
	if before.state.kind == regular && s.stamp == before.stamp && !before.isDoubtful() {
		s.state = before.state
		return s
	}
	s.writing = whoWrites(fd)
	if s.writing == nobody {
		defer func() { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }()
	}
	s.state = state{kind: regular, size: st.Size}
	if st.Size > hashUpTo {
		return s
	}
	h := sha256.New()
	s.state.size, err = io.Copy(h, io.LimitReader(f, hashUpTo))
	if err != nil {
		s.state = failure(err)
		return s
	}
	h.Sum(s.state.sum[:0])
	return s
}

// list is a folder as its names.
func list(path string) state {
	entries, err := os.ReadDir(path)
	if err != nil {
		return failure(err)
	}
	s := state{kind: folder}
	h := sha256.New()
	for _, e := range entries {
		if name := e.Name(); !isLeftover(name) {
			s.size++
			fmt.Fprintf(h, "%s/", name)
		}
	}
	h.Sum(s.sum[:0])
	return s
}

// isLeftover reports whether a name is one of those that programs pass over that read all files of a folder: hidden
// ones, and an editor's copies.
func isLeftover(name string) bool {
	return name[0] == '.' || name[len(name)-1] == '~' || name[0] == '#' && name[len(name)-1] == '#'
}

func failure(err error) state {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return state{kind: absent}
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return state{kind: failed, err: errno.Error()}
	}
	return state{kind: failed, err: fmt.Sprint(err)}
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// whoWrites asks for a lease (fcntl(2), F_SETLEASE), which the kernel refuses while somebody has the
// file open for writing. When it answers nobody, writers are held up until F_UNLCK, so that what is
// read in between is whole.
func whoWrites(fd int) writing {
	if isRemote(fd) {
		return unknown // a network file system refuses for reasons of its own
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return nobody
	case errors.Is(err, unix.EAGAIN):
		return somebody
	}
	return unknown
}

// isRemote reports whether writers on other machines, or behind another program, may not be seen.
func isRemote(fd int) bool {
	const ceph, p9, smb2, afs, fuse = 0x00c36400, 0x01021997, 0xfe534d42, 0x5346414f, 0x65735546
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return true
	}
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, 0xff534d42, smb2, ceph, p9, afs, fuse:
		return true
	}
	return false
}
