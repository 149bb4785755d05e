package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal/crashfs"
)

func TestFullDisk(t *testing.T) {
	b := newBench(t)
	disk := b.disk.(*crashfs.FS)
	b.pin("pinned=10.9.0.50")
	a := b.lease(client("old"))
	before := b.Entitled(br, client("old")).Expiry
	disk.Limit(disk.Used() + 3)
	b.clock.pass(1000)

	e, err := b.Offer(br, client("new"), addr("10.9.0.104"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bind(client("new"), e.Addr); !errors.Is(err, ledger.ErrDisk) {
		t.Errorf("a new lease: %v", err)
	}
	if _, _, ok := b.Owner(br, e.Addr); ok {
		t.Error("the refused lease can be seen")
	}
	if _, err := b.SetPins(t.Context(), pins("pinned=10.9.0.51")); !errors.Is(err, ledger.ErrDisk) {
		t.Errorf("another pin: %v", err)
	}
	b.has(client("pinned"), "10.9.0.50", ipam.FromPin)
	if err := b.bind(client("old"), a); err != nil {
		t.Errorf("a renewal: %v", err)
	}
	if after := b.Entitled(br, client("old")).Expiry; !after.After(before) {
		t.Errorf("the renewal was not noted: %v", after)
	}
	if err := b.bind(client("pinned"), addr("10.9.0.50")); err != nil {
		t.Errorf("a pinned guest: %v", err)
	}
	b.answers("pinned", "10.9.0.50")
	w := b.Status().Warnings
	if len(w) != 1 || w[0].Code != ipam.CodeFull || !strings.Contains(w[0].Text, "full") || w[0].Hint == "" {
		t.Errorf("warnings: %v", w)
	}

	disk.Limit(-1)
	if err := b.bind(client("new"), e.Addr); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if w := b.Status().Warnings; len(w) != 0 {
		t.Errorf("still warns: %v", w)
	}
	all := b.Leases()
	b.crash()
	if got := b.Leases(); len(got) != 3 || got[0].Expiry != all[0].Expiry {
		t.Errorf("what was renewed meanwhile is stored too: %v, %v", all, got)
	}
	b.has(client("new"), e.Addr.String(), ipam.FromLease)
}

// TestFailureUndoesEverythingDecided has a disk fail under each kind of decision.
func TestFailureUndoesEverythingDecided(t *testing.T) {
	b := newBench(t)
	disk := b.disk.(*crashfs.FS)
	a := b.lease(client("a"))
	c := b.lease(client("c"))
	b.pin("p=10.9.0.50", "q=10.9.0.51")
	for name, try := range map[string]func() error{
		"evict":   func() error { _, err := b.SetPins(t.Context(), pins("p="+a.String(), "q=10.9.0.51")); return err },
		"swap":    func() error { _, err := b.SetPins(t.Context(), pins("p=10.9.0.51", "q=10.9.0.50")); return err },
		"unpin":   func() error { _, err := b.SetPins(t.Context(), nil); return err },
		"release": func() error { return b.Release(t.Context(), br, ipam.ByName("a"), a) },
		"decline": func() error { return b.Decline(t.Context(), br, ipam.ByName("c"), c) },
		"drain": func() error {
			return b.Drain(t.Context(), br, addr("10.9.0.77"), ipam.ByName("a"), b.clock.Now().Add(1e9))
		},
	} {
		disk.Fail(eio)
		if err := try(); !errors.Is(err, ledger.ErrDisk) {
			t.Errorf("%s: %v", name, err)
		}
		disk.Fail(nil)
		b.CheckBooks(t)
		b.has(client("a"), a.String(), ipam.FromLease)
		b.has(client("c"), c.String(), ipam.FromLease)
		b.has(client("p"), "10.9.0.50", ipam.FromPin)
		b.has(client("q"), "10.9.0.51", ipam.FromPin)
	}
	if err := b.bind(client("d"), addr("10.9.0.50")); !errors.Is(err, ledger.ErrTaken) {
		t.Error("and the next decision rests on it:", err)
	}
	b.crash()
	b.has(client("p"), "10.9.0.50", ipam.FromPin)
}
