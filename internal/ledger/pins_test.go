package ledger_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
)

func TestPinWinsOverALease(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("holder"))
	b.run("holder", a.String())
	c := b.pin("cent01=" + a.String())
	e := b.Entitled(br, client("holder"))
	if e.Addr == a || !e.Addr.IsValid() || e.Acked != a {
		t.Fatalf("the evicted one: %+v", e)
	}
	if got, want := moves(c), fmt.Sprintf("cent01 >%s, holder %s>%s evicted", a, a, e.Addr); got != want {
		t.Errorf("moves %q, want %q", got, want)
	}
	b.answers("cent01", a.String())
	b.answers("holder", a.String()) // it runs, and has it still
	b.reverse(a.String(), "holder")
	b.Arrive(br, ipam.ByName("holder"), netip.Addr{})
	b.answers("holder", e.Addr.String())
	b.reverse(a.String(), "cent01")
	b.crash()
	b.has(client("cent01"), a.String(), ipam.FromPin)
	b.has(client("holder"), e.Addr.String(), ipam.FromLease)
}

func TestUnpinKeepsTheAddress(t *testing.T) {
	b := newBench(t)
	b.pin("asked=10.9.0.50", "static=10.9.0.51", "never=10.9.0.52")
	b.lease(client("asked"))
	b.run("static", "10.9.0.51")
	c := b.pin()
	if len(c.Moves) != 0 || len(c.Removed) != 3 {
		t.Errorf("%+v", c)
	}
	b.crash()
	b.has(client("asked"), "10.9.0.50", ipam.FromLease)
	b.has(client("static"), "10.9.0.51", ipam.FromLease)
	b.has(client("never"), "", "") // a name that was only written down keeps nothing
	b.answers("asked", "10.9.0.50")
	b.answers("never", "")
	if got := b.lease(client("static")); got != addr("10.9.0.51") {
		t.Errorf("got %s", got)
	}
}

func TestSwapAndCycleAreOneStep(t *testing.T) {
	b := newBench(t)
	b.pin("a=10.9.0.11", "b=10.9.0.12", "c=10.9.0.13")
	for _, name := range []string{"a", "b", "c"} {
		b.run(name, b.lease(client(name)).String())
	}
	before := b.Status().Rev
	c := b.pin("a=10.9.0.12", "b=10.9.0.13", "c=10.9.0.11")
	if got := moves(c); got != "a 10.9.0.11>10.9.0.12, b 10.9.0.12>10.9.0.13, c 10.9.0.13>10.9.0.11" &&
		!(strings.Contains(got, "a 10.9.0.11>10.9.0.12") && strings.Contains(got, "b 10.9.0.12>10.9.0.13") && strings.Contains(got, "c 10.9.0.13>10.9.0.11") && len(c.Moves) == 3) {
		t.Errorf("moves %q", got)
	}
	if c.Rev != before+1 {
		t.Errorf("revision %d after %d", c.Rev, before)
	}
	// Nobody has moved yet: names and reverse names follow who really has the address.
	b.answers("a", "10.9.0.11")
	b.answers("b", "10.9.0.12")
	b.reverse("10.9.0.12", "b")
	b.Arrive(br, ipam.ByName("a"), netip.Addr{})
	b.answers("a", "10.9.0.12")
	b.answers("b", "10.9.0.12") // both, for this moment
	b.Arrive(br, ipam.ByName("b"), netip.Addr{})
	b.Arrive(br, ipam.ByName("c"), netip.Addr{})
	b.reverse("10.9.0.12", "a")
	b.answers("c", "10.9.0.11")
	if e := b.Entitled(br, client("a")); e.Acked != addr("10.9.0.11") {
		t.Errorf("what a's client was told is forgotten: %+v", e)
	}
	if err := b.bind(client("a"), addr("10.9.0.12")); err != nil {
		t.Error(err)
	}
}

func TestStoppedGuestsNameSwitchesAtOnce(t *testing.T) {
	b := newBench(t)
	b.pin("a=10.9.0.11")
	b.lease(client("a"))
	b.pin("a=10.9.0.12")
	b.answers("a", "10.9.0.12")
	b.reverse("10.9.0.12", "a")
	b.reverse("10.9.0.11", "")
}

