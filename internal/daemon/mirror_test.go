package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/leasefile"
	"berth/internal/ledger"
)

// mirrored is a ledger and the mirror of it, of networks br0 and br1.
type mirrored struct {
	*ledger.Ledger
	t    testing.TB
	dir  string
	mu   sync.Mutex
	nets ipam.Networks
	said ipam.Problems
	*mirror
}

func mirrorNetwork(name, subnet string) *ipam.Network {
	p := netip.MustParsePrefix(subnet)
	n := &ipam.Network{Name: name, Gateway: p.Addr(), Subnet: p.Masked(), LeaseTime: time.Hour, Domain: "lxd"}
	n.Range = n.Hosts()
	return n
}

func newMirrored(t testing.TB) *mirrored {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	w := &mirrored{Ledger: l, t: t, dir: t.TempDir(), nets: ipam.Networks{mirrorNetwork("br0", "10.0.0.1/16"), mirrorNetwork("br1", "10.1.0.1/24")}}
	t.Cleanup(func() { _ = l.Close() })
	l.Configure(w.nets)
	w.mirror = newMirror(w.dir, l, w.networks, w.report, slog.New(slog.DiscardHandler))
	return w
}

func (w *mirrored) networks() ipam.Networks {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nets
}

func (w *mirrored) report(ps ipam.Problems) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = ps
}

// run runs the mirror until the test ends or stop is called.
func (w *mirrored) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.mirror.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *mirrored) path(bridge string) string {
	return filepath.Join(w.dir, "dnsmasq."+bridge+".leases")
}

func (w *mirrored) text(bridge string) string {
	data, err := os.ReadFile(w.path(bridge))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// shows waits until a file has these lines, in which expiries are "E", and returns how long that took.
func (w *mirrored) shows(bridge string, want ...string) time.Duration {
	w.t.Helper()
	began, have := time.Now(), ""
	text := strings.Join(want, "\n")
	for time.Since(began) < 10*time.Second {
		have = w.lines(bridge)
		if have == text {
			return time.Since(began)
		}
		pauseFor(context.Background(), 2*time.Millisecond)
	}
	w.t.Fatalf("%s shows\n%s\nwant\n%s", bridge, have, text)
	return 0
}

func (w *mirrored) lines(bridge string) string {
	var lines []string
	for line := range strings.Lines(w.text(bridge)) {
		expiry, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if expiry != "0" && len(expiry) == 10 {
			expiry = "E"
		}
		lines = append(lines, expiry+" "+rest)
	}
	return strings.Join(lines, "\n")
}

func mirrorMAC(i int) ipam.MAC { return ipam.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)} }

func mirrorGuest(name string, i int) ipam.Client {
	return ipam.Client{Holder: ipam.ByName(name), MAC: mirrorMAC(i), PinMAC: mirrorMAC(i), ClientID: "\x01\xfe"}
}

func mirrorClient(i int, hostname string) ipam.Client {
	return ipam.Client{Holder: ipam.ByMAC(mirrorMAC(i)), MAC: mirrorMAC(i), PinMAC: mirrorMAC(i), Hostname: hostname}
}

func (w *mirrored) lease(network string, c ipam.Client, a string, d time.Duration) {
	w.t.Helper()
	if _, err := w.Bind(context.Background(), network, c, netip.MustParseAddr(a), d); err != nil {
		w.t.Fatal(err)
	}
}

func (w *mirrored) pin(pins ...ipam.Pin) {
	w.t.Helper()
	if _, err := w.SetPins(context.Background(), pins); err != nil {
		w.t.Fatal(err)
	}
}

func TestMirrorFollowsTheLedger(t *testing.T) {
	w := newMirrored(t)
	w.run()
	w.shows("br0")
	w.shows("br1")

	w.lease("br0", mirrorGuest("cent01", 1), "10.0.0.10", time.Hour)
	if took := w.shows("br0", "E 02:00:00:00:00:01 10.0.0.10 cent01 01:fe"); took > time.Second {
		t.Errorf("a lease was in the file after %s", took)
	}
	w.lease("br0", mirrorClient(2, "cent01"), "10.0.0.11", ipam.NeverExpires) // claims a guest's name
	w.lease("br0", mirrorClient(3, "printer"), "10.0.0.12", time.Hour)
	w.lease("br0", mirrorClient(4, "printer"), "10.0.0.13", time.Hour)
	w.lease("br1", mirrorGuest("other:eth1", 5), "10.1.0.10", time.Hour)
	w.shows("br0", "E 02:00:00:00:00:04 10.0.0.13 * *", "E 02:00:00:00:00:03 10.0.0.12 printer *",
		"0 02:00:00:00:00:02 10.0.0.11 * *", "E 02:00:00:00:00:01 10.0.0.10 cent01 01:fe")
	w.shows("br1", "E 02:00:00:00:00:05 10.1.0.10 eth1.other 01:fe")

	// Pinned and never asked for: no lease. Pinned and moved: where it is to be.
	w.pin(ipam.Pin{Holder: ipam.ByName("absent"), Addr: netip.MustParseAddr("10.0.0.99")},
		ipam.Pin{Holder: ipam.ByName("cent01"), Addr: netip.MustParseAddr("10.0.0.50")})
	w.shows("br0", "E 02:00:00:00:00:04 10.0.0.13 * *", "E 02:00:00:00:00:03 10.0.0.12 printer *",
		"0 02:00:00:00:00:02 10.0.0.11 * *", "E 02:00:00:00:00:01 10.0.0.50 cent01 01:fe")

	if err := w.Release(t.Context(), "br0", ipam.ByMAC(mirrorMAC(3)), netip.MustParseAddr("10.0.0.12")); err != nil {
		t.Fatal(err)
	}
	w.shows("br0", "E 02:00:00:00:00:04 10.0.0.13 printer *", "0 02:00:00:00:00:02 10.0.0.11 * *", "E 02:00:00:00:00:01 10.0.0.50 cent01 01:fe")

	// Nobody tells that a lease runs out.
	w.lease("br0", mirrorClient(4, "printer"), "10.0.0.13", 1500*time.Millisecond)
	w.shows("br0", "0 02:00:00:00:00:02 10.0.0.11 * *", "E 02:00:00:00:00:01 10.0.0.50 cent01 01:fe")

	w.mu.Lock()
	w.nets = w.nets[:1]
	w.mu.Unlock()
	w.nudge()
	for began := time.Now(); !errors.Is(statErr(w.path("br1")), os.ErrNotExist); pauseFor(t.Context(), time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the file of a network that is no more stays")
		}
	}
}

