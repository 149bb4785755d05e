package client

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// stranger is a client that is not known here: it has the DHCP client's port, or a name that tells.
func stranger(s *scene) (Client, claim) {
	for _, name := range []string{"connmand", "wickedd-dhcp4", "iwd", "pump", "ifplugd-dhcp"} {
		if len(s.called(name)) > 0 {
			return waiting{Unknown}, running
		}
	}
	for _, p := range s.processes {
		if isStill(p, s.guest.Namespace.Inode) == nil {
			if hasClientPort(p.PID) {
				return waiting{Unknown}, running
			}
			return nil, absent // the table is the same for all of the namespace
		}
	}
	return nil, absent
}

// hasClientPort reports whether somebody in the process's network namespace holds UDP port 68 (RFC 2131 §4.1).
func hasClientPort(pid int) bool {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/net/udp", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close()
	const most = 1 << 20 // a guest decides how many sockets it has
	buf := readAll(fd, most)
	for line := range strings.Lines(string(buf)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasSuffix(fields[1], ":0044") {
			return true
		}
	}
	return false
}
