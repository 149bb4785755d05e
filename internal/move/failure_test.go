package move

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// deaf makes a guest that answers no ARP.
func deaf(t testing.TB, g *netnstest.Guest) {
	t.Helper()
	g.Run(t, "sh", "-c", "echo 8 > /proc/sys/net/ipv4/conf/eth0/arp_ignore")
}

const networkdStyle = `addr add 10.9.0.5/24 brd 10.9.0.255 dev eth0 metric 1024
	route add default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.5 metric 1024
	route add 10.9.0.1 dev eth0 proto dhcp scope link src 10.9.0.5 metric 1024`

func wantProblem(t testing.TB, err error, text string) *ipam.Problem {
	t.Helper()
	var p *ipam.Problem
	if !errors.As(err, &p) {
		t.Fatalf("have %v, want a problem", err)
	}
	if p.Code != ipam.CodeMove || !strings.Contains(p.Text, text) {
		t.Errorf("have %s: %s\nwant %s with %q", p.Code, p.Text, ipam.CodeMove, text)
	}
	return p
}

func TestUndoneWhenTheGuestDoesNotAnswer(t *testing.T) {
	cases := []struct{ name, setup, from string }{
		{"systemd-networkd", networkdStyle, "10.9.0.5"},
		{"NetworkManager", `addr add 10.9.0.5/24 dev eth0 noprefixroute valid_lft 600 preferred_lft 600
			route add 10.9.0.0/24 dev eth0 proto kernel scope link src 10.9.0.5 metric 100
			route add default via 10.9.0.1 dev eth0 proto dhcp src 10.9.0.5 metric 100`, "10.9.0.5"},
		{"udhcpc", "addr add 10.9.0.5/24 dev eth0\nroute add default via 10.9.0.1 dev eth0", "10.9.0.5"},
		{"the new address was there for a short time", "addr add 10.9.0.5/24 dev eth0\naddr add 10.9.0.77/24 dev eth0 valid_lft 60 preferred_lft 60", "10.9.0.5"},
		{"the new address was draining", "addr add 10.9.0.5/24 dev eth0\naddr add 10.9.0.77/32 dev eth0 valid_lft 60 preferred_lft 0", "10.9.0.5"},
		{"the old one was draining too", "addr add 10.9.0.5/24 dev eth0\naddr add 10.9.0.5/32 dev eth0 valid_lft 60 preferred_lft 0", "10.9.0.5"},
		{"to another subnet", "addr add 192.0.2.9/28 dev eth0\nroute add default via 192.0.2.1 dev eth0", "192.0.2.9"},
		{"no address before", "", ""},
	}
	for _, c := range cases {
		for _, drain := range []time.Duration{0, time.Minute} {
			t.Run(c.name+" drain "+drain.String(), func(t *testing.T) {
				newBridge(t)
				g := plug(t, "web", c.setup)
				g.Run(t, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries")
				deaf(t, g)
				hadAddrs, hadRoutes := addrs(t, g), routes(t, g)
				began := time.Now()
				results, arrived := try(t.Context(), request(t, g, c.from, "10.9.0.77", drain))
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				p := wantProblem(t, results[0].Err, "did not answer ARP")
				if p.Hint == "" || arrived[0] != 1 {
					t.Errorf("hint %q, arrived %d times", p.Hint, arrived[0])
				}
				if have := steps(results[0]); have != "entered added announced undone" {
					t.Errorf("steps: %s", have)
				}
				wantAddrs(t, g, hadAddrs)
				wantRoutes(t, g, hadRoutes)
				if out := g.Run(t, "cat", "/proc/sys/net/ipv4/conf/eth0/promote_secondaries"); out != "0\n" {
					t.Errorf("promote_secondaries is %s", out)
				}
			})
		}
	}
}

func TestRefusedBeforeAnythingIsChanged(t *testing.T) {
	cases := []struct {
		name, text string
		gone       bool
		change     func(t *testing.T, g *netnstest.Guest, r *Request)
	}{
		{"the namespace is gone", "is gone", true, func(t *testing.T, g *netnstest.Guest, r *Request) {
			netnstest.Run(t, "ip", "netns", "del", g.Name)
		}},
		{"the namespace is another one", "is gone", true, func(t *testing.T, g *netnstest.Guest, r *Request) {
			r.Guest.Namespace.Inode++
		}},
		{"no namespace, as of a virtual machine", "is gone", true, func(t *testing.T, g *netnstest.Guest, r *Request) {
			r.Guest.Namespace = guest.Namespace{}
		}},
		{"the NIC is gone", "is gone", true, func(t *testing.T, g *netnstest.Guest, r *Request) {
			netnstest.Run(t, "ip", "link", "del", g.Port)
		}},
		{"the NIC is down", "is down", false, func(t *testing.T, g *netnstest.Guest, r *Request) {
			g.Run(t, "ip", "link", "set", "eth0", "down")
		}},
		{"no such bridge", "bridge br9", false, func(t *testing.T, g *netnstest.Guest, r *Request) { r.Guest.Bridge = "br9" }},
		{"an IPv6 address", "no IPv4 address", false, func(t *testing.T, g *netnstest.Guest, r *Request) { r.To = addr("fd00::1") }},
		{"no address", "no IPv4 address", false, func(t *testing.T, g *netnstest.Guest, r *Request) { *r = Request{Guest: r.Guest} }},
		{"a prefix length that is none", "no IPv4 address", false, func(t *testing.T, g *netnstest.Guest, r *Request) { r.Bits = 33 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newBridge(t)
			g := plug(t, "web", networkdStyle)
			r := request(t, g, "10.9.0.5", "10.9.0.77", 0)
			c.change(t, g, &r)
			results, arrived := try(t.Context(), r)
			wantProblem(t, results[0].Err, c.text)
			if errors.Is(results[0].Err, guest.ErrGone) != c.gone {
				t.Errorf("gone is %v: %v", !c.gone, results[0].Err)
			}
			if arrived[0] != 0 || len(results[0].Steps) != 0 {
				t.Errorf("arrived %d times, steps %s", arrived[0], steps(results[0]))
			}
		})
	}
}

func TestNothingIsBegunAfterTheContextEnded(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", networkdStyle)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, _ := try(ctx, request(t, g, "10.9.0.5", "10.9.0.77", 0))
	if !errors.Is(results[0].Err, context.Canceled) {
		t.Errorf("have %v", results[0].Err)
	}
	wantAddrs(t, g, "10.9.0.5/24")
}

func TestARenamedNICIsTheSame(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", networkdStyle)
	r := request(t, g, "10.9.0.5", "10.9.0.77", 0)
	g.Run(t, "ip", "link", "set", "eth0", "down")
	g.Run(t, "ip", "link", "set", "eth0", "name", "$(reboot)")
	g.NIC = "$(reboot)"
	g.Run(t, "ip", "link", "set", g.NIC, "up")
	g.Run(t, "ip", "addr", "replace", "10.9.0.5/24", "dev", g.NIC)
	do(t, r)
	wantAddrs(t, g, "10.9.0.77/24")
}

// fight repeats an order inside the guest until the test ends, as fast as it can.
func fight(t testing.TB, g *netnstest.Guest, o order) {
	t.Helper()
	var inside *talk
	if err := g.Do(func() (err error) { inside, err = openTalk(unix.NETLINK_ROUTE); return err }); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = inside.commit([]order{o, o, o, o})
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		inside.close()
	})
}

