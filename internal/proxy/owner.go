package proxy

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
)

// owner is who has a port.
type owner struct {
	pid  int
	comm string
	unit string // its systemd service, "" when it is none
}

// findOwner looks for the process whose listening socket is in the way of the endpoint. proc is /proc.
func findOwner(proc string, e endpoint) (owner, bool) {
	for _, table := range []string{"tcp6", "tcp"} {
		// Of this thread: /proc/net is the main one's, which may have been left in a guest's namespace.
		for _, inode := range findSockets(path.Join(proc, "thread-self/net", table), e) {
			if o, ok := findHolder(proc, "socket:["+inode+"]"); ok {
				return o, true
			}
		}
	}
	return owner{}, false
}

func findSockets(table string, e endpoint) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	var inodes []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		const listening = "0A"
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		at, ok := parseSocketAddr(fields[1])
		if ok && at.Port() == e.port && (at.Addr() == e.addr || at.Addr().IsUnspecified()) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// parseSocketAddr reads "0100007F:3358": the address in words of the host's byte order.
func parseSocketAddr(s string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(s, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(words)
	if err != nil || hexErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), ok
}

// findHolder gives the process that has a file open, by the file's name in /proc/PID/fd.
func findHolder(proc, file string) (owner, bool) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return owner{}, false
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := path.Join(proc, entry.Name())
		fds, err := os.ReadDir(path.Join(dir, "fd"))
		if err != nil {
			continue // ended meanwhile, or not ours to see
		}
		for _, fd := range fds {
			if target, err := os.Readlink(path.Join(dir, "fd", fd.Name())); err == nil && target == file {
				return owner{pid, readComm(dir), readUnit(dir)}, true
			}
		}
	}
	return owner{}, false
}

// readComm is the process's name, in which it may have put anything.
func readComm(dir string) string {
	data, err := os.ReadFile(path.Join(dir, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.Map(printable, strings.TrimSuffix(string(data), "\n"))
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

// readUnit is the systemd service that a process belongs to, from its cgroup.
func readUnit(dir string) string {
	data, err := os.ReadFile(path.Join(dir, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		last := path.Base(strings.TrimSpace(line))
		if strings.HasSuffix(last, ".service") && strings.Map(printable, last) == last {
			return last
		}
	}
	return ""
}
