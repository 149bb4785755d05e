package reconcile

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fakeLedger says who shall have what, and remembers what it was told.
type fakeLedger struct {
	mu      sync.Mutex
	pins    []ipam.Pin
	arrived []string
	drained map[netip.Addr]ipam.Holder
	acked   netip.Addr
}

func (l *fakeLedger) Pins() []ipam.Pin {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pins)
}
func (l *fakeLedger) Lease(network string, h ipam.Holder) (ipam.Lease, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.acked.IsValid() {
		return ipam.Lease{}, false
	}
	return ipam.Lease{Network: network, Holder: h, Addr: l.acked, Acked: l.acked}, true
}
func (l *fakeLedger) Owner(_ string, a netip.Addr) (ipam.Holder, ipam.Origin, bool) {
	for _, p := range l.Pins() {
		if p.Addr == a {
			return p.Holder, ipam.FromPin, true
		}
	}
	return ipam.Holder{}, "", false
}
func (l *fakeLedger) Entitled(_ string, c ipam.Client) ipam.Entitlement {
	for _, p := range l.Pins() {
		if p.Holder == c.Holder {
			return ipam.Entitlement{Addr: p.Addr, Origin: ipam.FromPin}
		}
	}
	return ipam.Entitlement{}
}
func (l *fakeLedger) Arrive(_ string, h ipam.Holder, _ netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived = append(l.arrived, h.String())
}
func (l *fakeLedger) Depart(_ string, h ipam.Holder, from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived = append(l.arrived, h.String()+" back at "+from.String())
}
func (l *fakeLedger) Drain(_ context.Context, _ string, a netip.Addr, h ipam.Holder, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained == nil {
		l.drained = make(map[netip.Addr]ipam.Holder)
	}
	l.drained[a] = h
	return nil
}
func (l *fakeLedger) Draining(_ string, a netip.Addr) ipam.Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained[a]
}
func (l *fakeLedger) WaitAcked(ctx context.Context, _ string, _ ipam.Holder, _ netip.Addr) error {
	<-ctx.Done()
	return ctx.Err()
}

// fakeGuests is a list that nobody changes.
type fakeGuests struct{ guests []guest.Guest }

func (g *fakeGuests) Snapshot() []guest.Guest { return g.guests }
func (g *fakeGuests) Watch() (<-chan guest.Event, func()) {
	return make(chan guest.Event), func() {}
}

// world is a bridge with guests in a kernel of its own, found by the real index.
type world struct {
	*Reconciler
	ledger *fakeLedger
	guests map[string]*netnstest.Guest
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "10.9.0.1/24")
	w := &world{ledger: &fakeLedger{}, guests: make(map[string]*netnstest.Guest)}
	for _, name := range names {
		w.guests[name] = netnstest.AddGuest(t, "br0", name, "")
	}
	index := guest.NewIndex(discard())
	index.SetBridges("br0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- index.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("index: %v", err)
		}
	})
	w.Reconciler = New(w.ledger, index, func() ipam.Networks { return ipam.Networks{testNetwork()} }, discard())
	<-index.Ready()
	for _, name := range names {
		w.await(t, name+" to be known", func() bool { _, ok := index.ByName("br0", name); return ok })
	}
	return w
}

func (w *world) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

func (w *world) has(t *testing.T, name string) string {
	t.Helper()
	var list []string
	for _, line := range strings.Split(w.guests[name].Run(t, "ip", "-4", "-o", "addr", "show", "dev", "eth0"), "\n") {
		if f := strings.Fields(line); len(f) > 3 {
			list = append(list, f[3])
		}
	}
	return strings.Join(list, " ")
}

func order(name, from, to string) ipam.Reassignment {
	return ipam.Reassignment{
		Network: "br0", Holder: ipam.ByName(name), From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Drain: 30 * time.Second,
	}
}

func TestExecuteMovesWhoRuns(t *testing.T) {
	w := newWorld(t, "web")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.ledger.pins = []ipam.Pin{pinned(ipam.ByName("web"), "10.9.0.101"), pinned(ipam.ByName("off"), "10.9.0.102")}
	outcomes := w.Execute(t.Context(), []ipam.Reassignment{order("web", "10.9.0.20", "10.9.0.101"), order("off", "10.9.0.21", "10.9.0.102")})
	web, off := outcomes[0], outcomes[1]
	if web.Err != nil || !web.Running || len(web.Steps) == 0 || web.Took <= 0 {
		t.Errorf("outcome of who runs: %+v", web)
	}
	if off.Err != nil || off.Running {
		t.Errorf("outcome of who does not run: %+v", off)
	}
	if have := w.has(t, "web"); have != "10.9.0.20/32 10.9.0.101/24" {
		t.Errorf("web has %s", have)
	}
	if len(w.ledger.arrived) != 2 || w.ledger.drained[netip.MustParseAddr("10.9.0.20")] != ipam.ByName("web") {
		t.Errorf("the ledger was told %v and %v", w.ledger.arrived, w.ledger.drained)
	}
	again := w.Execute(t.Context(), []ipam.Reassignment{order("web", "10.9.0.20", "10.9.0.101")})
	if again[0].Err != nil || len(again[0].Steps) != 0 {
		t.Errorf("who has its address already was moved: %+v", again[0])
	}
}

