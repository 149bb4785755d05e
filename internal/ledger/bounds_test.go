package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal/crashfs"
)

func TestClockSetBack(t *testing.T) {
	t.Run("offers end as if made now", func(t *testing.T) {
		b := newBench(t)
		for i := range 8 {
			if _, err := b.Offer(br, client(fmt.Sprint("c", i)), netip.Addr{}); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.pass(-24 * time.Hour)
		for i := range 8 {
			if _, err := b.Offer(br, client(fmt.Sprint("d", i)), netip.Addr{}); err != nil {
				t.Fatalf("offers of the day before keep the range full: %v", err)
			}
		}
		b.clock.pass(time.Minute)
		b.CheckBooks(t)
		b.lease(client("e"))
		if n := b.OffersQueued(); n != 1 {
			t.Errorf("%d offers are queued, want e's alone", n)
		}
	})
	t.Run("by little", func(t *testing.T) {
		b := newBench(t)
		first, _ := b.Offer(br, client("c"), netip.Addr{})
		b.clock.pass(10 * time.Second)
		_, _ = b.Offer(br, client("d"), netip.Addr{})
		b.clock.pass(-2 * time.Second)
		again, err := b.Offer(br, client("c"), netip.Addr{})
		if err != nil || again.Addr != first.Addr {
			t.Errorf("offered %s, and then %s (%v)", first.Addr, again.Addr, err)
		}
		b.CheckBooks(t)
	})
	t.Run("a full range is gone through again", func(t *testing.T) {
		b := newBench(t)
		for i := range 8 {
			b.lease(client(fmt.Sprint("c", i)))
		}
		_, err := b.Offer(br, client("new"), netip.Addr{})
		if !errors.Is(err, ledger.ErrFull) {
			t.Fatal(err)
		}
		b.clock.pass(-24 * time.Hour)
		// Bound by the new clock, these run out by it too.
		_ = b.bind(client("c3"), b.Entitled(br, client("c3")).Addr)
		b.clock.pass(2 * time.Hour)
		if e, err := b.Offer(br, client("new"), netip.Addr{}); err != nil || e.Addr != b.Entitled(br, client("c3")).Addr {
			t.Errorf("offered %s: %v", e.Addr, err)
		}
	})
	t.Run("leases stay, also over a restart", func(t *testing.T) {
		b := newBench(t)
		a := b.lease(client("c"))
		b.clock.pass(-1000 * time.Hour)
		b.has(client("c"), a.String(), ipam.FromLease)
		b.answers("c", a.String())
		b.crash()
		b.answers("c", a.String())
		if again := b.lease(client("c")); again != a {
			t.Errorf("had %s, got %s", a, again)
		}
	})
}

// TestEvictingManyTakesBackTheLongestIdle has nearly all of the idle run, so that they are observed in several rounds.
func TestEvictingManyTakesBackTheLongestIdle(t *testing.T) {
	b := newBench(t)
	n := network(br, "10.9.0.1/16", "10.9.1.0", "10.9.2.43")
	b.nets = ipam.Networks{n}
	b.Configure(b.nets)
	const all, evicted, every = 300, 20, 10
	name := func(i int) string { return fmt.Sprintf("c%03d", i) }
	got := map[int]netip.Addr{}
	for i := range all {
		got[i] = b.lease(client(name(i)))
	}
	for i := evicted; i < all; i++ {
		if err := b.Release(t.Context(), br, ipam.ByName(name(i)), got[i]); err != nil {
			t.Fatal(err)
		}
		b.clock.pass(time.Second)
		if i%every != 0 {
			b.run(name(i), got[i].String())
		}
	}
	var wish []string
	for i := range evicted {
		wish = append(wish, fmt.Sprintf("new%d=%s", i, got[i]))
	}
	plan := b.PlanPins(pins(wish...))
	change := b.pin(wish...)
	if len(change.Problems) > 0 || !slices.Equal(plan.Moves, change.Moves) {
		t.Errorf("problems %v; planned %s, done %s", change.Problems, moves(plan), moves(change))
	}
	b.CheckBooks(t)
	for i := evicted; i < all; i++ {
		_, has := b.Lease(br, ipam.ByName(name(i)))
		if want := i%every != 0 || i >= evicted+evicted*every; has != want {
			t.Errorf("%s has a lease: %v, want %v", name(i), has, want)
		}
	}
}

func TestDrainOfWhatWasDeclinedLongAgo(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("c"))
	if err := b.Decline(t.Context(), br, ipam.ByName("c"), a); err != nil {
		t.Fatal(err)
	}
	b.clock.pass(11 * time.Minute)
	if err := b.Drain(t.Context(), br, a, ipam.ByName("d"), b.clock.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := b.bind(client("e"), a); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("the address being drained was given away: %v", err)
	}
}