func statErr(path string) error {
	_, err := os.Stat(path)
	return err
}

// TestMirrorOfAnEarlierRun: what changed last is in the file when the mirror has ended, and a new one takes
// away what is about nothing any more.
func TestMirrorOfAnEarlierRun(t *testing.T) {
	w := newMirrored(t)
	if err := os.WriteFile(w.path("gone0"), []byte("0 x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stop := w.run()
	w.shows("br0")
	if !errors.Is(statErr(w.path("gone0")), os.ErrNotExist) {
		t.Error("a file about no network stays")
	}
	w.lease("br0", mirrorGuest("cent01", 1), "10.0.0.10", time.Hour)
	stop()
	if have := w.lines("br0"); have != "E 02:00:00:00:00:01 10.0.0.10 cent01 01:fe" {
		t.Errorf("at the end the file holds\n%s", have)
	}
	left, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("there are %v, %v; want two files", left, err)
	}
}

// TestMirrorIsNeverHalf reads the file all the time while it is being written.
func TestMirrorIsNeverHalf(t *testing.T) {
	w := newMirrored(t)
	w.run()
	w.shows("br0")
	var found []ledger.Found
	for i := range 3000 {
		found = append(found, ledger.Found{Lease: ipam.Lease{
			Holder: ipam.ByMAC(mirrorMAC(i + 1)), MAC: mirrorMAC(i + 1), Addr: netip.AddrFrom4([4]byte{10, 0, byte(i/250 + 1), byte(i%250 + 1)}),
		}})
	}
	written := 0
	for i := range 10 {
		if _, err := w.Import(t.Context(), found[i*300:(i+1)*300]); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); ; {
			f, problems := leasefile.Parse("mirror", []byte(w.text("br0")))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if len(f.Leases) == (i+1)*300 {
				written++
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%d leases in the file, want %d", len(f.Leases), (i+1)*300)
			}
		}
	}
	if written != 10 {
		t.Errorf("%d states seen", written)
	}
}

func TestMirrorThatCanNotBeWritten(t *testing.T) {
	w := newMirrored(t)
	if err := os.Mkdir(w.path("br0"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.lease("br1", mirrorGuest("cent01", 1), "10.1.0.10", time.Hour)
	w.write(time.Now())
	if len(w.said) != 1 || !strings.Contains(w.said[0].Text, w.path("br0")) || w.said[0].Hint == "" {
		t.Errorf("said %v", w.said)
	}
	if have := w.lines("br1"); !strings.Contains(have, "cent01") {
		t.Errorf("the other network's file holds %q", have)
	}
	if err := os.Remove(w.path("br0")); err != nil {
		t.Fatal(err)
	}
	w.write(time.Now())
	if len(w.said) != 0 || w.text("br0") != "" {
		t.Errorf("mended, and it says %v", w.said)
	}
}

// TestMirrorPace: no more than four times a second, and a tenth of the time, but within a second.
func TestMirrorPace(t *testing.T) {
	for _, tt := range []struct{ took, rest time.Duration }{
		{time.Millisecond, 250 * time.Millisecond}, {40 * time.Millisecond, 400 * time.Millisecond}, {time.Second, 900 * time.Millisecond},
	} {
		if have := mirrorRest(tt.took); have != tt.rest {
			t.Errorf("after %s it rests %s, want %s", tt.took, have, tt.rest)
		}
	}
}

// BenchmarkMirror is the cost of bringing the file of 60,000 leases up to date after one of them changed.
func BenchmarkMirror(b *testing.B) {
	w := newMirrored(b)
	var found []ledger.Found
	for i := range 60_000 {
		found = append(found, ledger.Found{Lease: ipam.Lease{
			Holder: ipam.ByName(fmt.Sprint("guest", i)), MAC: mirrorMAC(i + 1), Addr: netip.AddrFrom4([4]byte{10, 0, byte(i/250 + 1), byte(i%250 + 1)}),
			Expiry: time.Now().Add(time.Hour),
		}})
	}
	done, err := w.Import(b.Context(), found)
	if err != nil || len(done.Taken) != len(found) {
		b.Fatal(len(done.Taken), err)
	}
	for b.Loop() {
		b.StopTimer()
		w.lease("br0", mirrorGuest("guest0", 1), "10.0.1.1", time.Hour)
		clear(w.written)
		b.StartTimer()
		w.write(time.Now())
	}
}
