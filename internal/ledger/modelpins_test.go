package ledger_test

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"berth/internal/ipam"
	"berth/internal/ledger"
)

func cmpHolder(a, b ipam.Holder) int {
	return cmp.Or(strings.Compare(a.Guest, b.Guest), slices.Compare(a.MAC[:], b.MAC[:]))
}

// concerned is somebody whose address may change with the pins.
type concerned struct {
	holder ipam.Holder
	mac    ipam.MAC
	before netip.Addr // by pin or lease
	lease  naiveLease
	leased bool
	home   bool // it has one without being given a new one
}

// apply sets pins and checks what comes of it: the pins hold, whoever is not concerned keeps what it has, and who has to
// leave gets something that is free, or what has been idle longest, or nothing when there is none.
func (m *machine) apply(t *rapid.T, wish map[ipam.Holder]netip.Addr) ledger.Change {
	m.wish = wish
	wished := lines(wish)
	model := m.model
	effective, problems := ipam.ResolvePins(wished, m.bench.nets, func(_ string, a netip.Addr) ipam.Holder {
		if h, ok := model.pinnedTo(a); ok {
			return h
		}
		h, _ := model.owner(a)
		return h
	})
	pins := map[ipam.Holder]netip.Addr{}
	for _, p := range effective {
		pins[p.Holder] = p.Addr
	}
	due := model.concernedBy(effective)
	was := model.pins
	model.pins = pins

	change, err := m.bench.SetPins(t.Context(), wished)
	if err != nil {
		t.Fatal(err)
	}
	model.renumbered = false
	for i := range due {
		model.settle(&due[i])
	}
	for _, d := range due {
		model.vacate(d)
	}
	lost := m.rehouse(t, due)
	for h, a := range pins {
		if was[h] != a {
			delete(model.offers, h)
		}
	}
	if want := len(problems) + lost; len(change.Problems) != want {
		t.Fatalf("%d problems, want %d refused and %d without an address: %v", len(change.Problems), len(problems), lost, change.Problems)
	}
	m.depart(t, due, change)
	return change
}

// concernedBy collects whom other pins concern: first by those that go, then by those that come, then by the networks.
func (m *naive) concernedBy(effective []ipam.Pin) []concerned {
	var due []concerned
	concern := func(h ipam.Holder) {
		if slices.ContainsFunc(due, func(d concerned) bool { return d.holder == h }) {
			return
		}
		d := concerned{holder: h, mac: m.knownMAC(h)}
		d.lease, d.leased = m.leases[h]
		if a, ok := m.pinOf(h, d.mac); ok {
			d.before = a
		} else {
			d.before = d.lease.addr
		}
		due = append(due, d)
	}
	byAddr := func(holders map[ipam.Holder]netip.Addr) []ipam.Holder {
		return slices.SortedFunc(maps.Keys(holders), func(x, y ipam.Holder) int { return holders[x].Compare(holders[y]) })
	}
	removed := maps.Clone(m.pins)
	for _, p := range effective {
		delete(removed, p.Holder)
	}
	for _, h := range byAddr(removed) {
		concern(m.clientOf(h))
	}
	for _, p := range effective {
		if a, ok := m.pins[p.Holder]; ok && a != p.Addr {
			concern(m.clientOf(p.Holder))
		}
	}
	for _, p := range effective {
		if m.pins[p.Holder] == p.Addr {
			continue
		}
		concern(m.clientOf(p.Holder))
		if owner, ok := m.owner(p.Addr); ok {
			concern(owner)
		}
	}
	displaced := map[ipam.Holder]netip.Addr{}
	for h, l := range m.leases {
		if m.renumbered && !m.usable(l.addr) {
			displaced[h] = l.addr
		}
	}
	for _, h := range byAddr(displaced) {
		concern(h)
	}
	return due
}

