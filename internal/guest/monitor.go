package guest

import (
	"bytes"
	"path"
	"strings"
)

// monitor is what the host-side parent of an LXC container says in its command line:
// "[lxc monitor] /var/lib/lxd/containers NAME".
type monitor struct {
	dir  string // where the containers live
	name string // the container's name at the level of LXC
}

const monitorTitle = "[lxc monitor] "

func parseMonitor(cmdline []byte) (monitor, bool) {
	rest, ok := strings.CutPrefix(string(bytes.TrimRight(cmdline, "\x00 ")), monitorTitle)
	space := strings.LastIndexByte(rest, ' ') // a directory may contain some, a name can not
	if !ok || space <= 0 || space == len(rest)-1 {
		return monitor{}, false
	}
	return monitor{dir: rest[:space], name: rest[space+1:]}, true
}

// maxClimb bounds the way from a process to the one that started its container.
const maxClimb = 32

// monitorOf climbs from a process of a container to the first ancestor outside of it
// and reads who that is. The container decides nothing here: that ancestor is in another
// cgroup and sits in berth's own PID namespace.
func (w *walk) monitorOf(pid int) (monitor, bool) {
	for range maxClimb {
		child, err := readStatus(pid)
		if err != nil || child.parent <= 0 {
			return monitor{}, false
		}
		parent, err := readStatus(child.parent)
		if err != nil {
			return monitor{}, false
		}
		groups, err := readProc(child.parent, "cgroup", 16<<10)
		if err != nil {
			return monitor{}, false
		}
		if parseCgroups(groups).mark(w.cgroups) != (mark{}) {
			pid = child.parent
			continue
		}
		// Only root's monitors speak for a system-wide container: others may call themselves anything.
		if parent.depth != w.depth || parent.uid != 0 {
			return monitor{}, false
		}
		cmdline, err := readProc(child.parent, "cmdline", 4096)
		if err != nil {
			return monitor{}, false
		}
		// Had the parent ended meanwhile, and its PID been reused, the child would have another one.
		if again, err := readStatus(pid); err != nil || again.parent != child.parent {
			return monitor{}, false
		}
		return parseMonitor(cmdline)
	}
	return monitor{}, false
}

// refine gives the mark of an LXC container its runtime and its name as the operator
// knows it.
func (m monitor) refine(found mark) mark {
	if found.name != m.name && !isSuffixed(found.name, m.name) {
		return found // not this container's monitor
	}
	found.name = m.name
	// LXD and Incus keep theirs in a folder of that name wherever their state lies.
	if path.Base(m.dir) != "containers" {
		return found
	}
	found.runtime = RuntimeLXD
	if strings.Contains(path.Dir(m.dir), "incus") {
		found.runtime = RuntimeIncus
	}
	// PROJECT_NAME: both refuse underscores in the names of projects and instances.
	if i := strings.LastIndexByte(m.name, '_'); i >= 0 {
		found.name = m.name[i+1:] + "." + m.name[:i]
	}
	return found
}

// isSuffixed reports whether LXC made the cgroup called "name-1", "name-2", … because an
// older one was still there.
func isSuffixed(cgroup, name string) bool {
	digits, ok := strings.CutPrefix(cgroup, name+"-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}
