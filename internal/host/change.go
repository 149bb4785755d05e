package host

import (
	"fmt"
	"net/netip"

	"berth/internal/ipam"
)

// Action is the kind of a Change.
type Action string

// The actions, in the order in which they happen to one bridge.
const (
	SetSysctl    Action = "set-sysctl"
	CreateBridge Action = "create-bridge"
	AdoptBridge  Action = "adopt-bridge"   // it was there: fix its MAC, keep everything else
	ReclaimOwn   Action = "reclaim-bridge" // berth made it, but the footprint was lost
	AddAddress   Action = "add-address"
	BringUp      Action = "bring-up"
	DropAddress  Action = "drop-address" // one that berth added and nobody wants any more
)

// Change is one step from the observed state to the wanted one.
type Change struct {
	Action Action       `json:"action"`
	Bridge string       `json:"bridge,omitempty"`
	MAC    ipam.MAC     `json:"mac,omitzero"`
	Addr   netip.Prefix `json:"addr,omitzero"`
	Key    string       `json:"key,omitempty"` // of a sysctl: its path below /proc/sys
	From   string       `json:"from,omitempty"`
	To     string       `json:"to,omitempty"`
}

// String is what --dry-run prints.
func (c Change) String() string {
	switch c.Action {
	case SetSysctl:
		if c.From == "" {
			return fmt.Sprintf("set %s = %s", sysctlName(c.Key), c.To)
		}
		return fmt.Sprintf("set %s = %s (was %s)", sysctlName(c.Key), c.To, c.From)
	case CreateBridge:
		return fmt.Sprintf("create bridge %s with hardware address %s", c.Bridge, c.MAC)
	case AdoptBridge:
		return fmt.Sprintf("adopt bridge %s as it is and fix its hardware address %s", c.Bridge, c.MAC)
	case ReclaimOwn:
		return fmt.Sprintf("take back bridge %s, which berth created before", c.Bridge)
	case AddAddress:
		return fmt.Sprintf("add %s to %s", c.Addr, c.Bridge)
	case BringUp:
		return fmt.Sprintf("bring %s up", c.Bridge)
	case DropAddress:
		return fmt.Sprintf("remove %s from %s", c.Addr, c.Bridge)
	}
	return string(c.Action)
}
