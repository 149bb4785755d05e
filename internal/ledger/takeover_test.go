package ledger_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal/crashfs"
)

// found is a lease in a file: "holder=addr", its line, and when it ends, seconds from now; 0: never.
func (b *bench) found(line int, what string, seconds int) ledger.Found {
	name, a, _ := strings.Cut(what, "=")
	f := ledger.Found{Source: ipam.Source{File: "leases", Line: line}}
	f.Addr = addr(a)
	if mac, err := ipam.ParseMAC(name); err == nil {
		f.Holder, f.MAC = ipam.ByMAC(mac), mac
	} else {
		f.Holder, f.MAC = ipam.ByName(name), client(name).MAC
	}
	if seconds != 0 {
		f.Expiry = b.clock.Now().Add(time.Duration(seconds) * time.Second)
	}
	return f
}

func (b *bench) files(what ...string) []ledger.Found {
	var all []ledger.Found
	for i, w := range what {
		all = append(all, b.found(i+1, w, 1800))
	}
	return all
}

func (b *bench) takeOver(found ...ledger.Found) ledger.Imported {
	b.t.Helper()
	plan := b.PlanImport(found)
	done, err := b.Import(context.Background(), found)
	if err != nil {
		b.t.Fatal(err)
	}
	if tell(plan) != tell(done) {
		b.t.Errorf("planned %s, done %s", tell(plan), tell(done))
	}
	return done
}

// tell words what became of leases.
func tell(i ledger.Imported) string {
	var out []string
	for _, l := range i.Taken {
		out = append(out, fmt.Sprintf("%s=%s", l.Holder, l.Addr))
	}
	return fmt.Sprintf("%s; %d same; %v", strings.Join(out, " "), i.Same, i.Problems)
}

const unnamed = "02:00:00:00:00:09"

