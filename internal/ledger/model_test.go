package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal/crashfs"
)

// TestModel does at random what can be done to a ledger, and to a naive one beside it: pins, leases, offers,
// full ranges, evictions, swaps, drains, renumbering, failing disks, crashes.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		defer m.bench.Close()
		t.Repeat(map[string]func(*rapid.T){
			"offer":    m.offer,
			"bind":     m.bind,
			"lease":    m.leaseAll,
			"renew":    m.renewWhileTheDiskFails,
			"release":  m.release,
			"decline":  m.decline,
			"drain":    m.drain,
			"pins":     m.setPins,
			"swap":     m.swapPins,
			"failing":  m.failingDisk,
			"plan":     m.planPins,
			"renumber": m.renumber,
			"run":      m.startOrStop,
			"arrive":   m.arrive,
			"time":     m.passTime,
			"crash":    m.crash,
			"":         m.check,
		})
	})
}

// machine is the ledger and its model.
type machine struct {
	bench *bench
	disk  *crashfs.FS
	model *naive
	wish  map[ipam.Holder]netip.Addr // the pins as last wished
}

const modelGuests = 12

func modelNets() ipam.Networks {
	return ipam.Networks{
		network(br, "10.9.0.1/24", "10.9.0.100", "10.9.0.107"),
		network(br, "10.9.0.1/24", "10.9.0.104", "10.9.0.109"),
		network(br, "10.7.0.1/24", "10.7.0.100", "10.7.0.105"),
	}
}

func newMachine(t *rapid.T) *machine {
	m := &machine{wish: map[ipam.Holder]netip.Addr{}, disk: crashfs.New()}
	m.bench = &bench{t: t, disk: m.disk, clock: newClock(), running: map[ipam.Holder]netip.Addr{}, nets: modelNets()[:1]}
	m.bench.open()
	m.model = newNaive(m.bench.nets[0], m.bench.clock.Now())
	return m
}

// guest draws a client: mostly few, so that they meet.
func (m *machine) guest(t *rapid.T) ipam.Client {
	return client(fmt.Sprint("g", rapid.IntRange(0, modelGuests-1).Draw(t, "guest")))
}

// place draws an address, in the range or near it, and sometimes an impossible one.
func (m *machine) place(t *rapid.T) netip.Addr {
	last := rapid.SampledFrom([]byte{100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 50, 51, 1, 255}).Draw(t, "address")
	a := m.model.net.Gateway.As4()
	a[3] = last
	return netip.AddrFrom4(a)
}

// tick has time pass after each action, so that nothing depends on how often a full range is gone through.
func (m *machine) tick() { m.pass(1100 * time.Millisecond) }

func (m *machine) pass(d time.Duration) {
	m.bench.clock.pass(d)
	m.model.pass(m.bench.clock.Now())
}

func (m *machine) offer(t *rapid.T) {
	m.tick()
	c, requested := m.guest(t), m.place(t)
	m.offerTo(t, c, requested)
}

func (m *machine) offerTo(t *rapid.T, c ipam.Client, requested netip.Addr) (netip.Addr, bool) {
	want, origin := m.model.entitled(c)
	e, err := m.bench.Offer(br, c, requested)
	if want.IsValid() {
		if err != nil || e.Addr != want || e.Origin != origin {
			t.Fatalf("offered %s by %s (%v) to %s, which is entitled to %s by %s", e.Addr, e.Origin, err, c.Holder, want, origin)
		}
		return e.Addr, true
	}
	last, held := m.model.offers[c.Holder]
	victims := m.model.reclaimable()
	switch {
	case held && m.model.mayHave(c, last.addr):
		want = last.addr
	case m.model.isFree(requested):
		want = requested
	case m.model.anyFree():
		if err != nil || !m.model.isFree(e.Addr) {
			t.Fatalf("offered %s (%v) to %s, which is not free", e.Addr, err, c.Holder)
		}
		want = e.Addr
	case len(victims) > 0:
		want = m.model.leases[victims[0]].addr
	default:
		if !errors.Is(err, ledger.ErrFull) {
			t.Fatalf("offered %s (%v) to %s, though nothing is free", e.Addr, err, c.Holder)
		}
		return netip.Addr{}, false
	}
	if err != nil || e.Addr != want || e.Origin != ipam.FromOffer {
		t.Fatalf("offered %s by %s (%v) to %s, want %s", e.Addr, e.Origin, err, c.Holder, want)
	}
	if !held || last.addr != want || last.until.Sub(m.model.now) <= 30*time.Second {
		m.model.offers[c.Holder] = naiveOffer{want, m.model.now.Add(time.Minute)}
	}
	return want, true
}