func TestPinByHardwareAddress(t *testing.T) {
	b := newBench(t)
	c := client("cent01")
	b.lease(c)
	b.run("cent01", b.Entitled(br, c).Addr.String())
	change := b.pin(c.MAC.String() + "=10.9.0.50")
	if len(change.Moves) != 1 || change.Moves[0].Holder != c.Holder || change.Moves[0].MAC != c.MAC {
		t.Errorf("moves %+v", change.Moves)
	}
	b.has(c, "10.9.0.50", ipam.FromPin)
	liar := c
	liar.Holder, liar.PinMAC = ipam.Holder{Guest: "evil", MAC: c.MAC}, ipam.MAC{}
	b.has(liar, "", "")
	if h, o, ok := b.Owner(br, addr("10.9.0.50")); !ok || h != c.Holder || o != ipam.FromPin {
		t.Errorf("owner %v by %v", h, o)
	}
	b.pin(c.MAC.String()+"=10.9.0.50", "cent01=10.9.0.60")
	b.has(c, "10.9.0.60", ipam.FromPin) // the name outranks
	b.pin(c.MAC.String() + "=10.9.0.50")
	b.has(c, "10.9.0.50", ipam.FromPin)
	b.pin()
	b.has(c, "10.9.0.50", ipam.FromLease)
}

func TestVacatedAddressIsNotGivenToOthersAtOnce(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("c"))
	b.run("c", a.String())
	b.pin("c=10.9.0.50")
	if err := b.bind(client("d"), a); err == nil {
		t.Error("somebody else got the address while the guest was on its way")
	}
	b.clock.pass(41 * time.Second)
	if err := b.bind(client("d"), a); err != nil {
		t.Errorf("after the drain: %v", err)
	}
}

func TestEvictedWithoutAFreeAddressIsReported(t *testing.T) {
	b := newBench(t)
	var got []netip.Addr
	for i := range 8 {
		got = append(got, b.lease(client(fmt.Sprint("c", i))))
	}
	c := b.pin("new=" + got[0].String())
	if len(c.Problems) != 1 || c.Problems[0].Code != ipam.CodeFull || !strings.Contains(c.Problems[0].Text, "c0") {
		t.Errorf("problems %v", c.Problems)
	}
	b.has(client("c0"), "", "")
	_ = b.Release(t.Context(), br, ipam.ByName("c7"), got[7])
	c = b.pin("new="+got[0].String(), "new2="+got[1].String())
	if len(c.Problems) != 0 || b.Entitled(br, client("c1")).Addr != got[7] {
		t.Errorf("with an idle one to take back: %v, c1 has %s", c.Problems, b.Entitled(br, client("c1")).Addr)
	}
}

func TestRefusedPinsAreRefusedAlone(t *testing.T) {
	b := newBench(t)
	b.pin("second=10.9.0.10")
	c := b.pin("gw=10.9.0.1", "first=10.9.0.10", "ok=10.9.0.11", "second=10.9.0.10", "far=10.8.0.1")
	if len(c.Problems) != 3 {
		t.Errorf("problems: %v", c.Problems)
	}
	b.has(client("second"), "10.9.0.10", ipam.FromPin) // the present holder keeps it
	b.has(client("ok"), "10.9.0.11", ipam.FromPin)
	b.has(client("first"), "", "")
	if len(b.Problems()) != 3 {
		t.Errorf("standing problems: %v", b.Problems())
	}
	b.pin("ok=10.9.0.11")
	if len(b.Problems()) != 0 {
		t.Errorf("mended, but still: %v", b.Problems())
	}
}

func TestPlanPinsChangesNothing(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("holder"))
	b.run("holder", a.String())
	before := b.Status().Rev
	want := pins("cent01=" + a.String())
	plan := b.PlanPins(want)
	if len(plan.Moves) != 2 || b.Status().Rev != before {
		t.Errorf("plan %+v", plan)
	}
	b.has(client("cent01"), "", "")
	b.has(client("holder"), a.String(), ipam.FromLease)
	if again := b.PlanPins(want); moves(again) != moves(plan) {
		t.Errorf("a second plan differs: %q, %q", moves(plan), moves(again))
	}
	if done, err := b.SetPins(t.Context(), want); err != nil || moves(done) != moves(plan) {
		t.Errorf("planned %q, done %q (%v)", moves(plan), moves(done), err)
	}
}

func TestMovedLinesAreNotStored(t *testing.T) {
	b := newBench(t)
	b.pin("a=10.9.0.10", "b=10.9.0.11")
	before := b.Status().Rev
	moved := pins("x=10.9.0.12", "a=10.9.0.10", "b=10.9.0.11")[1:]
	c, err := b.SetPins(t.Context(), moved)
	if err != nil || c.Rev != before || len(c.Added)+len(c.Removed) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if p := b.Pins(); p[0].Source.Line != 2 || p[1].Source.Line != 3 {
		t.Errorf("pins %+v", p)
	}
}

