package ledger

import (
	"slices"
	"strings"

	"berth/internal/ipam"
)

// nameIndex finds what a network's names stand for. It follows the shown book change by change.
type nameIndex struct {
	entries map[string][]nameEntry
	below   map[string]map[string]struct{} // the names of entries that lie below this one
}

// nameEntry is a pin or a lease that a name stands for.
type nameEntry struct {
	pin   *pin
	lease *binding
}

func newNameIndex() *nameIndex {
	return &nameIndex{entries: map[string][]nameEntry{}, below: map[string]map[string]struct{}{}}
}

// leaseName is the DNS name of a lease, "" for none. Only a guest on its own NIC has
// one, or, where host names are trusted, a client that nobody can name.
func leaseName(l *binding, trust bool) string {
	switch {
	case l.Holder.IsGuest():
		return ipam.DNSName(l.Holder.Guest)
	case trust && l.Holder.Guest == "":
		return l.Hostname
	}
	return ""
}

// pinNames are the names of a pin: the one on its line, and its guest's.
func pinNames(p *pin) (name, guest string) {
	name = p.DNSName()
	if p.Holder.IsGuest() {
		if guest = ipam.DNSName(p.Holder.Guest); guest == name {
			guest = ""
		}
	}
	return name, guest
}

// replace takes the names of what was away and adds those of what is.
func (x *nameIndex) replace(was, is op) {
	if was.pin != nil {
		name, guest := pinNames(was.pin)
		x.remove(name, nameEntry{pin: was.pin})
		x.remove(guest, nameEntry{pin: was.pin})
	}
	if was.lease != nil {
		x.remove(leaseName(was.lease, true), nameEntry{lease: was.lease})
	}
	x.addOp(is)
}

func (x *nameIndex) addOp(o op) {
	if o.pin != nil {
		name, guest := pinNames(o.pin)
		x.add(name, nameEntry{pin: o.pin})
		x.add(guest, nameEntry{pin: o.pin})
	}
	if o.lease != nil {
		x.add(leaseName(o.lease, true), nameEntry{lease: o.lease})
	}
}

// maxClaims is how many clients that nobody can name are remembered for one name that they claim:
// it is theirs to choose, and must not make everybody's look-ups long.
const maxClaims = 16

func (x *nameIndex) add(name string, e nameEntry) {
	if name == "" {
		return
	}
	entries := x.entries[name]
	if e.isClaim() && len(entries) >= maxClaims {
		if last := lastClaim(entries); last >= 0 && e.lease.Start.Before(entries[last].lease.Start) {
			entries[last] = e
		}
		return
	}
	x.entries[name] = append(entries, e)
	if len(entries) > 0 {
		return
	}
	for _, rest, ok := strings.Cut(name, "."); ok; _, rest, ok = strings.Cut(rest, ".") {
		if x.below[rest] == nil {
			x.below[rest] = map[string]struct{}{}
		}
		x.below[rest][name] = struct{}{}
	}
}

func (e nameEntry) isClaim() bool { return e.lease != nil && !e.lease.Holder.IsGuest() }

// lastClaim is the place of the claim made last, -1 when all entries are pins and guests.
func lastClaim(entries []nameEntry) int {
	last := -1
	for i, e := range entries {
		if e.isClaim() && (last < 0 || entries[last].lease.Start.Before(e.lease.Start)) {
			last = i
		}
	}
	return last
}

func (x *nameIndex) remove(name string, e nameEntry) {
	i := slices.Index(x.entries[name], e)
	if name == "" || i < 0 {
		return
	}
	if rest := slices.Delete(x.entries[name], i, i+1); len(rest) > 0 {
		x.entries[name] = rest
		return
	}
	delete(x.entries, name)
	for _, rest, ok := strings.Cut(name, "."); ok; _, rest, ok = strings.Cut(rest, ".") {
		if delete(x.below[rest], name); len(x.below[rest]) == 0 {
			delete(x.below, rest)
		}
	}
}