// allowed reports whether Bind is to say yes.
func (m *machine) allowed(c ipam.Client, a netip.Addr) bool {
	if due, _ := m.model.entitled(c); due.IsValid() {
		return due == a
	}
	return m.model.mayHave(c, a)
}

func (m *machine) bind(t *rapid.T) {
	m.tick()
	c, a := m.guest(t), m.place(t)
	if o, ok := m.model.offers[c.Holder]; ok && rapid.Bool().Draw(t, "what it was offered") {
		a = o.addr
	}
	m.bindTo(t, c, a)
}

func (m *machine) bindTo(t *rapid.T, c ipam.Client, a netip.Addr) {
	allowed := m.allowed(c, a)
	err := m.bench.bind(c, a)
	if allowed && err != nil || !allowed && !errors.Is(err, ledger.ErrTaken) {
		t.Fatalf("bind %s to %s: %v, allowed is %v", c.Holder, a, err, allowed)
	}
	if allowed {
		m.model.bind(c, a)
		delete(m.model.offers, c.Holder)
	}
}

// leaseAll fills the range.
func (m *machine) leaseAll(t *rapid.T) {
	m.tick()
	for range rapid.IntRange(1, modelGuests).Draw(t, "clients") {
		c := m.guest(t)
		if a, ok := m.offerTo(t, c, netip.Addr{}); ok {
			m.bindTo(t, c, a)
		}
		m.tick()
	}
}

// eio fails every operation of the disk.
func eio(string, string) error { return syscall.EIO }

// mend has something stored, so that the journal is whole again.
func (m *machine) mend(t *rapid.T) {
	m.disk.Fail(nil)
	a := m.model.net.Gateway.As4()
	a[3] = 200
	if err := m.bench.Drain(t.Context(), br, netip.AddrFrom4(a), ipam.ByName("mender"), m.model.now.Add(time.Millisecond)); err != nil {
		t.Fatal("the journal does not heal:", err)
	}
}

func (m *machine) renewWhileTheDiskFails(t *rapid.T) {
	m.tick()
	c, a := m.guest(t), m.place(t)
	if e := m.bench.Entitled(br, c); e.Addr.IsValid() {
		a = e.Addr
	}
	allowed := m.allowed(c, a)
	due, _ := m.model.entitled(c)
	m.disk.Fail(eio)
	err := m.bench.bind(c, a)
	switch {
	case !allowed && !errors.Is(err, ledger.ErrTaken),
		allowed && due == a && err != nil,
		allowed && due != a && !errors.Is(err, ledger.ErrDisk):
		t.Fatalf("bind %s to %s on a failed disk: %v; allowed is %v, and it is entitled to %s", c.Holder, a, err, allowed, due)
	}
	m.mend(t)
	if !allowed {
		return
	}
	delete(m.model.offers, c.Holder)
	if due != a {
		return
	}
	owner, owned := m.model.owner(a)
	speaker := m.model.clientOf(ipam.ByMAC(c.PinMAC))
	_, spoken := m.model.leases[speaker]
	if (!owned || owner == c.Holder) && (!spoken || speaker == c.Holder) {
		m.model.bind(c, a)
	}
}

func (m *machine) release(t *rapid.T) {
	m.tick()
	c, a := m.guest(t), m.place(t)
	l, ok := m.model.leases[c.Holder]
	if ok && rapid.Bool().Draw(t, "its own") {
		a = l.addr
	}
	if err := m.bench.Release(t.Context(), br, c.Holder, a); err != nil {
		t.Fatal(err)
	}
	if ok && l.addr == a && !l.idle {
		l.idle, l.expiry, l.acked = true, m.model.now, netip.Addr{}
		m.model.leases[c.Holder] = l
	}
}