// settle gives one the address that follows from its pin, or lets it keep its own.
func (m *naive) settle(d *concerned) {
	d.home = true
	a, pinned := m.pinOf(d.holder, d.mac)
	_, runs := m.running[d.holder]
	_, gone := m.pinnedTo(d.lease.addr)
	switch {
	case pinned:
		if d.leased {
			d.lease.addr = a
			m.leases[d.holder] = d.lease
		}
	case !d.leased:
		_, owned := m.owner(d.before)
		if _, taken := m.pinnedTo(d.before); runs && d.before.IsValid() && m.usable(d.before) && !owned && !taken {
			mac := d.holder.MAC
			m.leases[d.holder] = naiveLease{addr: d.before, expiry: m.now, idle: true, mac: mac}
		}
	case gone:
		d.home = false
	case !m.usable(d.lease.addr):
		d.home = !runs
	}
}

// vacate keeps for a while what a running one still has.
func (m *naive) vacate(d concerned) {
	from, runs := m.running[d.holder]
	if !runs {
		return
	}
	_, owned := m.owner(from)
	_, pinned := m.pinnedTo(from)
	until := m.now.Add(40 * time.Second)
	if b, ok := m.blocks[from]; !owned && !pinned && (!ok || b.until.Before(until)) {
		m.blocks[from] = naiveBlock{d.holder, until, false}
	}
}

// rehouse checks where those went who had to leave, and has the model follow. It counts who lost their address.
func (m *machine) rehouse(t *rapid.T, due []concerned) (lost int) {
	model := m.model
	var homeless []concerned
	for _, d := range due {
		if !d.home {
			homeless = append(homeless, d)
			delete(model.leases, d.holder)
		}
	}
	reclaimable := model.reclaimable()
	given := map[netip.Addr]bool{}
	isTakenBack := map[ipam.Holder]bool{}
	unhoused := false
	for _, d := range homeless {
		got, ok := m.bench.Lease(br, d.holder)
		_, runs := model.running[d.holder]
		idle := model.isIdle(d.lease) && !runs
		if !ok {
			if unhoused = true; !idle {
				lost++
			}
			continue
		}
		if owner, owned := model.owner(got.Addr); owned && !isTakenBack[owner] {
			if idle || !slices.Contains(reclaimable, owner) {
				t.Fatalf("%s was given %s, which is %s's", d.holder, got.Addr, owner)
			}
			isTakenBack[owner] = true
			delete(model.leases, owner)
		}
		if given[got.Addr] || !model.isFree(got.Addr) {
			t.Fatalf("%s was given %s, which is not free", d.holder, got.Addr)
		}
		given[got.Addr] = true
	}
	for _, d := range homeless {
		if got, ok := m.bench.Lease(br, d.holder); ok {
			d.lease.addr = got.Addr
			model.leases[d.holder] = d.lease
		}
	}
	if unhoused && model.anyFree() {
		t.Fatalf("somebody lost an address though one is free: %+v", homeless)
	}
	rest := model.reclaimable()
	if lost > 0 && len(rest) > 0 {
		t.Fatalf("somebody lost an address though %v is idle", rest)
	}
	// The longest idle go first.
	for _, h := range reclaimable {
		if _, still := model.leases[h]; still && len(isTakenBack) > 0 && slices.Contains(rest, h) {
			t.Fatalf("%s, idle since %s, kept its address, but not %v", h, model.leases[h].expiry, isTakenBack)
		}
		delete(isTakenBack, h)
	}
	return lost
}

// depart has the names of those who run with another address than they shall have wait, and checks the moves.
func (m *machine) depart(t *rapid.T, due []concerned, change ledger.Change) {
	model := m.model
	want := map[ipam.Holder]netip.Addr{}
	for _, d := range due {
		delete(model.moving, d.holder)
		to, ok := model.pinOf(d.holder, d.mac)
		if !ok {
			to = model.leases[d.holder].addr
		}
		from, runs := model.running[d.holder]
		if runs && to.IsValid() && from != to {
			model.moving[d.holder] = from
		}
		if !runs {
			from = d.before
		}
		if to.IsValid() && from != to {
			want[d.holder] = to
		}
	}
	got := map[ipam.Holder]netip.Addr{}
	for _, r := range change.Moves {
		got[r.Holder] = r.To
	}
	if !maps.Equal(got, want) {
		t.Fatalf("moves %v, want %v", got, want)
	}
}
