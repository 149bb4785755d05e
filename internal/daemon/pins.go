package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
	"berth/internal/pinfile"
)

// defaultWait is how long a command waits for a guest that just starts to have its address.
const defaultWait = 10 * time.Second

// Pin implements control.Daemon. ctx bounds the waiting only: what was begun is finished.
func (d *Daemon) Pin(ctx context.Context, req control.PinRequest) (control.Outcome, error) {
	began := time.Now()
	h, err := d.parseHolder(req.Name)
	if err != nil {
		return control.Outcome{}, err
	}
	if req.Drain != nil && (*req.Drain < 0 || *req.Drain > control.MaxDrain) {
		return control.Outcome{}, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("a drain of %s is not possible", *req.Drain), Hint: fmt.Sprintf("from 0 to %s", control.MaxDrain)}
	}
	n, err := d.placeFor(req.Addr)
	if err != nil {
		return control.Outcome{}, err
	}
	edit := func() ([]pinfile.Edit, error) {
		if err := d.ownedByAnother(h, req.Addr); err != nil {
			return nil, err
		}
		line := h // whose line is edited: one for its hardware address may carry its name
		for _, p := range d.pinsOf(h) {
			switch {
			case !n.Subnet.Contains(p.Addr):
			case !d.isGiven(p):
				line = p.Holder
			case p.Addr == req.Addr:
				return nil, nil // it is so already
			default:
				return nil, notOurs(p)
			}
		}
		return []pinfile.Edit{{Holder: line, Addr: req.Addr, Network: n.Subnet}}, nil
	}
	out, settled, err := d.changePins(ctx, edit, changeOptions{
		dryRun: req.DryRun, drain: req.Drain, began: began, subjects: []subject{{n, h}},
	})
	if err != nil || req.DryRun {
		return out, err
	}
	return d.awaitGuest(ctx, out, n, h, settled, req)
}

// Unpin implements control.Daemon.
func (d *Daemon) Unpin(ctx context.Context, req control.UnpinRequest) (control.Outcome, error) {
	began := time.Now()
	h, err := d.parseHolder(req.Name)
	if err != nil {
		return control.Outcome{}, err
	}
	edit := func() ([]pinfile.Edit, error) {
		var edits []pinfile.Edit
		for _, p := range d.pinsOf(h) {
			if d.isGiven(p) {
				return nil, notOurs(p)
			}
			edits = append(edits, pinfile.Edit{Holder: p.Holder})
		}
		if len(edits) == 0 {
			return nil, notPinned(h)
		}
		return edits, nil
	}
	out, _, err := d.changePins(ctx, edit, changeOptions{dryRun: req.DryRun, began: began, subjects: d.subjects(h)})
	return out, err
}

// Swap implements control.Daemon.
func (d *Daemon) Swap(ctx context.Context, req control.SwapRequest) (control.Outcome, error) {
	began := time.Now()
	var holders [2]ipam.Holder
	for i, name := range req.Names {
		h, err := d.parseHolder(name)
		if err != nil {
			return control.Outcome{}, err
		}
		holders[i] = h
	}
	if holders[0] == holders[1] {
		return control.Outcome{}, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s can not be swapped with itself", holders[0]), Hint: "berth swap NAME OTHER"}
	}
	edit := func() ([]pinfile.Edit, error) {
		a, err := d.onePin(holders[0])
		if err != nil {
			return nil, err
		}
		b, err := d.onePin(holders[1])
		if err != nil {
			return nil, err
		}
		for _, p := range []ipam.Pin{a, b} {
			if d.isGiven(p) {
				return nil, notOurs(p)
			}
		}
		n := d.networks().Containing(a.Addr)
		if !n.Subnet.Contains(b.Addr) {
			return nil, &ipam.Problem{
				Code: ipam.CodeUsage, Text: fmt.Sprintf("%s (%s) and %s (%s) are on different networks", a.Holder, a.Addr, b.Holder, b.Addr),
				Hint: "only guests of one network can swap; pin each of them by itself",
			}
		}
		return []pinfile.Edit{{Holder: a.Holder, Addr: b.Addr, Network: n.Subnet}, {Holder: b.Holder, Addr: a.Addr, Network: n.Subnet}}, nil
	}
	out, _, err := d.changePins(ctx, edit, changeOptions{dryRun: req.DryRun, drain: req.Drain, began: began, subjects: d.subjects(holders[:]...)})
	return out, err
}

