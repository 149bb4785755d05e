package dhcp4

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is a process that has a socket.
type owner struct {
	pid  int
	comm string // as the kernel shows it, at most 15 bytes
	unit string // systemd's name for the service, "" when it is none
}

// ownersOf finds the processes that have a UDP port of this network namespace bound. It
// finds none without the right to look into them.
func ownersOf(port uint16) []owner {
	f, err := os.Open("/proc/thread-self/net/udp")
	if err != nil {
		return nil
	}
	defer f.Close()
	sockets := map[string]bool{} // as they are shown in /proc/PID/fd
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) {
			sockets["socket:["+fields[9]+"]"] = true
		}
	}
	if len(sockets) == 0 {
		return nil
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	var found []owner
	self := fmt.Sprintf("/proc/%d", os.Getpid()) // has the port for other networks
	for _, dir := range processes {
		if dir != self && holdsAny(dir, sockets) {
			found = append(found, describe(dir))
		}
	}
	return found
}

func holdsAny(dir string, sockets map[string]bool) bool {
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if link, err := os.Readlink(dir + "/fd/" + e.Name()); err == nil && sockets[link] {
			return true
		}
	}
	return false
}

// describe names a process. Its name is its own choice: what is no plain text is not shown.
func describe(dir string) owner {
	o := owner{comm: "a process"}
	o.pid, _ = strconv.Atoi(path.Base(dir))
	if comm, err := os.ReadFile(dir + "/comm"); err == nil {
		if text := printable(bytes.TrimSpace(comm)); len(text) > 0 {
			o.comm = string(text)
		}
	}
	groups, _ := os.ReadFile(dir + "/cgroup")
	for line := range strings.Lines(string(groups)) {
		if unit := path.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") && printable([]byte(unit)) != nil {
			o.unit = unit
		}
	}
	return o
}
