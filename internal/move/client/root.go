package client

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// root is the root folder of a guest. The guest controls everything below it: names are resolved inside of
// it whatever they link to, and only plain files and sockets are opened.
type root struct {
	fd  int
	pid int
}

// maxFile is how much of a file is read; those of interest have some hundred bytes.
const maxFile = 64 << 10

// openRoot opens the root of a process, and makes sure that it still is that process.
func openRoot(p guest.Process, namespace uint64) (*root, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root", p.PID), unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the guest's files: %w", err)
	}
	if err := isStill(p, namespace); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &root{fd, p.PID}, nil
}

func (r *root) close() {
	if r != nil {
		unix.Close(r.fd)
	}
}

func (r *root) open(name string, flags uint64) (int, error) {
	if r == nil {
		return -1, unix.ENOENT
	}
	return unix.Openat2(r.fd, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// read gives the beginning of a plain file; "" when it is none.
func (r *root) read(name string) string {
	// O_NONBLOCK: opening a FIFO must not wait for its other end. First by path only, since opening a device does things.
	fd, err := r.open(name, unix.O_PATH)
	if err != nil {
		return ""
	}
	plain := isOf(fd, unix.S_IFREG)
	unix.Close(fd)
	if !plain {
		return ""
	}
	fd, err = r.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	if !isOf(fd, unix.S_IFREG) {
		return ""
	}
	return string(readAll(fd, maxFile))
}

// socket opens the name of a unix socket, to be connected to by way of /proc/thread-self/fd.
func (r *root) socket(name string) (int, error) {
	fd, err := r.open(name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	if !isOf(fd, unix.S_IFSOCK) {
		unix.Close(fd)
		return -1, unix.ENOTSOCK
	}
	return fd, nil
}

func isOf(fd int, kind uint32) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == kind
}

func readAll(fd, limit int) []byte {
	buf := make([]byte, limit)
	n := 0
	for n < limit {
		got, err := unix.Read(fd, buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got <= 0 {
			break
		}
		n += got
	}
	return buf[:n]
}

// isStill reports why the process is not the one it was, in the namespace it was in; what was opened
// by its number before is that process's own when the answer is nil.
func isStill(p guest.Process, namespace uint64) error {
	start, err := startOf(p.PID)
	if err != nil || start != p.Start {
		return fmt.Errorf("%w: process %d has ended", guest.ErrGone, p.PID)
	}
	if inode, err := namespaceOf(p.PID); err != nil || inode != namespace {
		return fmt.Errorf("%w: process %d has left it", guest.ErrGone, p.PID)
	}
	return nil
}

// startOf reads when a process started, in clock ticks since boot.
func startOf(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command name is in parentheses, and may contain any.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const startTime = 22 - 3 // proc_pid_stat(5)
	if len(fields) <= startTime {
		return 0, errors.New("malformed stat")
	}
	return strconv.ParseUint(string(fields[startTime]), 10, 64)
}

// namespaceOf reads the inode of a process's network namespace.
func namespaceOf(pid int) (uint64, error) {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return 0, err
	}
	_, inode, _ := strings.Cut(link, ":[")
	return strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64)
}
