package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal"
	"berth/internal/ledger/journal/crashfs"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(beChild(dir))
	}
	os.Exit(m.Run())
}

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// reporter is what is common to the testing of testing and rapid.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// bench is a ledger on a disk in memory, with the world around it.
type bench struct {
	*ledger.Ledger
	t       reporter
	disk    journal.FS
	clock   *clock
	nets    ipam.Networks
	mu      sync.Mutex
	running map[ipam.Holder]netip.Addr
}

const br = "br0"

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func network(name, subnet, first, last string) *ipam.Network {
	p := netip.MustParsePrefix(subnet)
	n := &ipam.Network{
		Name: name, Gateway: p.Addr(), Subnet: p.Masked(), LeaseTime: time.Hour, Drain: 30 * time.Second,
		Domain: "lxd", Authoritative: true,
	}
	if first != "" {
		n.Range = ipam.Range{From: addr(first), To: addr(last)}
	}
	return n
}

// newBench has one network 10.9.0.0/24, whose range is .100 to .107.
func newBench(t testing.TB) *bench {
	b := &bench{
		t: t, disk: crashfs.New(), clock: newClock(), running: map[ipam.Holder]netip.Addr{},
		nets: ipam.Networks{network(br, "10.9.0.1/24", "10.9.0.100", "10.9.0.107")},
	}
	b.open()
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	l, err := ledger.Open(context.Background(), ledger.Options{
		Dir: "/state", FS: b.disk, Now: b.clock.Now, Retry: -1, RotateAt: 4000,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Ledger = l
	b.SetRunning(func(_ string, h ipam.Holder) (netip.Addr, bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		a, ok := b.running[h]
		return a, ok
	})
	b.Configure(b.nets)
}

func (b *bench) crash() {
	b.t.Helper()
	b.disk = b.disk.(*crashfs.FS).Reboot(crashfs.Survival{})
	_ = b.Close()
	b.open()
}

func (b *bench) run(name, a string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[ipam.ByName(name)] = addr(a)
}

func (b *bench) stop(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, ipam.ByName(name))
}

// client is the guest called name, on its own NIC; its hardware address follows from the name.
func client(name string) ipam.Client {
	mac := ipam.MAC{2}
	copy(mac[1:], name)
	return ipam.Client{Holder: ipam.ByName(name), MAC: mac, PinMAC: mac, Hostname: name}
}

// lease takes the client through OFFER and ACK.
func (b *bench) lease(c ipam.Client) netip.Addr {
	b.t.Helper()
	e, err := b.Offer(br, c, netip.Addr{})
	if err != nil {
		b.t.Fatalf("offer to %s: %v", c.Holder, err)
	}
	if err := b.bind(c, e.Addr); err != nil {
		b.t.Fatalf("bind %s to %s: %v", c.Holder, e.Addr, err)
	}
	return e.Addr
}

func (b *bench) bind(c ipam.Client, a netip.Addr) error {
	_, err := b.Bind(context.Background(), br, c, a, time.Hour)
	return err
}

// pins makes pins of "name=addr".
func pins(lines ...string) []ipam.Pin {
	var out []ipam.Pin
	for i, line := range lines {
		name, a, _ := strings.Cut(line, "=")
		p := ipam.Pin{Holder: ipam.ByName(name), Addr: addr(a), Source: ipam.Source{File: "pins", Line: i + 1}}
		if mac, err := ipam.ParseMAC(name); err == nil {
			p.Holder = ipam.ByMAC(mac)
		}
		out = append(out, p)
	}
	return out
}

func (b *bench) pin(lines ...string) ledger.Change {
	b.t.Helper()
	c, err := b.SetPins(context.Background(), pins(lines...))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// has checks what a client is entitled to, "" for nothing.
func (b *bench) has(c ipam.Client, want string, origin ipam.Origin) {
	b.t.Helper()
	e := b.Entitled(br, c)
	if got := str(e.Addr); got != want || e.Origin != origin {
		b.t.Errorf("%s has %q by %q, want %q by %q", c.Holder, got, e.Origin, want, origin)
	}
}

// answers checks what DNS would say, "" for NXDOMAIN.
func (b *bench) answers(name, want string) {
	b.t.Helper()
	addrs, exists := b.LookupName(br, name)
	var got []string
	for _, a := range addrs {
		got = append(got, a.String())
	}
	if s := strings.Join(got, " "); s != want || exists != (want != "") {
		b.t.Errorf("%s answers %q (exists %v), want %q", name, s, exists, want)
	}
}

func (b *bench) reverse(a, want string) {
	b.t.Helper()
	if name, _, _ := b.LookupAddr(addr(a)); name != want {
		b.t.Errorf("%s is %q, want %q", a, name, want)
	}
}

func str(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// moves words a change as "who from>to".
func moves(c ledger.Change) string {
	var out []string
	for _, m := range c.Moves {
		s := fmt.Sprintf("%s %s>%s", m.Holder, str(m.From), m.To)
		if m.Evicted {
			s += " evicted"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestAcknowledgedSurvivesACrash(t *testing.T) {
	b := newBench(t)
	b.pin("cent01=10.9.0.50", "02:00:00:00:00:09=10.9.0.51")
	a := b.lease(client("cent02"))
	nested := ipam.Client{Holder: ipam.Holder{Guest: "cent02", MAC: ipam.MAC{2, 9}}, MAC: ipam.MAC{2, 9}, ClientID: "\x01\xff"}
	a2 := b.lease(nested)
	before, pinned := b.Leases(), b.Pins()
	b.crash()
	if diff := cmp.Diff(before, b.Leases(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("leases (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(pinned, b.Pins(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("pins (-before +after):\n%s", diff)
	}
	b.has(client("cent01"), "10.9.0.50", ipam.FromPin)
	b.has(client("cent02"), a.String(), ipam.FromLease)
	b.has(nested, a2.String(), ipam.FromLease)
	b.answers("cent01", "10.9.0.50")
	b.answers("cent02", a.String())
	b.reverse(a.String(), "cent02")
}

func TestSecondDaemonIsToldWho(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = ledger.Open(t.Context(), ledger.Options{Dir: dir})
	var p *ipam.Problem
	if !errors.As(err, &p) || !strings.Contains(p.Text, fmt.Sprint(os.Getpid())) || p.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestOffer(t *testing.T) {
	t.Run("own address first", func(t *testing.T) {
		b := newBench(t)
		a := b.lease(client("c"))
		if e, _ := b.Offer(br, client("c"), addr("10.9.0.103")); e.Addr != a || e.Origin != ipam.FromLease {
			t.Errorf("offered %+v, has %s", e, a)
		}
	})
	t.Run("the earlier offer again", func(t *testing.T) {
		b := newBench(t)
		first, _ := b.Offer(br, client("c"), netip.Addr{})
		b.clock.pass(59 * time.Second)
		if again, _ := b.Offer(br, client("c"), addr("10.9.0.103")); again.Addr != first.Addr {
			t.Errorf("offered %s, then %s", first.Addr, again.Addr)
		}
		b.clock.pass(59 * time.Second) // it was held anew
		b.has(client("c"), first.Addr.String(), ipam.FromOffer)
		b.clock.pass(2 * time.Second)
		b.has(client("c"), "", "")
	})
	t.Run("the requested when free and in range", func(t *testing.T) {
		b := newBench(t)
		for _, c := range []struct{ want, got string }{{"10.9.0.103", "10.9.0.103"}, {"10.9.0.9", ""}, {"10.9.0.103", ""}} {
			e, err := b.Offer(br, client("c"+c.want+c.got), addr(c.want))
			if err != nil || c.got != "" && e.Addr != addr(c.got) || c.got == "" && e.Addr == addr(c.want) {
				t.Errorf("asked for %s: %s, %v", c.want, e.Addr, err)
			}
		}
	})
	t.Run("two clients never the same", func(t *testing.T) {
		b := newBench(t)
		seen := map[netip.Addr]bool{}
		for i := range 8 {
			e, err := b.Offer(br, client(fmt.Sprint("c", i)), addr("10.9.0.100"))
			if err != nil || seen[e.Addr] {
				t.Fatalf("client %d: %s, %v", i, e.Addr, err)
			}
			seen[e.Addr] = true
		}
		if _, err := b.Offer(br, client("ninth"), netip.Addr{}); !errors.Is(err, ledger.ErrFull) {
			t.Errorf("a ninth of eight: %v", err)
		}
		b.clock.pass(time.Minute)
		if _, err := b.Offer(br, client("ninth"), netip.Addr{}); err != nil {
			t.Errorf("after the offers ran out: %v", err)
		}
	})
	t.Run("the same client tends to the same address", func(t *testing.T) {
		b, other := newBench(t), newBench(t)
		if x, y := b.lease(client("c")), other.lease(client("c")); x != y {
			t.Errorf("%s and %s from two empty ledgers", x, y)
		}
	})
	t.Run("unknown network", func(t *testing.T) {
		b := newBench(t)
		var p *ipam.Problem
		if _, err := b.Offer("br9", client("c"), netip.Addr{}); !errors.As(err, &p) || p.Code != ipam.CodeNotFound {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no range at all", func(t *testing.T) {
		b := newBench(t)
		b.Configure(ipam.Networks{network(br, "10.9.0.1/24", "", "")})
		if _, err := b.Offer(br, client("c"), netip.Addr{}); !errors.Is(err, ledger.ErrFull) {
			t.Errorf("got %v", err)
		}
		b.pin("c=10.9.0.5")
		if e, err := b.Offer(br, client("c"), netip.Addr{}); err != nil || e.Addr != addr("10.9.0.5") {
			t.Errorf("a pinned guest: %+v, %v", e, err)
		}
	})
}

func TestFullRangeTakesBackTheLongestIdle(t *testing.T) {
	b := newBench(t)
	var got []netip.Addr
	for i := range 8 {
		got = append(got, b.lease(client(fmt.Sprint("c", i))))
	}
	if _, err := b.Offer(br, client("new"), netip.Addr{}); !errors.Is(err, ledger.ErrFull) {
		t.Fatalf("all are in use: %v", err)
	}
	for _, i := range []int{5, 3, 6} {
		if err := b.Release(t.Context(), br, ipam.ByName(fmt.Sprint("c", i)), got[i]); err != nil {
			t.Fatal(err)
		}
		b.clock.pass(time.Second)
	}
	b.run("c5", got[5].String()) // released, yet it uses the address
	if a := b.lease(client("new")); a != got[3] {
		t.Errorf("took %s, want %s, the longest idle that does not run", a, got[3])
	}
	b.has(client("c3"), "", "")
	b.has(client("c6"), got[6].String(), ipam.FromLease) // sticky
	b.crash()
	b.has(client("c3"), "", "")
	if a := b.lease(client("new2")); a != got[6] {
		t.Errorf("took %s, want %s", a, got[6])
	}
	b.clock.pass(2 * time.Hour) // now all have expired
	for i := range 7 {
		b.lease(client(fmt.Sprint("later", i)))
	}
	if _, err := b.Offer(br, client("last"), netip.Addr{}); !errors.Is(err, ledger.ErrFull) {
		t.Errorf("only c5's, who runs, is left: %v", err)
	}
}

func TestIdleComesBackBeforeItsAddressIsBound(t *testing.T) {
	b := newBench(t)
	for i := range 8 {
		b.lease(client(fmt.Sprint("c", i)))
	}
	a := b.Entitled(br, client("c0")).Addr
	_ = b.Release(t.Context(), br, ipam.ByName("c0"), a)
	e, err := b.Offer(br, client("new"), netip.Addr{})
	if err != nil || e.Addr != a {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := b.bind(client("c0"), a); err != nil {
		t.Fatalf("the owner comes back: %v", err)
	}
	if err := b.bind(client("new"), a); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("the other one: %v", err)
	}
}

func TestBindRefusesWhatIsNotTheClients(t *testing.T) {
	b := newBench(t)
	b.pin("pinned=10.9.0.102", "other=10.9.0.60")
	a := b.lease(client("c"))
	for name, c := range map[string]struct {
		client ipam.Client
		addr   string
	}{
		"another's lease":            {client("d"), a.String()},
		"another's pin":              {client("d"), "10.9.0.102"},
		"another's pin out of range": {client("d"), "10.9.0.60"},
		"not its own sticky one":     {client("c"), "10.9.0.10" + string("0123456"[(a.As4()[3]-100+1)%2*3])},
		"not its pin":                {client("pinned"), "10.9.0.103"},
		"out of range":               {client("d"), "10.9.0.70"},
		"gateway":                    {client("d"), "10.9.0.1"},
		"outside the subnet":         {client("d"), "10.8.0.5"},
		"nothing":                    {client("d"), "0.0.0.0"},
	} {
		if err := b.bind(c.client, addr(c.addr)); !errors.Is(err, ledger.ErrTaken) {
			t.Errorf("%s (%s): %v", name, c.addr, err)
		}
	}
}

func TestReleaseKeepsTheAddress(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("c"))
	_ = b.Release(t.Context(), br, ipam.ByName("d"), a)
	b.answers("c", a.String()) // by somebody else: no effect
	if err := b.Release(t.Context(), br, ipam.ByName("c"), a); err != nil {
		t.Fatal(err)
	}
	b.answers("c", "")
	b.reverse(a.String(), "")
	b.crash()
	b.answers("c", "")
	b.has(client("c"), a.String(), ipam.FromLease)
	if again := b.lease(client("c")); again != a {
		t.Errorf("had %s, got %s", a, again)
	}
	b.answers("c", a.String())
}

func TestExpiryKeepsTheAddress(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("c"))
	b.clock.pass(61 * time.Minute)
	b.answers("c", "")
	for i := range 7 {
		b.lease(client(fmt.Sprint("d", i)))
	}
	if again := b.lease(client("c")); again != a {
		t.Errorf("had %s, got %s", a, again)
	}
}

func TestDecline(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("c"))
	_ = b.Decline(t.Context(), br, ipam.ByName("d"), a)
	b.has(client("c"), a.String(), ipam.FromLease) // by somebody else: no effect
	if err := b.Decline(t.Context(), br, ipam.ByName("c"), a); err != nil {
		t.Fatal(err)
	}
	b.crash()
	b.has(client("c"), "", "")
	other := b.lease(client("c"))
	if other == a {
		t.Error("the declined address was given out again at once")
	}
	if err := b.bind(client("d"), a); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("and to somebody else: %v", err)
	}
	b.clock.pass(10 * time.Minute)
	if err := b.bind(client("d"), a); err != nil {
		t.Errorf("after the probation: %v", err)
	}
}

func TestDeclinedPinStaysAndWarns(t *testing.T) {
	b := newBench(t)
	b.pin("c=10.9.0.50")
	b.lease(client("c"))
	if err := b.Decline(t.Context(), br, ipam.ByName("c"), addr("10.9.0.50")); err != nil {
		t.Fatal(err)
	}
	b.has(client("c"), "10.9.0.50", ipam.FromPin)
	if w := b.Status().Warnings; len(w) != 1 || !strings.Contains(w[0].Text, "10.9.0.50") || w[0].Source.Line != 1 {
		t.Errorf("warnings: %v", w)
	}
	b.clock.pass(11 * time.Minute)
	if w := b.Status().Warnings; len(w) != 0 {
		t.Errorf("and later: %v", w)
	}
}

func TestDeclinesOfOneGuestAreBounded(t *testing.T) {
	b := newBench(t)
	b.Configure(ipam.Networks{network(br, "10.9.0.1/24", "10.9.0.100", "10.9.0.150")})
	for i := range 60 {
		mac := ipam.MAC{2, byte(i)}
		c := ipam.Client{Holder: ipam.Holder{Guest: "evil", MAC: mac}, MAC: mac}
		if err := b.Decline(t.Context(), br, c.Holder, b.lease(c)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 35 {
		b.lease(client(fmt.Sprint("c", i)))
	}
}

func TestDrainIsKeptFree(t *testing.T) {
	b := newBench(t)
	a := addr("10.9.0.104")
	if err := b.Drain(t.Context(), br, a, ipam.ByName("c"), b.clock.Now().Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	b.crash()
	if err := b.bind(client("d"), a); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("during the drain: %v", err)
	}
	b.clock.pass(31 * time.Second)
	if err := b.bind(client("d"), a); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := b.Drain(t.Context(), br, a, ipam.ByName("c"), b.clock.Now().Add(time.Minute)); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("draining what somebody else has: %v", err)
	}
}

func TestUnnamedClientIsAdoptedByItsGuest(t *testing.T) {
	b := newBench(t)
	guest := client("c")
	unnamed := guest
	unnamed.Holder = ipam.ByMAC(guest.MAC)
	a := b.lease(unnamed)
	b.has(guest, a.String(), ipam.FromLease)
	if got := b.lease(guest); got != a {
		t.Errorf("unnamed it had %s, named it got %s", a, got)
	}
	if n := len(b.Leases()); n != 1 {
		t.Errorf("%d leases for one network card: %v", n, b.Leases())
	}
	nested := ipam.Client{Holder: ipam.Holder{Guest: "d", MAC: guest.MAC}, MAC: guest.MAC} // a copied MAC, no PinMAC
	b.has(nested, "", "")
	b.crash()
	b.has(guest, a.String(), ipam.FromLease)
}
