package guest

import "berth/internal/ipam"

// view is what is known at one moment, for readers; it never changes.
type view struct {
	guests   []Guest // in order of bridge and name
	byPort   map[int]Guest
	byName   map[nameKey]Guest
	byMAC    map[macKey]int // how many guests' own NICs have it: they choose it, so it may be several
	warnings ipam.Problems

	unsettled map[int]bool // ports worth another look
	peers     map[int]int  // far ends that are still in berth's own namespace: ifindex to port
}

type nameKey struct{ bridge, name string }

type macKey struct {
	bridge string
	mac    ipam.MAC
}

func newView() *view {
	return &view{
		byPort:    make(map[int]Guest),
		byName:    make(map[nameKey]Guest),
		byMAC:     make(map[macKey]int),
		unsettled: make(map[int]bool),
		peers:     make(map[int]int),
	}
}

func (v *view) add(p *port, name string) {
	g := p.guest(name)
	v.guests = append(v.guests, g)
	v.byPort[p.index] = g
	if name != "" {
		v.byName[nameKey{p.bridge, name}] = g
	}
	if !g.MAC.IsZero() {
		v.byMAC[macKey{p.bridge, g.MAC}]++
	}
	if !p.isSettled() {
		v.unsettled[p.index] = true
	}
	if p.kind == "veth" && p.nsid == noNamespace && p.peer != 0 {
		v.peers[p.peer] = p.index
	}
}

// changesFrom lists what happened since old: those gone first, so that a guest which came back
// under another port is seen to go and to come.
func (v *view) changesFrom(old *view) []Event {
	var gone, changed, come []Event
	for index, was := range old.byPort {
		is, ok := v.byPort[index]
		switch {
		case ok && is == was:
		case ok && isSamePlace(was, is):
			changed = append(changed, Event{Kind: Changed, Guest: is, Was: was})
		default:
			gone = append(gone, Event{Kind: Removed, Guest: was})
			if ok {
				come = append(come, Event{Kind: Added, Guest: is})
			}
		}
	}
	for index, is := range v.byPort {
		if _, ok := old.byPort[index]; !ok {
			come = append(come, Event{Kind: Added, Guest: is})
		}
	}
	return append(append(gone, changed...), come...)
}

// isSamePlace reports whether two states of a port are of the same guest.
func isSamePlace(was, is Guest) bool {
	return was.Bridge == is.Bridge && was.Port == is.Port &&
		(was.Namespace.Inode == is.Namespace.Inode || was.Namespace.IsZero() || is.Namespace.IsZero())
}
