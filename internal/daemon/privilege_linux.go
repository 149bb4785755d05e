package daemon

import (
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// checkPrivilege refuses to start without the right to change this namespace's network.
func checkPrivilege() error {
	var header unix.CapUserHeader
	var data [2]unix.CapUserData
	header.Version = unix.LINUX_CAPABILITY_VERSION_3
	if err := unix.Capget(&header, &data[0]); err != nil || data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0 {
		return nil // unknown: the first refusal will say it
	}
	return &ipam.Problem{
		Code: ipam.CodeDenied,
		Text: "only root may change the network of this host",
		Hint: "sudo berth serve; or, to look at what it does without root: berth demo",
	}
}
