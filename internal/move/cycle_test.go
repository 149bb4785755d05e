package move

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// row plugs n guests g0, g1, … with the addresses 10.9.0.10, .11, ….
func row(t testing.TB, n int) []*netnstest.Guest {
	t.Helper()
	var all []*netnstest.Guest
	for i := range n {
		all = append(all, plug(t, fmt.Sprintf("g%d", i), fmt.Sprintf("addr add 10.9.0.%d/24 dev eth0\nroute add default via 10.9.0.1 dev eth0 src 10.9.0.%d", 10+i, 10+i)))
	}
	return all
}

// shift asks each guest to go from its address to that of the one by steps further, in a ring.
func shift(t testing.TB, all []*netnstest.Guest, steps int, drain time.Duration) []Request {
	t.Helper()
	var requests []Request
	for i, g := range all {
		requests = append(requests, request(t, g, fmt.Sprintf("10.9.0.%d", 10+i), fmt.Sprintf("10.9.0.%d", 10+(i+steps)%len(all)), drain))
	}
	return requests
}

func TestCycles(t *testing.T) {
	for _, n := range []int{2, 3, 9, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			newBridge(t)
			all := row(t, n)
			silent := 0
			for i, r := range do(t, shift(t, all, 1, time.Minute)...) {
				wantAddrs(t, all[i], fmt.Sprintf("10.9.0.%d/24", 10+(i+1)%n)) // nothing drains: others have it
				wantRoutes(t, all[i], fmt.Sprintf(`default via 10.9.0.1 dev eth0 src 10.9.0.%d
					10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.%[1]d`, 10+(i+1)%n))
				all[i].Run(t, "ping", "-c1", "-W2", "10.9.0.1")
				if r.Lost > 0 {
					silent++
					if have := steps(r); have != "entered given up added announced verified" {
						t.Errorf("steps: %s", have)
					}
				}
			}
			if want := (n + laneLength - 1) / laneLength; silent != want {
				t.Errorf("%d guests were without an address for a moment, want %d", silent, want)
			}
			if out := netnstest.Run(t, "ip", "neigh", "show", "dev", bridge); strings.Contains(out, "FAILED") {
				t.Errorf("neighbours:\n%s", out)
			}
		})
	}
}

func TestChainIntoAFreedAddress(t *testing.T) {
	newBridge(t)
	all := row(t, 5)
	requests := shift(t, all, 1, time.Minute)
	requests[4].To = addr("10.9.0.99")
	for i, r := range do(t, requests...) {
		if r.Lost != 0 {
			t.Errorf("g%d was without an address for %v", i, r.Lost)
		}
	}
	for i, want := range []string{"10.9.0.10/32 10.9.0.11/24", "10.9.0.12/24", "10.9.0.13/24", "10.9.0.14/24", "10.9.0.99/24"} {
		wantAddrs(t, all[i], want)
	}
}

// An address that drains since the move before belongs to nobody's request, and yet to somebody.
func TestDrainingAddressThatAnotherTakes(t *testing.T) {
	newBridge(t)
	all := row(t, 2)
	do(t, request(t, all[0], "10.9.0.10", "10.9.0.50", time.Minute))
	wantAddrs(t, all[0], "10.9.0.10/32 10.9.0.50/24")
	do(t, request(t, all[1], "10.9.0.11", "10.9.0.10", 0), request(t, all[0], "10.9.0.50", "10.9.0.51", time.Minute))
	wantAddrs(t, all[0], "10.9.0.50/32 10.9.0.51/24")
	wantAddrs(t, all[1], "10.9.0.10/24")
}

func TestSwapIsUndoneAsAWhole(t *testing.T) {
	newBridge(t)
	all := row(t, 3)
	deaf(t, all[1])
	var before []string
	for _, g := range all {
		before = append(before, routes(t, g))
	}
	began := time.Now()
	results, _ := try(t.Context(), shift(t, all, 1, 0)...)
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	for i, text := range []string{"together with g1", "did not answer ARP", "together with g1"} {
		wantProblem(t, results[i].Err, text)
		wantAddrs(t, all[i], fmt.Sprintf("10.9.0.%d/24", 10+i))
		wantRoutes(t, all[i], before[i])
		if results[i].Lost <= 0 {
			t.Errorf("g%d: says that it never was silent", i)
		}
	}
}