// parseHolder reads a guest's name, in which a network's domain may follow, or hardware address.
func (d *Daemon) parseHolder(name string) (ipam.Holder, error) {
	name = d.withoutDomain(name)
	if mac, err := ipam.ParseMAC(name); err == nil {
		return ipam.ByMAC(mac), nil
	}
	if err := ipam.CheckName(name); err != nil {
		return ipam.Holder{}, &ipam.Problem{
			Code: ipam.CodeUsage, Err: err, Text: fmt.Sprintf("%q is no guest's name: %v", name, err),
			Hint: "letters, digits, hyphens and underscores; a second interface is NAME:NIC; or a hardware address",
		}
	}
	return ipam.ByName(name), nil
}

// withoutDomain is the name without the domain of a network: cent01.lxd is cent01, unless a
// guest is really called so.
func (d *Daemon) withoutDomain(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, n := range d.networks() {
		base, ok := strings.CutSuffix(name, "."+n.Domain)
		if !ok || n.Domain == "" || base == "" {
			continue
		}
		h := ipam.ByName(name)
		_, plugged := d.index.ByName(n.Name, name)
		_, leased := d.ledger.Lease(n.Name, h)
		if !plugged && !leased && len(d.pinsOf(h)) == 0 {
			return base
		}
	}
	return name
}

// placeFor is the network where a guest may have the address.
func (d *Daemon) placeFor(a netip.Addr) (*ipam.Network, error) {
	if !a.Is4() {
		return nil, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s: only IPv4 addresses can be pinned by this version", a), Hint: "berth pin NAME 10.64.177.101"}
	}
	n := d.networks().Containing(a)
	if n == nil {
		_, problems := ipam.ResolvePins([]ipam.Pin{{Addr: a}}, d.networks(), func(string, netip.Addr) ipam.Holder { return ipam.Holder{} })
		return nil, problems
	}
	if refused := n.Refuse(a); refused != nil {
		return nil, refused
	}
	return n, nil
}

// pinsOf are the pins in force of a holder, also those for a hardware address that carry its name.
func (d *Daemon) pinsOf(h ipam.Holder) []ipam.Pin {
	return slices.DeleteFunc(d.ledger.Pins(), func(p ipam.Pin) bool { return !isOf(p, h) })
}

func isOf(p ipam.Pin, h ipam.Holder) bool {
	return p.Holder == h || p.Holder.Guest == "" && h.IsGuest() && strings.EqualFold(p.Name, h.Guest)
}

func (d *Daemon) onePin(h ipam.Holder) (ipam.Pin, error) {
	switch pins := d.pinsOf(h); len(pins) {
	case 0:
		return ipam.Pin{}, notPinned(h)
	case 1:
		return pins[0], nil
	default:
		return ipam.Pin{}, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s is pinned on %d networks", h, len(pins)), Hint: "berth pin each of the two to the other's address, in one save of the pins file"}
	}
}

func notPinned(h ipam.Holder) error {
	return &ipam.Problem{Code: ipam.CodeNotFound, Text: fmt.Sprintf("%s is not pinned", h), Hint: "berth ls shows who is"}
}

// ownedByAnother refuses an address that is pinned to somebody else, and names both owners.
func (d *Daemon) ownedByAnother(h ipam.Holder, a netip.Addr) error {
	for _, p := range d.ledger.Pins() {
		if p.Addr != a || isOf(p, h) {
			continue
		}
		hint := fmt.Sprintf("berth unpin %s, or choose another address for %s", p.Holder, h)
		if len(d.pinsOf(h)) > 0 {
			hint = fmt.Sprintf("berth swap %s %s, or choose another address for %s", p.Holder, h, h)
		}
		if d.isGiven(p) {
			hint = fmt.Sprintf("change the line in %s, or choose another address for %s", p.Source.File, h)
		}
		return &ipam.Problem{Code: ipam.CodeConflict, Text: fmt.Sprintf("%s is pinned to %s (%s), so %s can not have it", a, p.Holder, p.Source, h), Hint: hint}
	}
	return nil
}
