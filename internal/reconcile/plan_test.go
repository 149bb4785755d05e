package reconcile

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
)

func testNetwork() *ipam.Network {
	return &ipam.Network{
		Name: "br0", Gateway: netip.MustParseAddr("10.9.0.1"), Subnet: netip.MustParsePrefix("10.9.0.0/24"), Drain: 30 * time.Second,
	}
}

func view(name string, mac byte, addrs ...string) View {
	g := guest.Guest{Name: name, Bridge: "br0", MAC: ipam.MAC{2, 0, 0, 0, 0, mac}}
	v := View{Network: "br0", Guest: g, Holder: HolderOf(g)}
	for _, a := range addrs {
		v.Addrs = append(v.Addrs, netip.MustParseAddr(a))
	}
	return v
}

func pinned(h ipam.Holder, addr string) ipam.Pin {
	return ipam.Pin{Holder: h, Addr: netip.MustParseAddr(addr)}
}

func TestPlan(t *testing.T) {
	web := ipam.ByName("web")
	tests := []struct {
		name  string
		views []View
		pins  []ipam.Pin
		held  bool // the last try failed a moment ago
		want  string
	}{
		{name: "has its pin", views: []View{view("web", 1, "10.9.0.5")}, pins: []ipam.Pin{pinned(web, "10.9.0.5")}},
		{name: "has its pin beside a floating address", views: []View{view("web", 1, "10.9.0.7", "10.9.0.5")}, pins: []ipam.Pin{pinned(web, "10.9.0.5")}},
		{name: "has another", views: []View{view("web", 1, "10.9.0.7")}, pins: []ipam.Pin{pinned(web, "10.9.0.5")}, want: "web 10.9.0.7>10.9.0.5"},
		{name: "has none: its DHCP client asks", views: []View{view("web", 1)}, pins: []ipam.Pin{pinned(web, "10.9.0.5")}},
		{name: "is not pinned", views: []View{view("web", 1, "10.9.0.7")}},
		{name: "is not plugged in", pins: []ipam.Pin{pinned(web, "10.9.0.5")}},
		{name: "pinned by hardware address", views: []View{view("web", 1, "10.9.0.7")}, pins: []ipam.Pin{pinned(ipam.ByMAC(ipam.MAC{2, 0, 0, 0, 0, 1}), "10.9.0.5")}, want: "web 10.9.0.7>10.9.0.5"},
		{name: "the name counts before the hardware address", views: []View{view("web", 1, "10.9.0.7")}, pins: []ipam.Pin{pinned(ipam.ByMAC(ipam.MAC{2, 0, 0, 0, 0, 1}), "10.9.0.6"), pinned(web, "10.9.0.5")}, want: "web 10.9.0.7>10.9.0.5"},
		{name: "failed a moment ago", views: []View{view("web", 1, "10.9.0.7")}, pins: []ipam.Pin{pinned(web, "10.9.0.5")}, held: true},
		{name: "a pin of no network", views: []View{view("web", 1, "10.9.0.7")}, pins: []ipam.Pin{pinned(web, "192.0.2.5")}},
		{name: "a swap", views: []View{view("a", 1, "10.9.0.5"), view("b", 2, "10.9.0.6")}, pins: []ipam.Pin{pinned(ipam.ByName("b"), "10.9.0.5"), pinned(ipam.ByName("a"), "10.9.0.6")}, want: "a 10.9.0.5>10.9.0.6 b 10.9.0.6>10.9.0.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			due := Plan(tt.views, tt.pins, ipam.Networks{testNetwork()}, func(string, ipam.Holder) bool { return !tt.held })
			var words []string
			for _, m := range due {
				words = append(words, m.Holder.String()+" "+m.From.String()+">"+m.To.String())
				if m.Drain != 30*time.Second || m.MAC.IsZero() {
					t.Errorf("%+v lacks the network's drain or the hardware address", m)
				}
			}
			if got := strings.Join(words, " "); got != tt.want {
				t.Errorf("due %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAFailedMoveIsTriedAgainLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(&fakeLedger{}, &fakeGuests{}, func() ipam.Networks { return nil }, discard())
		h := ipam.ByName("web")
		o := Outcome{Reassignment: ipam.Reassignment{Network: "br0", Holder: h}, Err: errors.New("no such device")}
		for _, pause := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			r.record(&o)
			time.Sleep(pause - time.Millisecond)
			if r.mayTry("br0", h) {
				t.Errorf("tried again before %s", pause)
			}
			time.Sleep(time.Millisecond)
			if !r.mayTry("br0", h) {
				t.Errorf("not tried again after %s", pause)
			}
		}
		for range 20 {
			r.record(&o)
		}
		time.Sleep(retryMost)
		if !r.mayTry("br0", h) {
			t.Errorf("not tried again after %s", retryMost)
		}
		if err := r.Trouble("br0", h); err == nil || err.Error() != "no such device" {
			t.Errorf("Trouble = %v", err)
		}
		o.Err = nil
		r.record(&o)
		if r.Trouble("br0", h) != nil || !r.mayTry("br0", h) {
			t.Error("a success does not end the trouble")
		}
	})
}

func TestRechecksComeDueTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(&fakeLedger{}, &fakeGuests{}, func() ipam.Networks { return nil }, discard())
		r.Recheck("br0", ipam.ByName("a"))
		r.Recheck("br0", ipam.Holder{Guest: "a", MAC: ipam.MAC{2}}) // behind its port: can not be looked into
		time.Sleep(50 * time.Millisecond)
		r.Recheck("br0", ipam.ByName("b"))
		if due, wait := r.checks.take(time.Now()); len(due) != 0 || wait != lookSoon-50*time.Millisecond {
			t.Errorf("at once: %v due, wait %s", due, wait)
		}
		time.Sleep(lookSoon)
		if due, _ := r.checks.take(time.Now()); len(due) != 2 || due[0].holder.Guest != "a" || due[1].holder.Guest != "b" {
			t.Errorf("soon: %v", due)
		}
		time.Sleep(lookAgain)
		if due, wait := r.checks.take(time.Now()); len(due) != 2 || wait != time.Hour {
			t.Errorf("again: %v, wait %s", due, wait)
		}
		for range 2 * maxRechecks {
			r.Recheck("br0", ipam.ByName("a"))
		}
		if len(r.checks.again) > maxRechecks {
			t.Errorf("%d wait, want at most %d", len(r.checks.again), maxRechecks)
		}
	})
}
