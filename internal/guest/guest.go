// Package guest knows who is plugged in where: it follows the ports of bridges and
// finds, from the kernel alone, the network namespace behind each port and the name
// of the container that owns it. Nothing a guest sends, or keeps in its own files, has a say.
package guest

import (
	"cmp"

	"berth/internal/ipam"
)

// The runtimes a guest's name can come from; "" when nobody is known behind the port.
const (
	RuntimeLXD     = "lxd"
	RuntimeIncus   = "incus"
	RuntimeLXC     = "lxc"
	RuntimeNspawn  = "nspawn"
	RuntimePodman  = "podman"
	RuntimeDocker  = "docker"
	RuntimeNetns   = "netns"   // a file in /run/netns
	RuntimeProcess = "process" // processes that belong to no runtime known here; never named
)

// Guest is what is plugged into one port. A guest with two ports on one bridge is two
// values with the same Namespace. Guests are comparable.
type Guest struct {
	Name      string    // lower-case, "" unknown; "name:nic" for a further port on the same bridge
	MAC       ipam.MAC  // of the guest's own NIC as last read; zero for taps and physical ports
	NIC       string    // the NIC's name inside: the guest chooses it, it may hold any byte but / and NUL
	NICIndex  int       // the NIC's ifindex inside; 0 unknown
	Port      string    // the interface enslaved to the bridge
	PortIndex int       // its ifindex
	Bridge    string    // the bridge's interface name
	Runtime   string    // one of the Runtime constants
	Namespace Namespace // zero when there is none, or none could be found
}

// Namespace says how to reach a guest's network namespace. It is a description, not a
// handle: whoever keeps the namespace open keeps a dead container's interfaces alive, so
// it is opened for each use (Open, Do) and closed at once.
type Namespace struct {
	Inode uint64 // of the namespace, as in "net:[INODE]"
	PID   int    // the guest's first process as berth sees it; 0 for a namespace known by file only
	Start uint64 // when PID started, in clock ticks since boot: tells a reused PID
	Path  string // /proc/PID/ns/net or /run/netns/NAME
}

// IsZero reports whether no namespace is known.
func (ns Namespace) IsZero() bool { return ns == Namespace{} }

// byPlace orders guests by bridge, name and port, unnamed ones last.
func byPlace(a, b Guest) int {
	return cmp.Or(
		cmp.Compare(a.Bridge, b.Bridge),
		-cmp.Compare(min(len(a.Name), 1), min(len(b.Name), 1)),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.PortIndex, b.PortIndex))
}
