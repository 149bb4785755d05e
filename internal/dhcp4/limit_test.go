package dhcp4

import (
	"net/netip"
	"testing"
	"time"

	"berth/internal/ipam"
)

func TestBucket(t *testing.T) {
	b := bucket{rate: 10, burst: 2}
	at := now
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if got := b.wait(at); got != want {
			t.Errorf("event %d waits %s, want %s", i, got, want)
		}
	}
	for range 1000 {
		b.wait(at)
	}
	if got := b.wait(at); got != time.Second {
		t.Errorf("after a flood the next waits %s, want no more than a second", got)
	}
	if got := b.wait(at.Add(time.Hour)); got != 0 {
		t.Errorf("an hour later it waits %s", got)
	}
	if got := b.wait(at); got < 0 || got > time.Second {
		t.Errorf("when the clock goes back it waits %s", got)
	}
	var none bucket
	if none.wait(at) != 0 || !none.take(at) {
		t.Error("no rate is no limit")
	}
	few := bucket{rate: 1, burst: 1}
	if !few.take(at) || few.take(at) || few.take(at.Add(999*time.Millisecond)) || !few.take(at.Add(time.Second)) {
		t.Error("one a second")
	}
}

func TestNAKsAreRememberedWithinBounds(t *testing.T) {
	var n naks
	for i := range 3 * maxNAKs {
		n.add(numbered(i), now)
	}
	if len(n.last) > maxNAKs {
		t.Errorf("%d are remembered", len(n.last))
	}
	last := numbered(3*maxNAKs - 1)
	if !n.of(last).Equal(now) {
		t.Error("the last one is not")
	}
	n.add(last, now.Add(time.Second)) // again, when full
	if !n.of(last).Equal(now.Add(time.Second)) || !n.of(mac(1)).IsZero() {
		t.Error("the time is not that of the last NAK")
	}
	// Old ones make room first.
	n.add(mac(1), now.Add(nakMemory+time.Second/2))
	if !n.of(last).Equal(now.Add(time.Second)) || len(n.last) != 2 {
		t.Errorf("%d remain", len(n.last))
	}
}

func TestNamesClaimedAreBounded(t *testing.T) {
	var c claims
	name := func(i int) string { return "n" + numbered(i).String() }
	for i := range maxNames {
		if !c.name(name(i), claimant{1, numbered(i)}, now, time.Hour) {
			t.Fatalf("claim %d is refused", i)
		}
	}
	if c.name("more", claimant{1, mac(1)}, now, time.Hour) {
		t.Error("there is no bound")
	}
	if !c.name(name(7), claimant{1, numbered(7)}, now, time.Hour) {
		t.Error("one that has its name is refused")
	}
	later := now.Add(2 * time.Hour)
	if !c.name("more", claimant{1, mac(1)}, later, time.Hour) || len(c.names) != 1 || len(c.clients) != 1 {
		t.Errorf("what ran out makes no room: %d names, %d clients", len(c.names), len(c.clients))
	}
	c.forget(1)
	if len(c.names)+len(c.clients) != 0 {
		t.Error("the port is gone, its claims are not")
	}
	if !c.name("for-ever", claimant{2, mac(2)}, now, ipam.NeverExpires) || c.name("for-ever", claimant{3, mac(3)}, now.Add(300*24*time.Hour), ipam.NeverExpires) {
		t.Error("an endless lease holds a name for long")
	}
}

func TestCrowd(t *testing.T) {
	h := func(i int) ipam.Holder { return ipam.Holder{Guest: "c1", MAC: numbered(i)} }
	var c crowd
	const limit = 3
	for i := range limit {
		if !c.admits(h(i), limit, now) {
			t.Fatalf("client %d is refused", i)
		}
		c.note(h(i), now, time.Duration(i+1)*time.Hour)
	}
	if c.admits(h(9), limit, now) || !c.admits(h(0), limit, now) {
		t.Error("a full crowd takes its own, and nobody else")
	}
	if c.admits(h(9), limit, now.Add(59*time.Minute)) || !c.admits(h(9), limit, now.Add(61*time.Minute)) {
		t.Error("whoever's lease is over makes room, not before")
	}
	c.note(h(1), now, time.Minute) // an offer does not cut a lease short
	if c.sweep(now.Add(90 * time.Minute)); len(c.until) != 2 {
		t.Errorf("%d are left, want 2", len(c.until))
	}
	c.gone(h(1))
	if len(c.until) != 1 {
		t.Error("who released counts still")
	}
	var flood crowd
	for i := range 100_000 { // offers that nobody takes up
		flood.note(h(i), now.Add(time.Duration(i)*10*time.Millisecond), offerMemory)
	}
	if len(flood.until) > 3*6000 {
		t.Errorf("%d offers of the last minute are remembered", len(flood.until))
	}
	for size, want := range map[byte]int{1: 1, 15: 15, 16: 15, 160: 150} {
		n := &ipam.Network{Range: ipam.Range{From: addr("10.0.0.1"), To: netip.AddrFrom4([4]byte{10, 0, 0, size})}}
		if got := share(n); got != want {
			t.Errorf("of %d a port may have %d, want %d", size, got, want)
		}
	}
}

func TestTroublesAreBounded(t *testing.T) {
	var tr troubles
	p := &ipam.Problem{Text: "full"}
	logged := 0
	for i := range 1000 {
		if tr.add(complainFull, ipam.ByMAC(numbered(i)), p, now) {
			logged++
		}
	}
	if n := len(tr.problems(now)); n != maxTroubled || logged != 1 {
		t.Errorf("%d problems, %d in the log; want %d and 1", n, logged, maxTroubled)
	}
	if n := len(tr.problems(now.Add(troubleMemory))); n != 0 {
		t.Errorf("%d problems that nobody has any more", n)
	}
	tr.add(complainDisk, ipam.ByName("c1"), p, now)
	if tr.offered(ipam.ByName("c1")); len(tr.problems(now)) != 1 {
		t.Error("an offer does not mean that the disk is well")
	}
	if tr.served(ipam.ByName("c1")); len(tr.problems(now)) != 0 {
		t.Error("it is served, and troubled still")
	}
}