func mac(s string) ipam.MAC {
	m, err := ipam.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func TestImport(t *testing.T) {
	tests := []struct {
		name   string
		before func(*bench)
		found  []string
		want   string   // who was taken over
		same   int      //
		left   []string // parts of what is said of the others
	}{
		{name: "guest and unnamed client", found: []string{"c=10.9.0.200", unnamed + "=10.9.0.101"}, want: "c=10.9.0.200 " + unnamed + "=10.9.0.101"},
		{name: "what is so already", before: func(b *bench) { b.takeOver(b.files("c=10.9.0.200")...) }, found: []string{"c=10.9.0.200"}, same: 1},
		{name: "outside every network", found: []string{"c=10.8.0.4"}, left: []string{"leases:1: 10.8.0.4 lies in no network"}},
		{name: "the gateway, network and broadcast address", found: []string{"a=10.9.0.1", "b=10.9.0.0", "c=10.9.0.255"},
			left: []string{"leases:1: 10.9.0.1 is the gateway", "leases:2: 10.9.0.0 is the network", "leases:3: 10.9.0.255 is the broadcast"}},
		{name: "pinned to the guest itself", before: func(b *bench) { b.pin("c=10.9.0.50") }, found: []string{"c=10.9.0.50"}, want: "c=10.9.0.50"},
		{name: "pinned to its hardware address", before: func(b *bench) { b.pin(unnamed + "=10.9.0.50") }, found: []string{unnamed + "=10.9.0.50"}, want: unnamed + "=10.9.0.50"},
		{name: "pinned to somebody else", before: func(b *bench) { b.pin("d=10.9.0.50") }, found: []string{"c=10.9.0.50"},
			left: []string{"leases:1: 10.9.0.50 is leased to c, and pinned to d (pins:1)"}},
		{name: "the guest is pinned elsewhere", before: func(b *bench) { b.pin("c=10.9.0.50") }, found: []string{"c=10.9.0.51"},
			left: []string{"leases:1: 10.9.0.51 is leased to c, which is pinned to 10.9.0.50 (pins:1)"}},
		{name: "leased to somebody else by now", before: func(b *bench) { b.takeOver(b.files("d=10.9.0.101")...) }, found: []string{"c=10.9.0.101"},
			left: []string{"leases:1: 10.9.0.101 belongs to d by now, not to c"}},
		{name: "the guest has another by now", before: func(b *bench) { b.takeOver(b.files("c=10.9.0.101")...) }, found: []string{"c=10.9.0.102"},
			left: []string{"leases:1: c has 10.9.0.101 already"}},
		{name: "the guest had another, long ago", before: func(b *bench) {
			b.takeOver(b.files("c=10.9.0.101")...)
			b.clock.pass(time.Hour)
		}, found: []string{"c=10.9.0.102"}, want: "c=10.9.0.102"},
		{name: "two of one file", found: []string{"c=10.9.0.101", "d=10.9.0.101"}, want: "c=10.9.0.101", left: []string{"leases:2: 10.9.0.101 belongs to c by now, not to d"}},
		{name: "kept for a guest that never asked", before: func(b *bench) {
			b.pin("c=10.9.0.101")
			b.pin()
		}, found: []string{"c=10.9.0.101"}, want: "c=10.9.0.101"},
		{name: "declined", before: func(b *bench) {
			e, _ := b.Offer(br, client("d"), addr("10.9.0.101"))
			if err := b.Decline(context.Background(), br, ipam.ByName("d"), e.Addr); err != nil {
				b.t.Fatal(err)
			}
		}, found: []string{"c=10.9.0.101"}, left: []string{"leases:1: 10.9.0.101 was declined by d"}},
		{name: "draining for somebody else", before: func(b *bench) {
			if err := b.Drain(context.Background(), br, addr("10.9.0.101"), ipam.ByName("d"), b.clock.Now().Add(time.Minute)); err != nil {
				b.t.Fatal(err)
			}
		}, found: []string{"c=10.9.0.101"}, left: []string{"leases:1: 10.9.0.101 is in use by d, which is leaving it"}},
		{name: "draining for the guest itself", before: func(b *bench) {
			if err := b.Drain(context.Background(), br, addr("10.9.0.101"), ipam.ByName("c"), b.clock.Now().Add(time.Minute)); err != nil {
				b.t.Fatal(err)
			}
		}, found: []string{"c=10.9.0.101"}, want: "c=10.9.0.101"},
		{name: "a guest known by its hardware address that is not plugged in", before: func(b *bench) {
			b.lease(client("c"))
			b.clock.pass(2 * time.Hour)
		}, found: []string{client("c").MAC.String() + "=10.9.0.200"}, want: "c=10.9.0.200"},
		{name: "a multicast hardware address", found: []string{"03:00:00:00:00:01=10.9.0.101"}, left: []string{"leases:1: 10.9.0.101 is leased to nobody that could be recognised"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.before != nil {
				tt.before(b)
			}
			done := b.takeOver(b.files(tt.found...)...)
			if have, _, _ := strings.Cut(tell(done), ";"); have != tt.want || done.Same != tt.same || len(done.Problems) != len(tt.left) {
				t.Fatalf("%s\nwant %s; %d same; %v", tell(done), tt.want, tt.same, tt.left)
			}
			for i, p := range done.Problems {
				if !strings.Contains(p.Error(), tt.left[i]) || p.Hint == "" {
					t.Errorf("said %v, want %s", p, tt.left[i])
				}
			}
			b.CheckBooks(t)
			before := b.Leases()
			b.crash()
			if !slices.Equal(before, b.Leases()) {
				t.Errorf("after a crash %v, before %v", b.Leases(), before)
			}
			b.CheckBooks(t)
			if again := b.takeOver(b.files(tt.found...)...); len(again.Taken) != 0 {
				t.Errorf("a second time: %s", tell(again))
			}
		})
	}
}

// TestImportedLeaseIsRenewed: whoever it belongs to is known by more than it was imported for.
func TestImportedLeaseIsRenewed(t *testing.T) {
	named, hw := client("c"), mac(unnamed)
	nested := ipam.Client{Holder: ipam.Holder{Guest: "c", MAC: hw}, MAC: hw, PinMAC: hw}
	guest := ipam.Client{Holder: ipam.ByName("late"), MAC: hw, PinMAC: hw}
	bare := ipam.Client{Holder: ipam.ByMAC(hw), MAC: hw, PinMAC: hw}
	for _, tt := range []struct {
		name, found string
		client      ipam.Client
	}{
		{"a guest", "c=10.9.0.200", named},
		{"a client that nobody can name", unnamed + "=10.9.0.200", bare},
		{"a guest that was not plugged in then", unnamed + "=10.9.0.200", guest},
		{"a client behind a guest's port", unnamed + "=10.9.0.200", nested},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.takeOver(b.found(1, tt.found, 1800))
			e := b.Entitled(br, tt.client)
			if e.Addr != addr("10.9.0.200") || e.Origin != ipam.FromLease || e.Acked != e.Addr || !e.Expiry.Equal(b.clock.Now().Add(30*time.Minute)) {
				t.Errorf("entitled to %+v", e)
			}
			if err := b.bind(tt.client, e.Addr); err != nil {
				t.Fatal(err)
			}
			if leases := b.Leases(); len(leases) != 1 || leases[0].Holder != tt.client.Holder {
				t.Errorf("leases %v", leases)
			}
			b.CheckBooks(t)
		})
	}
}

