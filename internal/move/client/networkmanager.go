package client

import "strings"

// networkManager is recognised by what it says of the device. It has no call that renews a lease, and
// Reapply brings the old address back; left alone it rebinds to the new one without a gap.
func networkManager(s *scene) (Client, claim) {
	if len(s.called("NetworkManager")) == 0 {
		return nil, absent
	}
	device := s.read("run/NetworkManager/devices")
	switch {
	case device == "":
		return waiting{"NetworkManager"}, running
	case value(device, "managed") != "true" || !strings.Contains(device, "[dhcp4]"):
		return nil, absent // another's, or set by hand
	}
	return waiting{"NetworkManager"}, claimed
}