func (m *machine) decline(t *rapid.T) {
	m.tick()
	c, a := m.guest(t), m.place(t)
	l, leased := m.model.leases[c.Holder]
	o, offered := m.model.offers[c.Holder]
	switch {
	case leased:
		a = l.addr
	case offered:
		a = o.addr
	}
	if err := m.bench.Decline(t.Context(), br, c.Holder, a); err != nil {
		t.Fatal(err)
	}
	leased, offered = leased && l.addr == a, offered && o.addr == a
	if pinned, ok := m.model.pinnedTo(a); !leased && !offered || ok && (pinned == c.Holder || leased) {
		return
	}
	if leased {
		delete(m.model.leases, c.Holder)
	}
	delete(m.model.offers, c.Holder)
	declined := 0
	for _, b := range m.model.blocks {
		if b.declined && b.holder == c.Holder {
			declined++
		}
	}
	if declined < 16 {
		m.model.blocks[a] = naiveBlock{c.Holder, m.model.now.Add(10 * time.Minute), true}
	}
}

func (m *machine) drain(t *rapid.T) {
	m.tick()
	c, a := m.guest(t), m.place(t)
	until := m.model.now.Add(30 * time.Second)
	pinned, isPinned := m.model.pinnedTo(a)
	owner, isOwned := m.model.owner(a)
	b, isBlocked := m.model.blocks[a]
	taken := isPinned && pinned != c.Holder && m.model.clientOf(pinned) != c.Holder ||
		isOwned && owner != c.Holder || isBlocked && b.holder != c.Holder
	err := m.bench.Drain(t.Context(), br, a, c.Holder, until)
	if taken != errors.Is(err, ledger.ErrTaken) || !taken && err != nil {
		t.Fatalf("drain %s for %s: %v, taken is %v", a, c.Holder, err, taken)
	}
	if !taken && (!isBlocked || !b.declined && b.until.Before(until)) {
		m.model.blocks[a] = naiveBlock{c.Holder, until, false}
	}
}

// drawPins changes the wished pins at random.
func (m *machine) drawPins(t *rapid.T) map[ipam.Holder]netip.Addr {
	wish := maps.Clone(m.wish)
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		c := m.guest(t)
		h := c.Holder
		if rapid.IntRange(0, 3).Draw(t, "by hardware address") == 0 {
			h = ipam.ByMAC(c.MAC)
		}
		if rapid.Bool().Draw(t, "unpin") {
			delete(wish, h)
		} else {
			wish[h] = m.place(t)
		}
	}
	return wish
}

// lines puts wished pins into a file's order.
func lines(wish map[ipam.Holder]netip.Addr) []ipam.Pin {
	var out []ipam.Pin
	for h, a := range wish {
		out = append(out, ipam.Pin{Holder: h, Addr: a})
	}
	slices.SortFunc(out, func(a, b ipam.Pin) int { return cmpHolder(a.Holder, b.Holder) })
	for i := range out {
		out[i].Source = ipam.Source{File: "pins", Line: i + 1}
	}
	return out
}

func (m *machine) setPins(t *rapid.T) {
	m.tick()
	m.apply(t, m.drawPins(t))
}

// swapPins turns the addresses of all pins around in a cycle.
func (m *machine) swapPins(t *rapid.T) {
	m.tick()
	holders := slices.SortedFunc(maps.Keys(m.model.pins), cmpHolder)
	wish := maps.Clone(m.wish)
	for i, h := range holders {
		wish[h] = m.model.pins[holders[(i+1)%len(holders)]]
	}
	m.apply(t, wish)
}

func (m *machine) planPins(t *rapid.T) {
	m.tick()
	wish := m.drawPins(t)
	plan := m.bench.PlanPins(lines(wish))
	m.check(t) // nothing has changed
	if done := m.apply(t, wish); !slices.Equal(plan.Moves, done.Moves) || len(plan.Problems) != len(done.Problems) {
		t.Fatalf("planned %s, done %s; problems %v and %v", moves(plan), moves(done), plan.Problems, done.Problems)
	}
}

// failingDisk has everything refused, and nothing changed.
func (m *machine) failingDisk(t *rapid.T) {
	m.tick()
	before := m.bench.Leases()
	m.disk.Fail(eio)
	c, err := m.bench.SetPins(t.Context(), lines(m.drawPins(t)))
	if err == nil && len(c.Added)+len(c.Removed)+len(c.Moves) > 0 || err != nil && !errors.Is(err, ledger.ErrDisk) {
		t.Fatalf("pins on a failed disk: %v, %+v", err, c)
	}
	m.model.renumbered = m.model.renumbered && err != nil
	m.mend(t)
	if after := m.bench.Leases(); !slices.Equal(before, after) {
		t.Fatalf("leases before %v, after %v", before, after)
	}
}

