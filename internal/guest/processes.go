package guest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is a process in a guest's network namespace. Comm and Argv are what the guest
// made them: good for telling which DHCP client it runs, never for who it is.
type Process struct {
	PID   int      // as berth sees it
	Start uint64   // in clock ticks since boot; compare before acting on PID
	Comm  string   // at most 15 bytes
	Argv  []string // at most 4 KiB together
	UID   uint32   // real user, as berth sees it
}

const (
	maxProcesses = 4096
	maxArgv      = 4096
)

// Processes lists what runs in the guest's network namespace, at most 4096, in order
// of PID. The error wraps ErrGone when the namespace is no more.
func Processes(ctx context.Context, g Guest) ([]Process, error) {
	fd, err := g.Namespace.open()
	if err != nil {
		return nil, err
	}
	unix.Close(fd)
	pids, err := listProcesses()
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list the processes of %s: %w", g.Name, err)
		}
		if inode, err := namespaceOf(pid, "net"); err != nil || inode != g.Namespace.Inode {
			continue
		}
		if p, ok := readProcess(pid, g.Namespace.Inode); ok {
			found = append(found, p)
		}
		if len(found) == maxProcesses {
			break
		}
	}
	return found, nil
}

// readProcess gives nothing when the process ended, or left, while it was read.
func readProcess(pid int, inode uint64) (Process, bool) {
	before, err := readStat(pid)
	if err != nil {
		return Process{}, false
	}
	s, err := readStatus(pid)
	if err != nil {
		return Process{}, false
	}
	cmdline, err := readProc(pid, "cmdline", maxArgv)
	if err != nil {
		return Process{}, false
	}
	after, err := readStat(pid)
	if err != nil || after.start != before.start {
		return Process{}, false
	}
	if now, err := namespaceOf(pid, "net"); err != nil || now != inode {
		return Process{}, false
	}
	p := Process{PID: pid, Start: before.start, Comm: before.comm, UID: s.uid}
	if len(cmdline) > 0 {
		p.Argv = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	}
	return p, true
}

// Addresses reads the IPv4 addresses that the guest's NIC has at this moment, with the
// prefix lengths of their subnets. The error wraps ErrGone when the namespace is no more.
func Addresses(ctx context.Context, g Guest) ([]netip.Prefix, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := g.Namespace.open()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var k kernel
	defer k.close()
	nsid, err := k.nsid(fd)
	if err != nil {
		return nil, err
	}
	if nsid == noNamespace || g.NICIndex == 0 {
		return nil, fmt.Errorf("%w: no port leads to %s", ErrGone, g.Namespace.Path)
	}
	// Held open over the question: the number can not become another namespace's.
	addresses, err := k.addresses(nsid, g.NICIndex)
	if isAbsent(err) {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return addresses, err
}
