package ledger_test

import (
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal"
	"berth/internal/ledger/journal/crashfs"
)

// stored puts records into a fresh journal, as a cut by hand or another program may leave them.
func stored(t *testing.T, records ...[]byte) *crashfs.FS {
	t.Helper()
	disk := crashfs.New()
	var mu sync.Mutex
	j, err := journal.Open(journal.Options{
		Dir: "/state", FS: disk, L: &mu, Replay: func([]byte) error { return nil },
		Snapshot: func() iter.Seq[[]byte] { return func(func([]byte) bool) {} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		mu.Lock()
		_, err := j.Append(record, func(error) {})
		mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestTwoOwnersOfOneStoredAddress(t *testing.T) {
	disk := stored(t, ledger.TwoOwners("10.9.0.100")...)
	for range 5 { // whatever the order of maps
		l, err := ledger.Open(t.Context(), ledger.Options{Dir: "/state", FS: disk.Reboot(crashfs.Keep()), Now: newClock().Now})
		if err != nil {
			t.Fatal(err)
		}
		l.Configure(ipam.Networks{network(br, "10.9.0.1/24", "10.9.0.100", "10.9.0.107")})
		l.CheckBooks(t)
		if h, _, _ := l.Owner(br, addr("10.9.0.100")); h != ipam.ByName("second") {
			t.Errorf("%s has it, want the one who was told last", h)
		}
		if p := l.Pins(); len(p) != 1 || p[0].Holder != ipam.ByName("second") {
			t.Errorf("pins %v", p)
		}
		w := l.Status().Warnings
		if len(w) != 2 || !strings.Contains(w[0].Text, "first") || !strings.Contains(w[0].Text, "second") || w[0].Hint == "" {
			t.Errorf("warnings %v", w)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageIsExplained(t *testing.T) {
	for name, damage := range map[string]struct {
		disk func(*testing.T) *crashfs.FS
		want string
	}{
		"a record of a newer version": {
			func(t *testing.T) *crashfs.FS { return stored(t, []byte{1, 99, 0}) }, "newer version",
		},
		"a record cut short": {
			func(t *testing.T) *crashfs.FS { return stored(t, ledger.SampleRecords()[1][:40]) }, "cut short",
		},
		"a flipped bit in the log": {func(t *testing.T) *crashfs.FS {
			disk := stored(t, ledger.SampleRecords()...)
			disk.Edit("/state/log.00000001", func(b []byte) []byte { b[50] ^= 1; return b })
			return disk
		}, "damaged at byte"},
		"a flipped bit in the snapshot": {func(t *testing.T) *crashfs.FS {
			b := newBench(t)
			b.pin("cent01=10.9.0.50")
			for range 200 { // until it is rotated
				b.lease(client("c"))
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			disk := b.disk.(*crashfs.FS)
			names, _ := disk.List("/state")
			for _, name := range names {
				if strings.HasPrefix(name, "snapshot.") {
					disk.Edit("/state/"+name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
					return disk
				}
			}
			t.Fatalf("no snapshot in %v", names)
			return nil
		}, "snapshot is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := damage.disk(t).Reboot(crashfs.Keep())
			_, err := ledger.Open(t.Context(), ledger.Options{Dir: "/state", FS: disk})
			var p *ipam.Problem
			if !errors.As(err, &p) || !strings.Contains(p.Text, damage.want) || p.Hint == "" || p.Source.File == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRotationWithWriters has many write while logs are rotated and snapshots written, and looks at what is stored.
func TestRotationWithWriters(t *testing.T) {
	dir := t.TempDir()
	open := func() *ledger.Ledger {
		l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, RotateAt: 3000})
		if err != nil {
			t.Fatal(err)
		}
		l.Configure(ipam.Networks{network(br, "10.9.0.1/16", "10.9.1.0", "10.9.2.255")})
		return l
	}
	l := open()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				c := client(string(rune('a'+w)) + string(rune('a'+i%20)))
				e, err := l.Offer(br, c, addr("10.9.1.7"))
				if err == nil {
					_, err = l.Bind(t.Context(), br, c, e.Addr, time.Hour)
				}
				if err == nil && i%7 == 0 {
					err = l.Release(t.Context(), br, c.Holder, e.Addr)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 60 {
			if _, err := l.SetPins(t.Context(), pins([]string{"aa=10.9.0.9", "aa=10.9.1.9", "bb=10.9.1.9"}[i%3])); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	l.CheckBooks(t)
	if s := l.Status().Journal; s.SnapshotBytes == 0 || s.Err != nil || s.SnapshotErr != nil {
		t.Errorf("nothing was rotated, or it failed: %+v", s)
	}
	leases, pinned := l.Leases(), l.Pins()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	defer l.Close()
	if got := l.Leases(); len(got) != len(leases) {
		t.Errorf("%d leases, stored were %d", len(leases), len(got))
	} else {
		for i := range got {
			if got[i] != leases[i] {
				t.Errorf("lease %+v, stored is %+v", leases[i], got[i])
			}
		}
	}
	if got := l.Pins(); len(got) != 1 || got[0].Addr != pinned[0].Addr {
		t.Errorf("pins %v, stored are %v", pinned, got)
	}
}
