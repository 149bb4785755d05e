package move

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const bridge = "br0"

// newBridge makes a bridge with the gateway's address.
func newBridge(t testing.TB) {
	t.Helper()
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, bridge, "10.9.0.1/24")
}

// plug makes a guest and runs the ip commands inside, one a line.
func plug(t testing.TB, name, setup string) *netnstest.Guest {
	t.Helper()
	g := netnstest.AddGuest(t, bridge, name, "")
	for line := range strings.Lines(setup) {
		if args := strings.Fields(line); len(args) > 0 {
			g.Run(t, "ip", args...)
		}
	}
	return g
}

// seen is the guest as the guest package describes it.
func seen(t testing.TB, g *netnstest.Guest) guest.Guest {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(g.Path, &st); err != nil {
		t.Fatal(err)
	}
	known := guest.Guest{
		Name: g.Name, NIC: g.NIC, Port: g.Port, Bridge: bridge, Runtime: guest.RuntimeNetns,
		Namespace: guest.Namespace{Inode: st.Ino, Path: g.Path},
	}
	err := g.Do(func() error {
		nic, err := net.InterfaceByName(g.NIC)
		if err == nil {
			known.NICIndex, known.MAC = nic.Index, ipam.MACFrom(nic.HardwareAddr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// request asks for to instead of from ("" for none).
func request(t testing.TB, g *netnstest.Guest, from, to string, drain time.Duration) Request {
	t.Helper()
	r := Request{Guest: seen(t, g), To: addr(to), Bits: 24, Gateway: addr("10.9.0.1"), Drain: drain}
	if from != "" {
		r.From = []netip.Addr{addr(from)}
	}
	return r
}

// do carries the requests out and fails the test when one fails.
func do(t testing.TB, requests ...Request) []Result {
	t.Helper()
	results, arrived := try(t.Context(), requests...)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%s to %s: %v", requests[i].Guest.Name, requests[i].To, r.Err)
		}
		if arrived[i] != 1 {
			t.Errorf("%s: arrived %d times", requests[i].Guest.Name, arrived[i])
		}
	}
	return results
}

func try(ctx context.Context, requests ...Request) ([]Result, []int) {
	var mu sync.Mutex
	arrived := make([]int, len(requests))
	results := DoAll(ctx, requests, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		arrived[i]++
	})
	return results, arrived
}

// addrs are the guest's addresses as "ip" prints them, without lifetimes, sorted.
func addrs(t testing.TB, g *netnstest.Guest) string {
	t.Helper()
	var all []netip.Prefix
	for line := range strings.Lines(g.Run(t, "ip", "-o", "-4", "addr", "show", "dev", g.NIC)) {
		all = append(all, netip.MustParsePrefix(strings.Fields(line)[3]))
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return strings.Trim(fmt.Sprint(all), "[]")
}

// routes are the guest's routes as "ip" prints them, sorted.
func routes(t testing.TB, g *netnstest.Guest) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(g.Run(t, "ip", "-4", "route", "show", "table", "all", "type", "unicast")) {
		all = append(all, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func wantAddrs(t testing.TB, g *netnstest.Guest, want string) {
	t.Helper()
	if have := addrs(t, g); have != want {
		t.Errorf("%s has %q, want %q", g.Name, have, want)
	}
}

// wantRoutes compares with the lines of want, in any order.
func wantRoutes(t testing.TB, g *netnstest.Guest, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	if have := routes(t, g); have != strings.Join(lines, "\n") {
		t.Errorf("%s has the routes\n%s\nwant\n%s", g.Name, have, strings.Join(lines, "\n"))
	}
}

// eventually polls until ok or ten seconds have gone.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// steps are the names of a result's steps.
func steps(r Result) string {
	var names []string
	for _, s := range r.Steps {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}
