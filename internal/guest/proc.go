package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var errMalformed = errors.New("malformed")

// readProc reads at most limit bytes of a file of /proc/PID. Direct system calls: the
// runtime's poller has no business here and a walk reads thousands of them.
func readProc(pid int, name string, limit int) ([]byte, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	buf := make([]byte, limit)
	n := 0
	for n < len(buf) {
		got, err := unix.Read(fd, buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if got == 0 {
			break
		}
		n += got
	}
	return buf[:n], nil
}

// listProcesses gives the PIDs of all processes, ascending.
func listProcesses() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list /proc: %w", err)
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// namespaceOf reads a process's namespace inode without opening it; kind is "net" or "user".
func namespaceOf(pid int, kind string) (uint64, error) {
	return readNamespaceLink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind)
}

func readNamespaceLink(path string) (uint64, error) {
	var buf [64]byte
	n, err := unix.Readlink(path, buf[:])
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	_, rest, _ := strings.Cut(string(buf[:n]), ":[")
	inode, err := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, errMalformed)
	}
	return inode, nil
}

// stat is what /proc/PID/stat tells.
type stat struct {
	comm  string // the guest chooses it: any byte but NUL
	start uint64 // clock ticks since boot
}

func readStat(pid int) (stat, error) {
	data, err := readProc(pid, "stat", 1024)
	if err != nil {
		return stat{}, err
	}
	return parseStat(data)
}

// parseStat looks for the last parenthesis: the command name may contain any.
func parseStat(data []byte) (stat, error) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return stat{}, errMalformed
	}
	const startTime = 22 - 3 // proc_pid_stat(5) numbers from 1; the state after the name is 3
	fields := bytes.Fields(data[end+1:])
	if len(fields) <= startTime {
		return stat{}, errMalformed
	}
	start, err := strconv.ParseUint(string(fields[startTime]), 10, 64)
	if err != nil {
		return stat{}, errMalformed
	}
	return stat{comm: string(data[open+1 : end]), start: start}, nil
}

// status is what /proc/PID/status tells.
type status struct {
	parent int
	uid    uint32 // real, as seen from berth's user namespace
	depth  int    // how many PID namespaces deep, counted from the one /proc was mounted in: 1
	inner  int    // its PID in the innermost one
}

// isInit reports whether the process is the first of a PID namespace right below
// berth's own: a container's init, but not one nested in it.
func (s status) isInit(own int) bool { return s.inner == 1 && s.depth == own+1 }

func readStatus(pid int) (status, error) {
	data, err := readProc(pid, "status", 4096)
	if err != nil {
		return status{}, err
	}
	return parseStatus(data)
}

// parseStatus relies on the kernel's escaping of line breaks in Name.
func parseStatus(data []byte) (status, error) {
	var s status
	for line := range bytes.Lines(data) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		var err error
		switch string(key) {
		case "PPid":
			s.parent, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		case "Uid":
			fields := bytes.Fields(value)
			if len(fields) == 0 {
				return status{}, errMalformed
			}
			var uid uint64
			uid, err = strconv.ParseUint(string(fields[0]), 10, 32)
			s.uid = uint32(uid)
		case "NSpid":
			fields := bytes.Fields(value)
			s.depth = len(fields)
			if len(fields) == 0 {
				return status{}, errMalformed
			}
			s.inner, err = strconv.Atoi(string(fields[len(fields)-1]))
		}
		if err != nil {
			return status{}, errMalformed
		}
	}
	if s.depth == 0 {
		return status{}, errMalformed
	}
	return s, nil
}