func (m *machine) renumber(t *rapid.T) {
	m.tick()
	n := rapid.SampledFrom(modelNets()).Draw(t, "network")
	m.bench.nets = ipam.Networks{n}
	m.bench.Configure(m.bench.nets)
	m.model.renumbered = m.model.renumbered || n.Subnet != m.model.net.Subnet
	m.model.net = n
	m.apply(t, m.drawPins(t))
}

func (m *machine) startOrStop(t *rapid.T) {
	c := m.guest(t)
	if _, runs := m.model.running[c.Holder]; runs {
		delete(m.model.running, c.Holder)
		m.bench.stop(c.Holder.Guest)
		return
	}
	a, _ := m.model.entitled(c)
	if !a.IsValid() || rapid.IntRange(0, 4).Draw(t, "a static address") == 0 {
		a = m.place(t)
	}
	m.model.running[c.Holder] = a
	m.bench.run(c.Holder.Guest, a.String())
}

// arrive has a guest on its way have its new address.
func (m *machine) arrive(t *rapid.T) {
	c := m.guest(t)
	delete(m.model.moving, c.Holder)
	m.bench.Arrive(br, c.Holder, netip.Addr{})
	if _, runs := m.model.running[c.Holder]; !runs {
		return
	}
	if a, _ := m.model.entitled(c); a.IsValid() {
		m.model.running[c.Holder] = a
		m.bench.run(c.Holder.Guest, a.String())
	}
}

func (m *machine) passTime(t *rapid.T) {
	m.pass(time.Duration(rapid.SampledFrom([]int{5, 35, 65, 700, 3700}).Draw(t, "seconds")) * time.Second)
}

// crash cuts the power, with one of the ways in which the unsynced may be left.
func (m *machine) crash(t *rapid.T) {
	after := rapid.SampledFrom([]crashfs.Survival{{}, crashfs.Keep(), crashfs.Cut(5), crashfs.Hole(3)}).Draw(t, "survival")
	m.disk = m.disk.Reboot(after)
	_ = m.bench.Close()
	m.bench.disk = m.disk
	m.bench.open()
	clear(m.model.offers)
	clear(m.model.moving)
	m.model.renumbered = true
}

// check compares all that can be seen.
func (m *machine) check(t *rapid.T) {
	m.bench.CheckBooks(t)
	for i := range modelGuests {
		c := client(fmt.Sprint("g", i))
		m.checkClient(t, c)
		want := m.model.name(c.Holder)
		m.bench.t = t
		m.bench.answers(c.Holder.Guest, want)
	}
	stored := map[ipam.Holder]netip.Addr{}
	for _, p := range m.bench.Pins() {
		stored[p.Holder] = p.Addr
	}
	if !maps.Equal(stored, m.model.pins) {
		t.Fatalf("pins %v, want %v", stored, m.model.pins)
	}
	if got := len(m.bench.Leases()); got != len(m.model.leases) {
		t.Fatalf("%d leases %v, want %v", got, m.bench.Leases(), m.model.leases)
	}
	for h, want := range m.model.leases {
		got, ok := m.bench.Lease(br, h)
		if !ok || got.Addr != want.addr || got.Acked != want.acked || !got.Expiry.Equal(want.expiry) || got.Idle != want.idle {
			t.Fatalf("lease of %s is %+v, want %+v", h, got, want)
		}
	}
	for last := range byte(255) {
		a := m.model.net.Gateway.As4()
		a[3] = last
		m.checkOwner(t, netip.AddrFrom4(a))
	}
}

func (m *machine) checkClient(t *rapid.T, c ipam.Client) {
	want, origin := m.model.entitled(c)
	if o, ok := m.model.offers[c.Holder]; ok && !want.IsValid() {
		want, origin = o.addr, ipam.FromOffer
	}
	e := m.bench.Entitled(br, c)
	if e.Addr != want || e.Origin != origin {
		t.Fatalf("%s is entitled to %s by %q, want %s by %q", c.Holder, e.Addr, e.Origin, want, origin)
	}
}

func (m *machine) checkOwner(t *rapid.T, a netip.Addr) {
	want, ok := m.model.owner(a)
	pinned, isPinned := m.model.pinnedTo(a)
	switch {
	case ok:
	case isPinned:
		want = pinned
	default:
		want, _ = m.model.offeree(a)
	}
	if got, _, _ := m.bench.Owner(br, a); got != want {
		t.Fatalf("%s belongs to %s, want %s", a, got, want)
	}
}