func TestExecuteLeavesWhatWasDecidedOtherwise(t *testing.T) {
	w := newWorld(t, "web")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.ledger.pins = []ipam.Pin{pinned(ipam.ByName("web"), "10.9.0.102")}
	w.Execute(t.Context(), []ipam.Reassignment{order("web", "10.9.0.20", "10.9.0.101")})
	if have := w.has(t, "web"); have != "10.9.0.20/24" || len(w.ledger.arrived) != 0 {
		t.Errorf("a stale order was carried out: %s, %v", have, w.ledger.arrived)
	}
}

func TestDriftIsHealed(t *testing.T) {
	w := newWorld(t, "web", "other")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.guests["other"].Run(t, "ip", "addr", "add", "10.9.0.30/24", "dev", "eth0")
	w.ledger.pins = []ipam.Pin{pinned(ipam.ByName("web"), "10.9.0.101")}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	w.await(t, "the pin", func() bool { return w.has(t, "web") == "10.9.0.20/32 10.9.0.101/24" })
	if have := w.has(t, "other"); have != "10.9.0.30/24" {
		t.Errorf("a guest that is not pinned was moved: %s", have)
	}
	// Somebody inside puts the old address back: seen when its client is told something.
	w.guests["web"].Run(t, "ip", "addr", "flush", "dev", "eth0")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.Recheck("br0", ipam.ByName("web"))
	w.await(t, "the pin once more", func() bool { return w.has(t, "web") == "10.9.0.20/32 10.9.0.101/24" })
}

func TestRunningSaysWhatTheKernelHas(t *testing.T) {
	w := newWorld(t, "web", "empty")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.guests["web"].Run(t, "ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
	if a, ok := w.Running("br0", ipam.ByName("web")); !ok || a != netip.MustParseAddr("10.9.0.20") {
		t.Errorf("Running = %s, %v", a, ok)
	}
	if _, ok := w.Running("br0", ipam.ByName("empty")); ok {
		t.Error("a guest without an address of the subnet counts as running with one")
	}
	if _, ok := w.Running("br0", ipam.ByName("nobody")); ok {
		t.Error("a guest that is not there runs")
	}
	v, ok := w.Look(t.Context(), testNetwork(), ipam.ByName("web"))
	if !ok || len(v.Addrs) != 1 || w.Client(t.Context(), v.Guest) != NoClient {
		t.Errorf("Look = %+v, %v, client %s", v, ok, w.Client(t.Context(), v.Guest))
	}
}

func TestADrainingAddressIsGivenUpWhenAnotherIsPinnedToIt(t *testing.T) {
	w := newWorld(t, "web", "other")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.guests["other"].Run(t, "ip", "addr", "add", "10.9.0.30/24", "dev", "eth0")
	w.ledger.pins = []ipam.Pin{pinned(ipam.ByName("web"), "10.9.0.101")}
	w.Execute(t.Context(), []ipam.Reassignment{order("web", "10.9.0.20", "10.9.0.101")})
	w.ledger.pins = append(w.ledger.pins, pinned(ipam.ByName("other"), "10.9.0.20"))
	outcomes := w.Execute(t.Context(), []ipam.Reassignment{order("other", "10.9.0.30", "10.9.0.20")})
	if len(outcomes) != 1 || outcomes[0].Err != nil {
		t.Fatalf("outcomes %+v", outcomes)
	}
	if have := w.has(t, "web"); have != "10.9.0.101/24" {
		t.Errorf("web has %s: two guests answer at one address", have)
	}
	if have := w.has(t, "other"); have != "10.9.0.30/32 10.9.0.20/24" {
		t.Errorf("other has %s", have)
	}
}

// TestAFailedMoveIsUndoneInDNSToo has a guest that does not answer ARP at its new address.
func TestAFailedMoveIsUndoneInDNSToo(t *testing.T) {
	w := newWorld(t, "web")
	w.guests["web"].Run(t, "ip", "addr", "add", "10.9.0.20/24", "dev", "eth0")
	w.guests["web"].Run(t, "sh", "-c", "echo 8 >/proc/sys/net/ipv4/conf/eth0/arp_ignore")
	w.ledger.pins = []ipam.Pin{pinned(ipam.ByName("web"), "10.9.0.101")}
	began := time.Now()
	o := w.Execute(t.Context(), []ipam.Reassignment{order("web", "10.9.0.20", "10.9.0.101")})[0]
	if o.Err == nil || time.Since(began) > 3*time.Second {
		t.Fatalf("outcome %+v after %s", o, time.Since(began))
	}
	if have := w.has(t, "web"); have != "10.9.0.20/24" {
		t.Errorf("web has %s, not what it had", have)
	}
	if got := w.ledger.arrived; len(got) == 0 || got[len(got)-1] != "web back at 10.9.0.20" {
		t.Errorf("the ledger was told %v: DNS names an address that web does not have", got)
	}
	if w.Trouble("br0", ipam.ByName("web")) == nil {
		t.Error("nobody is told of the trouble")
	}
}