// TestMoveToAPinWhileTheDiskFails has a guest take its pin, by hardware address, from a lease elsewhere.
func TestMoveToAPinWhileTheDiskFails(t *testing.T) {
	b := newBench(t)
	c := client("c")
	b.pin("c=10.9.0.101")
	b.run("c", "10.9.0.101")
	b.pin() // it never asked: the address stays its own, but nobody knows its hardware address
	b.pin(c.MAC.String() + "=10.9.0.102")
	disk := b.disk.(*crashfs.FS)
	disk.Fail(eio)
	if err := b.bind(c, addr("10.9.0.102")); err != nil {
		t.Fatal("a pinned guest was refused:", err)
	}
	disk.Fail(nil)
	b.CheckBooks(t)
	if err := b.bind(client("d"), addr("10.9.0.101")); err != nil {
		t.Error("what it left is not free:", err)
	}
	b.crash()
	b.has(c, "10.9.0.102", ipam.FromPin)
}

func TestPlanDropsNoOffer(t *testing.T) {
	b := newBench(t)
	e, err := b.Offer(br, client("c"), netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	b.PlanPins(pins("c=10.9.0.50"))
	b.has(client("c"), e.Addr.String(), ipam.FromOffer)
}

// TestRenewedInMemoryIsStoredLater has a renewal miss the snapshot that heals the journal.
func TestRenewedInMemoryIsStoredLater(t *testing.T) {
	for name, failures := range map[string]int{"with the next change": 0, "when the next change fails, too": 1} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			a := b.lease(client("c"))
			b.clock.pass(30 * time.Minute)
			if !b.RenewInMemory(br, client("c"), a, time.Hour) {
				t.Fatal("not renewed")
			}
			want := b.Entitled(br, client("c")).Expiry
			disk := b.disk.(*crashfs.FS)
			e, err := b.Offer(br, client("d"), netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			for range failures {
				disk.Fail(eio)
				if err := b.bind(client("d"), e.Addr); !errors.Is(err, ledger.ErrDisk) {
					t.Fatal(err)
				}
				disk.Fail(nil)
				b.CheckBooks(t)
			}
			if err := b.bind(client("d"), e.Addr); err != nil {
				t.Fatal(err)
			}
			b.crash()
			if got := b.Entitled(br, client("c")).Expiry; !got.Equal(want) {
				t.Errorf("it was told %s, stored is %s", want, got)
			}
		})
	}
}

func TestNamesClaimedByManyAreBounded(t *testing.T) {
	b := newBench(t)
	n := network(br, "10.9.0.1/16", "10.9.1.0", "10.9.1.199")
	n.TrustHostname = true
	b.nets = ipam.Networks{n}
	b.Configure(b.nets)
	stranger := func(i int) ipam.Client {
		mac := ipam.MAC{2, 0, 0, 0, 0, byte(i)}
		return ipam.Client{Holder: ipam.ByMAC(mac), MAC: mac, PinMAC: mac, Hostname: "same"}
	}
	first := b.lease(stranger(0))
	for i := range 150 {
		b.clock.pass(time.Second)
		b.lease(stranger(i))
	}
	if got := b.Claims(br, "same"); got > 16 {
		t.Errorf("%d are remembered for one name", got)
	}
	b.answers("same", first.String())
	b.crash()
	if got := b.Claims(br, "same"); got > 16 {
		t.Errorf("after a restart %d are remembered", got)
	}
	b.answers("same", first.String())
	guest := b.lease(client("same"))
	b.answers("same", guest.String())
	_ = b.Release(t.Context(), br, ipam.ByName("same"), guest)
	b.answers("same", first.String())
}

func TestOffersOfOneClientDoNotPileUp(t *testing.T) {
	b := newBench(t)
	for range 1000 {
		if _, err := b.Offer(br, client("c"), netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		b.clock.pass(time.Second)
	}
	if n := b.OffersQueued(); n > 4 {
		t.Errorf("%d offers of one client are queued", n)
	}
}

func TestGivenUpWaitsLeaveNothingBehind(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.WaitAcked(ctx, br, ipam.ByName("c"), addr("10.9.0.50")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := b.AcksWaiting(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestParentOfIdleNamesDoesNotExist(t *testing.T) {
	b := newBench(t)
	a := b.lease(client("web:eth1"))
	exists := func() bool { _, ok := b.LookupName(br, "web"); return ok }
	if !exists() {
		t.Error("eth1.web answers, but web does not exist (RFC 8020)")
	}
	_ = b.Release(t.Context(), br, ipam.ByName("web:eth1"), a)
	if exists() {
		t.Error("eth1.web is idle, but web exists")
	}
}