func TestRenumberingMovesWhoRuns(t *testing.T) {
	b := newBench(t)
	b.pin("pinned=10.9.0.10")
	b.run("pinned", b.lease(client("pinned")).String())
	a := b.lease(client("loose"))
	b.run("loose", a.String())
	b.lease(client("stopped"))
	b.nets = ipam.Networks{network(br, "10.7.0.1/24", "10.7.0.100", "10.7.0.110")}
	b.Configure(b.nets)
	plan := b.PlanPins(pins("pinned=10.7.0.10"))
	c := b.pin("pinned=10.7.0.10")
	if len(c.Moves) != 2 || len(plan.Moves) != 2 {
		t.Errorf("moves %q, planned %q", moves(c), moves(plan))
	}
	b.has(client("pinned"), "10.7.0.10", ipam.FromPin)
	if e := b.Entitled(br, client("loose")); !b.nets[0].Range.Contains(e.Addr) || e.Acked != a {
		t.Errorf("loose: %+v", e)
	}
	b.has(client("stopped"), "", "")
	if got := b.lease(client("stopped")); !b.nets[0].Range.Contains(got) {
		t.Errorf("the stopped one comes back to %s", got)
	}
	b.answers("loose", a.String()) // until it has arrived
}

func TestNames(t *testing.T) {
	b := newBench(t)
	b.pin("web=10.9.0.10", "web:eth1=10.9.0.11", "deep.zone=10.9.0.12")
	b.answers("web", "10.9.0.10")
	b.answers("eth1.web", "10.9.0.11")
	b.answers("deep.zone", "10.9.0.12")
	if addrs, exists := b.LookupName(br, "zone"); len(addrs) != 0 || !exists {
		t.Errorf("an empty non-terminal: %v, %v", addrs, exists)
	}
	b.answers("eth2.web", "")
	b.reverse("10.9.0.11", "eth1.web")

	stranger := ipam.Client{Holder: ipam.ByMAC(ipam.MAC{2, 7}), MAC: ipam.MAC{2, 7}, Hostname: "WEB"}
	b.lease(stranger)
	b.answers("web", "10.9.0.10")
	claimer := ipam.Client{Holder: ipam.ByMAC(ipam.MAC{2, 8}), MAC: ipam.MAC{2, 8}, Hostname: "Laptop"}
	a := b.lease(claimer)
	b.answers("laptop", "") // not trusted here
	b.nets[0].TrustHostname = true
	b.Configure(b.nets)
	b.answers("laptop", a.String())
	b.reverse(a.String(), "laptop")
	second := ipam.Client{Holder: ipam.ByMAC(ipam.MAC{2, 9}), MAC: ipam.MAC{2, 9}, Hostname: "laptop"}
	b.clock.pass(time.Second)
	a2 := b.lease(second)
	b.answers("laptop", a.String()) // not stolen
	b.reverse(a2.String(), "")
	guest := b.lease(client("laptop"))
	b.answers("laptop", guest.String()) // a guest's own name outranks a claim
	b.pin()
	b.answers("eth2.web", "")
	b.answers("zone", "")
}

func TestWaitAcked(t *testing.T) {
	b := newBench(t)
	b.lease(client("c"))
	b.pin("c=10.9.0.50")
	done := make(chan error, 1)
	go func() { done <- b.WaitAcked(t.Context(), br, ipam.ByName("c"), addr("10.9.0.50")) }()
	b.Arrive(br, ipam.ByName("c"), netip.Addr{}) // wakes it, but that is not an ACK
	b.lease(client("d"))
	select {
	case err := <-done:
		t.Fatal("too early:", err)
	default:
	}
	if err := b.bind(client("c"), addr("10.9.0.50")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	events, stop := b.Watch()
	defer stop()
	a := b.lease(client("c"))
	if e := <-events; e.Kind != ledger.KindLease || e.Addr != a || e.Holder != ipam.ByName("c") || e.Rev != 1 {
		t.Errorf("got %+v", e)
	}
	b.pin("c=10.9.0.50")
	if e := <-events; e.Kind != ledger.KindPin || e.Addr != addr("10.9.0.50") {
		t.Errorf("got %+v", e)
	}
	if e := <-events; e.Kind != ledger.KindMove || e.From != a {
		t.Errorf("got %+v", e)
	}
	for range 300 { // more than anybody has room for
		_ = b.bind(client("c"), addr("10.9.0.50"))
	}
	var last ledger.Event
	for last.Kind != ledger.KindLost {
		last = <-events
	}
	_ = b.Release(t.Context(), br, ipam.ByName("c"), addr("10.9.0.50"))
	if e := <-events; e.Kind != ledger.KindRelease {
		t.Errorf("after the marker: %+v", e)
	}
	_ = b.Close()
	if e, open := <-events; open {
		t.Errorf("after Close: %+v", e)
	}
}