func TestImportKeepsWhatHasRunOut(t *testing.T) {
	b := newBench(t)
	b.takeOver(b.found(1, "c=10.9.0.101", -60), b.found(2, "d=10.9.0.102", 0))
	b.has(client("c"), "10.9.0.101", ipam.FromLease)
	b.answers("c", "")
	b.answers("d", "10.9.0.102")
	b.clock.pass(1000 * time.Hour)
	b.answers("d", "10.9.0.102")
	// A full range takes back the one that has run out, and not the other.
	for i := range 6 {
		b.lease(client(fmt.Sprint("other", i)))
	}
	if a := b.lease(client("last")); a != addr("10.9.0.101") {
		t.Errorf("the last was given %s", a)
	}
	b.has(client("d"), "10.9.0.102", ipam.FromLease)
}

// TestImportIsNotStoppedByAnOffer: what was merely offered meanwhile is not kept from its old holder.
func TestImportIsNotStoppedByAnOffer(t *testing.T) {
	b := newBench(t)
	e, err := b.Offer(br, client("new"), addr("10.9.0.103"))
	if err != nil || e.Addr != addr("10.9.0.103") {
		t.Fatal(e, err)
	}
	b.takeOver(b.files("c=10.9.0.103")...)
	b.has(client("c"), "10.9.0.103", ipam.FromLease)
	if err := b.bind(client("new"), e.Addr); err == nil {
		t.Error("the offer still counts")
	}
	b.CheckBooks(t)
}

func TestImportTellsWatchers(t *testing.T) {
	b := newBench(t)
	events, stop := b.Watch()
	defer stop()
	done := b.takeOver(b.files("c=10.9.0.101")...)
	e := <-events
	if e.Kind != ledger.KindLease || e.Holder != ipam.ByName("c") || e.Addr != addr("10.9.0.101") || e.Rev != done.Rev || e.Rev == 0 {
		t.Errorf("heard %+v, revision %d", e, done.Rev)
	}
}

func TestImportOfHostileNames(t *testing.T) {
	b := newBench(t)
	f := b.found(1, unnamed+"=10.9.0.101", 0)
	f.Hostname, f.Start = "a.b\x1b[2J", b.clock.Now().Add(time.Hour)
	done := b.takeOver(f)
	if l := done.Taken[0]; l.Hostname != "" || l.Start.After(b.clock.Now()) {
		t.Errorf("taken over as %+v", l)
	}
}

// TestImportOfMany: more than are stored in one step.
func TestImportOfMany(t *testing.T) {
	b := newBench(t)
	b.nets = ipam.Networks{network(br, "10.9.0.1/16", "10.9.1.0", "10.9.20.255")}
	b.Configure(b.nets)
	var found []ledger.Found
	for i := range 3000 {
		m := ipam.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}
		found = append(found, ledger.Found{Lease: ipam.Lease{Holder: ipam.ByMAC(m), MAC: m, Addr: netip.AddrFrom4([4]byte{10, 9, byte(1 + i/250), byte(i % 250)})}})
	}
	if done := b.takeOver(found...); len(done.Taken) != 3000 || len(done.Problems) != 0 {
		t.Fatalf("%d taken, %v", len(done.Taken), done.Problems)
	}
	b.crash()
	if done := b.takeOver(found...); done.Same != 3000 {
		t.Errorf("after a crash %d of them are there", done.Same)
	}
	b.CheckBooks(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Import(ctx, found); err == nil {
		t.Error("it goes on when nobody waits for it")
	}
}

// TestImportOnABadDisk: what can not be stored is not taken over, and the rest of the ledger is as before.
func TestImportOnABadDisk(t *testing.T) {
	b := newBench(t)
	b.takeOver(b.files("c=10.9.0.101")...)
	disk := b.disk.(*crashfs.FS)
	disk.Limit(disk.Used() + 3)
	if done, err := b.Import(t.Context(), b.files("c=10.9.0.101", "d=10.9.0.102")); err == nil || len(done.Taken) != 0 {
		t.Errorf("%s, %v", tell(done), err)
	}
	b.has(client("c"), "10.9.0.101", ipam.FromLease)
	b.has(client("d"), "", "")
	b.CheckBooks(t)
}

// BenchmarkPlanImport is for how long nobody else is served while 60,000 leases are planned; Import takes a
// thousand at a time.
func BenchmarkPlanImport(b *testing.B) {
	l := newBench(b)
	l.nets = ipam.Networks{network(br, "10.0.0.1/8", "10.1.0.0", "10.9.255.255")}
	l.Configure(l.nets)
	var found []ledger.Found
	for i := range 60_000 {
		m := ipam.MAC{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		found = append(found, ledger.Found{Lease: ipam.Lease{Holder: ipam.ByMAC(m), MAC: m, Addr: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}})
	}
	for b.Loop() {
		if n := len(l.PlanImport(found).Taken); n < 59_000 {
			b.Fatal(n)
		}
	}
}
