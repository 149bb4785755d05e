package ledger_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/ledger/journal/crashfs"
)

// sizes are how many pins or leases there are besides; the figures must not grow with them.
func sizes() []int { return []int{100, 60_000} }

// big opens a ledger with n pins, on the disk given or on one that is as fast as memory.
func big(b *testing.B, n int, o ledger.Options) *ledger.Ledger {
	b.Helper()
	if o.Dir == "" {
		o.Dir, o.FS = "/state", crashfs.New()
	}
	l, err := ledger.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	l.Configure(ipam.Networks{network(br, "10.0.0.1/14", "10.2.0.0", "10.3.255.250")})
	if _, err := l.SetPins(context.Background(), manyPins(n)); err != nil {
		b.Fatal(err)
	}
	return l
}

func manyPins(n int) []ipam.Pin {
	out := make([]ipam.Pin, n)
	for i := range out {
		out[i] = ipam.Pin{
			Holder: ipam.ByName(fmt.Sprint("guest", i)), Addr: manyAddr(i),
			Source: ipam.Source{File: "/etc/berth/pins", Line: i + 1, Col: 1},
		}
	}
	return out
}

func manyAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

func manyClient(i int) ipam.Client {
	mac := ipam.MAC{2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	return ipam.Client{Holder: ipam.ByName(fmt.Sprint("guest", i)), MAC: mac, PinMAC: mac}
}

// BenchmarkBind is one client at a time, on a disk that costs nothing: what deciding, encoding and showing cost.
func BenchmarkBind(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint("pins=", n), func(b *testing.B) {
			// crashfs copies its files at each sync; a real directory in memory would be measured as a disk.
			l := big(b, n, ledger.Options{Dir: b.TempDir()})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := l.Bind(context.Background(), br, manyClient(i%n), manyAddr(i%n), time.Hour); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkBindTogether is 64 clients at a time, who share an fsync.
func BenchmarkBindTogether(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint("pins=", n), func(b *testing.B) {
			l := big(b, n, ledger.Options{Dir: b.TempDir()})
			b.ReportAllocs()
			b.SetParallelism(64)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := l.Bind(context.Background(), br, manyClient(i%n), manyAddr(i%n), time.Hour); err != nil {
						b.Error(err)
						return
					}
				}
			})
			s := l.Status().Journal
			b.ReportMetric(float64(s.Records)/float64(s.Syncs), "records/sync")
		})
	}
}

// BenchmarkSetPinsOneOf60000 changes one pin of 60,000 and waits for the disk.
func BenchmarkSetPinsOneOf60000(b *testing.B) {
	l := big(b, 60_000, ledger.Options{Dir: b.TempDir()})
	wish := manyPins(60_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		wish[i%60_000].Addr = netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		if c, err := l.SetPins(context.Background(), wish); err != nil || len(c.Problems) > 0 {
			b.Fatal(err, c.Problems)
		}
		i++
	}
}

// BenchmarkOffer is to new clients, while the range has room.
func BenchmarkOffer(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint("pins=", n), func(b *testing.B) {
			clock := newClock()
			l := big(b, n, ledger.Options{Now: clock.Now})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := l.Offer(br, manyClient(1_000_000+i), netip.Addr{}); err != nil {
					b.Fatal(err)
				}
				if i++; i%10_000 == 0 {
					clock.pass(time.Minute)
				}
			}
		})
	}
}

// BenchmarkOfferFullRange is a flood of new clients beyond a full range of 60,000 leases, none of them idle.
func BenchmarkOfferFullRange(b *testing.B) {
	l := big(b, 1, ledger.Options{})
	full := network(br, "10.0.0.1/14", "10.2.0.0", "10.2.234.95")
	wide := *full
	wide.LeaseTime = time.Hour
	l.Configure(ipam.Networks{&wide})
	pinned := make([]ipam.Pin, full.Range.Size())
	for i := range pinned {
		pinned[i] = ipam.Pin{Holder: ipam.ByName(fmt.Sprint("guest", i)), Addr: full.Range.At(i)}
	}
	for _, wish := range [][]ipam.Pin{pinned, nil} { // what was pinned stays as idle leases
		if _, err := l.SetPins(context.Background(), wish); err != nil {
			b.Fatal(err)
		}
	}
	l.SetRunning(func(string, ipam.Holder) (netip.Addr, bool) { return netip.Addr{}, true })
	i := 0
	for b.Loop() {
		_, _ = l.Offer(br, manyClient(1_000_000+i), netip.Addr{})
		i++
	}
}

// BenchmarkEntitled and BenchmarkLookupName are what every packet and query cost.
func BenchmarkEntitled(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint("pins=", n), func(b *testing.B) {
			l := big(b, n, ledger.Options{})
			c := manyClient(7)
			b.ReportAllocs()
			for b.Loop() {
				l.Entitled(br, c)
			}
		})
	}
}

// BenchmarkLookupName is a DNS query for a pinned name.
func BenchmarkLookupName(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprint("pins=", n), func(b *testing.B) {
			l := big(b, n, ledger.Options{})
			b.ReportAllocs()
			for b.Loop() {
				l.LookupName(br, "guest7")
			}
		})
	}
}

// BenchmarkOpen reads 60,000 pins and as many leases.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l := big(b, 60_000, ledger.Options{Dir: dir})
	if _, err := l.SetPins(context.Background(), nil); err != nil { // leaves leases
		b.Fatal(err)
	}
	if _, err := l.SetPins(context.Background(), manyPins(60_000)); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := ledger.Open(b.Context(), ledger.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if s := l.Status(); s.Pins != 60_000 || s.Leases != 60_000 {
			b.Fatal(s)
		}
		_ = l.Close()
	}
}

// BenchmarkTakeSnapshot is for how long a rotation holds up others.
func BenchmarkTakeSnapshot(b *testing.B) {
	l := big(b, 60_000, ledger.Options{})
	b.ReportAllocs()
	for b.Loop() {
		l.TakeSnapshot()
	}
}
