package guest

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// space is a network namespace that ports lead to, as found by a walk.
type space struct {
	nsid int
	ns   Namespace
	mark mark
	seq  uint64 // order of discovery: of two that claim a name the first one has it
	dead bool   // its namespace is gone though a port still leads there
}

// walk is one pass over /run/netns and /proc in search of namespaces.
type walk struct {
	kernel  *kernel
	cgroups cgroups // berth's own
	depth   int     // of berth's own PID namespace
	self    uint64  // berth's own network namespace
	found   map[int]*finding
	inodes  map[uint64]*finding // of each namespace met; nil: not looked for
	missing int                 // namespaces not known by their own init yet
}

// find looks for the namespaces numbered wanted; those it can not find are absent from the
// result. Their order of discovery and liveness are the caller's.
func find(k *kernel, wanted []int) (map[int]space, error) {
	w := &walk{kernel: k, found: make(map[int]*finding), inodes: make(map[uint64]*finding), missing: len(wanted)}
	for _, nsid := range wanted {
		w.found[nsid] = &finding{space: space{nsid: nsid}}
	}
	if err := w.lookAtSelf(); err != nil {
		return nil, err
	}
	w.lookAtFiles()
	if err := w.lookAtProcesses(); err != nil {
		return nil, err
	}
	spaces := make(map[int]space)
	for nsid, f := range w.found {
		if f.rank == unknown {
			continue
		}
		if f.mark.runtime == RuntimeLXC {
			if m, ok := w.monitorOf(f.ns.PID); ok {
				f.mark = m.refine(f.mark)
			}
		}
		// Last of all, since numbers, inodes and PIDs may all have been given away meanwhile.
		if f.space.isCurrent(k) {
			spaces[nsid] = f.space
		}
	}
	return spaces, nil
}

func (w *walk) lookAtSelf() error {
	own, err := readStatus(os.Getpid())
	if err != nil {
		return err
	}
	w.depth = own.depth
	groups, err := readProc(os.Getpid(), "cgroup", 16<<10)
	if err != nil {
		return err
	}
	w.cgroups = parseCgroups(groups)
	w.self, err = readNamespaceLink("/proc/thread-self/ns/net")
	return err
}

const namedNamespaces = "/run/netns/"

func (w *walk) lookAtFiles() {
	entries, err := os.ReadDir(namedNamespaces)
	if err != nil {
		return // nobody on this host has named one
	}
	for _, entry := range entries {
		name := entry.Name()
		f := w.meet(namedNamespaces+name, 0)
		if f == nil {
			continue
		}
		r := namedFile
		if isGenerated(name) {
			r = generated
		}
		if r > f.rank {
			f.rank, f.mark = r, mark{RuntimeNetns, name}
			f.ns = Namespace{Inode: f.ns.Inode, Path: namedNamespaces + name}
		}
	}
}

// isGenerated reports whether a container engine made the name up ("cni-UUID",
// "netns-UUID"): the container has a better one.
func isGenerated(name string) bool {
	const uuid = 36
	for _, prefix := range []string{"cni-", "netns-"} {
		if len(name) == len(prefix)+uuid && name[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// fewWanted is up to how many namespaces are expected to be new ones, whose
// processes have the highest PIDs.
const fewWanted = 8

func (w *walk) lookAtProcesses() error {
	pids, err := listProcesses()
	if err != nil {
		return err
	}
	if len(w.found) <= fewWanted {
		slices.Reverse(pids)
	}
	for _, pid := range pids {
		if w.missing == 0 {
			return nil
		}
		inode, err := namespaceOf(pid, "net")
		if err != nil || inode == w.self {
			continue // a kernel thread, a zombie, gone, or the host's
		}
		f, met := w.inodes[inode]
		if !met {
			f = w.meet("/proc/"+strconv.Itoa(pid)+"/ns/net", inode)
		}
		if f != nil && f.rank < ownInit {
			w.consider(f, pid)
		}
	}
	return nil
}

// meet opens the namespace at path for a moment and gives the finding it belongs to, nil
// when nobody looks for it. inode is what the path led to a moment ago, 0 unknown.
func (w *walk) meet(path string, inode uint64) *finding {
	fd, err := openNamespace(path)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	opened, err := inodeOf(fd)
	if err != nil || inode != 0 && opened != inode || opened == w.self {
		return nil
	}
	if f, met := w.inodes[opened]; met {
		return f
	}
	nsid, err := w.kernel.nsid(fd)
	if err != nil {
		return nil
	}
	f := w.found[nsid]
	w.inodes[opened] = f
	if f != nil {
		f.ns.Inode = opened
		f.owner = ownerOf(fd)
	}
	return f
}

// isCurrent reports whether the namespace still is the one the space was found for.
func (s *space) isCurrent(k *kernel) bool {
	fd, err := s.ns.open()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	nsid, err := k.nsid(fd)
	return err == nil && nsid == s.nsid
}