func TestCycleWithOneThatIsGoneChangesNobody(t *testing.T) {
	newBridge(t)
	all := row(t, 3)
	requests := shift(t, all, 1, 0)
	all[1].Run(t, "ip", "link", "set", "eth0", "down")
	results, arrived := try(t.Context(), requests...)
	for i, text := range []string{"together with g1", "is down", "together with g1"} {
		wantProblem(t, results[i].Err, text)
		if arrived[i] != 0 || results[i].Lost != 0 {
			t.Errorf("g%d arrived %d times, lost %v", i, arrived[i], results[i].Lost)
		}
	}
	wantAddrs(t, all[0], "10.9.0.10/24")
	wantAddrs(t, all[2], "10.9.0.12/24")
}

// Whoever waits for an address gets it when its holder is gone, and not when its holder keeps it.
func TestChainBehindOneThatFails(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(*testing.T, *netnstest.Guest)
		first string
		err   string
	}{
		{"keeps it", func(t *testing.T, g *netnstest.Guest) { deaf(t, g) }, "10.9.0.10/24", "g1, which could not be moved, still has it"},
		{"is gone", func(t *testing.T, g *netnstest.Guest) { netnstest.Run(t, "ip", "link", "del", g.Port) }, "10.9.0.11/24", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newBridge(t)
			all := row(t, 2)
			requests := shift(t, all, 1, 0)
			requests[1].To = addr("10.9.0.99")
			c.spoil(t, all[1])
			results, _ := try(t.Context(), requests...)
			if results[1].Err == nil {
				t.Error("the spoilt one was moved")
			}
			if c.err != "" {
				wantProblem(t, results[0].Err, c.err)
			} else if results[0].Err != nil {
				t.Error(results[0].Err)
			}
			wantAddrs(t, all[0], c.first)
		})
	}
}

// A peer that talks to both addresses of a swap all the time is answered again at once, each by its new holder.
func TestPeerOfASwap(t *testing.T) {
	newBridge(t)
	all := row(t, 2)
	peer := plug(t, "peer", "addr add 10.9.0.9/24 dev eth0")
	for _, a := range []string{"10.9.0.10", "10.9.0.11"} {
		peer.Run(t, "ping", "-c1", "-W2", a)
	}
	for i, r := range do(t, shift(t, all, 1, 0)...) {
		if r.Lost > 500*time.Millisecond {
			t.Errorf("g%d was silent for %v", i, r.Lost)
		}
	}
	for i, g := range all {
		to := fmt.Sprintf("10.9.0.%d", 10+(i+1)%2)
		mac := seen(t, g).MAC.String()
		eventually(t, "the peer knows who has "+to, func() bool {
			return strings.Contains(peer.Run(t, "ip", "neigh", "show", to), mac)
		})
		peer.Run(t, "ping", "-c3", "-i0.01", "-W1", to)
	}
}

func TestAHundredGuestsAtOnce(t *testing.T) {
	newBridge(t)
	all := row(t, 100)
	var requests []Request
	for i, g := range all {
		requests = append(requests, request(t, g, fmt.Sprintf("10.9.0.%d", 10+i), fmt.Sprintf("10.9.0.%d", 120+i), time.Minute))
	}
	began := time.Now()
	do(t, requests...)
	t.Logf("100 guests in %v", time.Since(began))
	for i, g := range all[:10] {
		wantAddrs(t, g, fmt.Sprintf("10.9.0.%d/32 10.9.0.%d/24", 10+i, 120+i))
	}
	wantAddrs(t, all[99], "10.9.0.109/32 10.9.0.219/24")
}
