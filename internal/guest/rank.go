package guest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// finding is what a walk knows so far about one namespace it looks for.
type finding struct {
	space
	owner uint64 // inode of the user namespace it belongs to, 0 unknown
	rank  rank
}

// rank says how much a way of knowing a namespace is worth. A process of the host or of
// another guest may have joined it, so those count most that can only be its own.
type rank int

const (
	unknown    rank = iota
	anyProcess      // something runs there
	generated       // a file in /run/netns that a program named
	ownProcess      // a process of a container, of the same user namespace
	joinedInit      // a container's init, of another user namespace
	namedFile       // a file in /run/netns that a person named
	ownInit         // a container's init, of the same user namespace
)

// ownerOf is the inode of the user namespace that owns a namespace; 0 when it is not
// berth's to know.
func ownerOf(fd int) uint64 {
	owner, err := unix.IoctlRetInt(fd, unix.NS_GET_USERNS)
	if err != nil {
		return 0
	}
	defer unix.Close(owner)
	inode, err := inodeOf(owner)
	if err != nil {
		return 0
	}
	return inode
}

// consider weighs a process that runs in a namespace looked for.
func (w *walk) consider(f *finding, pid int) {
	st, err := readStat(pid)
	if err != nil {
		return
	}
	s, err := readStatus(pid)
	if err != nil {
		return
	}
	init := s.isInit(w.depth)
	if !init && f.rank >= ownProcess {
		return
	}
	groups, err := readProc(pid, "cgroup", 16<<10)
	if err != nil {
		return
	}
	user, err := namespaceOf(pid, "user")
	if err != nil {
		return
	}
	m := parseCgroups(groups).mark(w.cgroups)
	own := f.owner == 0 || f.owner == user
	r := anyProcess
	switch {
	case m == mark{}:
		m.runtime = RuntimeProcess
	case init && own:
		r = ownInit
	case init:
		r = joinedInit
	case own:
		r = ownProcess
	default:
		m = mark{runtime: RuntimeProcess}
	}
	if r <= f.rank {
		return
	}
	// The process may have ended, or left the namespace, while it was read.
	ns := Namespace{Inode: f.ns.Inode, PID: pid, Start: st.start, Path: fmt.Sprintf("/proc/%d/ns/net", pid)}
	if fd, err := ns.open(); err == nil {
		unix.Close(fd)
		f.ns, f.mark, f.rank = ns, m, r
		if r == ownInit {
			w.missing--
		}
	}
}
