package dns

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"berth/internal/ipam"
)

// portTaken names who has the port that an endpoint needs.
func portTaken(e endpoint, cause error) *ipam.Problem {
	p := &ipam.Problem{Code: ipam.CodeHost, Err: cause}
	owner, ok := findOwner("/proc", e)
	if !ok {
		p.Text = fmt.Sprintf("port %d on %s (%s) is taken by a process that is not to be seen from here", e.addr.Port(), e.addr.Addr(), e.proto)
		p.Hint = fmt.Sprintf("see who has it: ss -lnp 'sport = :%d'", e.addr.Port())
		return p
	}
	p.Text = fmt.Sprintf("port %d on %s (%s) is taken by %s (pid %d)", e.addr.Port(), e.addr.Addr(), e.proto, owner.comm, owner.pid)
	p.Hint = owner.hint(e)
	return p
}

// process is who has a port.
type process struct {
	pid  int
	comm string
	unit string // its systemd service, "" when it is none
}

// hint says how to make that process leave the address alone.
func (p process) hint(e endpoint) string {
	stop := fmt.Sprintf("kill %d", p.pid)
	if p.unit != "" {
		stop = "systemctl stop " + p.unit
	}
	switch p.comm {
	case "dnsmasq":
		return stop + ", or give that dnsmasq bind-interfaces and except-interface=" + e.network
	case "named", "named-pkcs11":
		return stop + ", or set listen-on in named.conf so that it leaves out " + e.addr.Addr().String()
	case "unbound":
		return stop + ", or give unbound.conf interface: lines without " + e.addr.Addr().String()
	case "systemd-resolve":
		return "take the DNSStubListenerExtra line for " + e.addr.Addr().String() + " out of resolved.conf, then: systemctl restart systemd-resolved"
	}
	return stop + "; berth takes the port as soon as it is free"
}

// findOwner looks for the process that listens where the endpoint should. proc is /proc.
func findOwner(proc string, e endpoint) (process, bool) {
	for _, table := range []string{e.proto, e.proto + "6"} {
		for _, inode := range findSockets(path.Join(proc, "net", table), e) {
			if p, ok := findHolder(proc, "socket:["+inode+"]"); ok {
				return p, true
			}
		}
	}
	return process{}, false
}

// findSockets gives the inodes of the sockets in a table of /proc/net that stand in
// the endpoint's way: those on its address, and those on every address.
func findSockets(table string, e endpoint) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	var inodes []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		const listening = "0A"
		if strings.HasPrefix(e.proto, "tcp") && fields[3] != listening {
			continue
		}
		at, ok := parseSocketAddr(fields[1])
		if ok && at.Port() == e.addr.Port() && (at.Addr() == e.addr.Addr() || at.Addr().IsUnspecified()) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// parseSocketAddr reads "0100007F:0035": the address in words of the host's byte
// order, which is little-endian wherever berth runs.
func parseSocketAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(host)%8 != 0 {
		return netip.AddrPort{}, false
	}
	var octets []byte
	for ; host != ""; host = host[8:] {
		word, err := strconv.ParseUint(host[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		octets = append(octets, byte(word), byte(word>>8), byte(word>>16), byte(word>>24))
	}
	a, ok := netip.AddrFromSlice(octets)
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), ok
}

// findHolder gives the process that has a file open, by the file's name in /proc/PID/fd.
func findHolder(proc, file string) (process, bool) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return process{}, false
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
				return process{pid: pid, comm: readComm(dir), unit: readUnit(dir)}, true
			}
		}
	}
	return process{}, false
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
