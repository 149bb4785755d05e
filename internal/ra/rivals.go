package ra

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

const (
	// rivalMemory is for how long another router is reported that is not heard again: none is silent for longer
	// (MaxRtrAdvInterval of RFC 4861 §6.2.1).
	rivalMemory = 30 * time.Minute
	// maxRivals bounds what a guest that calls itself many routers can have us remember and report.
	maxRivals = 16
)

// heard is an advertisement on the bridge that is not ours.
type heard struct {
	packet
	mac ipam.MAC // of the frame, which its sender chose
}

type rivalKey struct {
	from netip.Addr
	mac  ipam.MAC
}

type rival struct {
	lifetime time.Duration
	seen     time.Time
}

// rivals are the other routers that advertise on the bridge. They are ignored but for being told of.
type rivals struct{ known map[rivalKey]rival }

// add notes an advertisement; it reports whether its sender was not known yet.
func (r *rivals) add(h heard, lifetime time.Duration, now time.Time) bool {
	r.forget(now)
	key := rivalKey{h.from.WithZone(""), h.mac}
	before, known := r.known[key]
	switch {
	case known && before.lifetime > 0 && lifetime == 0:
		delete(r.known, key) // says farewell (RFC 4861 §6.2.5)
		return false
	case !known && len(r.known) >= maxRivals:
		return false
	case r.known == nil:
		r.known = make(map[rivalKey]rival)
	}
	r.known[key] = rival{lifetime, now}
	return !known
}

func (r *rivals) forget(now time.Time) {
	for key, rival := range r.known {
		if now.Sub(rival.seen) >= rivalMemory {
			delete(r.known, key)
		}
	}
}

// problems tells of those heard lately, ordered by text. own is the address that we advertise from.
func (r *rivals) problems(bridge string, own netip.Addr, now time.Time) ipam.Problems {
	r.forget(now)
	var problems ipam.Problems
	for key, rival := range r.known {
		p := &ipam.Problem{
			Code: ipam.CodeConflict,
			Text: fmt.Sprintf("another router advertises itself on %s: %s, from %s", bridge, key.from, key.mac),
			Hint: fmt.Sprintf("find its port, and stop radvd or dnsmasq there: bridge fdb show br %s | grep %s", bridge, key.mac),
		}
		switch {
		case key.from == own:
			p.Text = fmt.Sprintf("%s sends router advertisements on %s in the name of this host (%s)", key.mac, bridge, key.from)
			p.Hint = fmt.Sprintf("find its port, and stop what does it: bridge fdb show br %s | grep %s", bridge, key.mac)
		case rival.lifetime > 0:
			p.Text += "; guests may take it for their default router"
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, func(a, b *ipam.Problem) int { return cmp.Compare(a.Text, b.Text) })
	return problems
}