// Something inside that wants the old address back loses against three removals; when it never gives
// up, the guest has what it wants, and the operator is told.
func TestAGuestThatPutsItsOldAddressBack(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", networkdStyle)
	r := request(t, g, "10.9.0.5", "10.9.0.77", 0)
	fight(t, g, addOrder(fresh(addr("10.9.0.5"), 24), r.Guest.NICIndex))
	eventually(t, "the fight begins", func() bool {
		results, _ := try(t.Context(), r)
		if err := results[0].Err; err != nil {
			wantProblem(t, err, "puts the old address back")
			return true
		}
		g.Run(t, "ip", "addr", "del", "10.9.0.77/24", "dev", "eth0") // it was quick enough
		return false
	})
	if have := addrs(t, g); !strings.Contains(have, "10.9.0.5/24") || strings.Contains(have, "10.9.0.77") {
		t.Errorf("has %s", have)
	}
}

func TestAGuestThatRemovesTheNewAddress(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", networkdStyle)
	r := request(t, g, "10.9.0.5", "10.9.0.77", 0)
	fight(t, g, deleteOrder(fresh(addr("10.9.0.77"), 24), r.Guest.NICIndex))
	eventually(t, "the fight is lost", func() bool {
		results, _ := try(t.Context(), r)
		if results[0].Err == nil {
			// It was quick enough to be seen with the new address.
			g.Run(t, "ip", "addr", "replace", "10.9.0.5/24", "dev", "eth0")
			return false
		}
		return true
	})
	if have := addrs(t, g); have != "10.9.0.5/24" {
		t.Errorf("has %s", have)
	}
}

// Requests that contradict each other: the first one counts.
func TestContradictions(t *testing.T) {
	newBridge(t)
	a := plug(t, "a", "addr add 10.9.0.5/24 dev eth0")
	b := plug(t, "b", "addr add 10.9.0.6/24 dev eth0")
	results, _ := try(t.Context(),
		request(t, a, "10.9.0.5", "10.9.0.77", 0),
		request(t, b, "10.9.0.6", "10.9.0.77", 0),
		request(t, a, "10.9.0.5", "10.9.0.78", 0))
	if results[0].Err != nil {
		t.Error(results[0].Err)
	}
	wantProblem(t, results[1].Err, "meant for a")
	wantProblem(t, results[2].Err, "given 10.9.0.77 at the same time")
	wantAddrs(t, a, "10.9.0.77/24")
	wantAddrs(t, b, "10.9.0.6/24")
}
