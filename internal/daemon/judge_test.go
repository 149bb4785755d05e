package daemon

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/control"
	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/reconcile"
)

func TestJudge(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	old, wanted := netip.MustParseAddr("10.0.0.20"), netip.MustParseAddr("10.0.0.101")
	pin := &ipam.Pin{Holder: ipam.ByName("web"), Addr: wanted}
	lease := func(addr, acked netip.Addr) *ipam.Lease {
		return &ipam.Lease{Addr: addr, Acked: acked, Expiry: now.Add(time.Hour)}
	}
	idle := func(addr netip.Addr) *ipam.Lease { return &ipam.Lease{Addr: addr, Idle: true} }
	has := func(addrs ...netip.Addr) *reconcile.View {
		return &reconcile.View{Guest: guest.Guest{Namespace: guest.Namespace{Inode: 1, Path: "/run/netns/web"}}, Addrs: addrs}
	}
	vm := &reconcile.View{}
	web := ipam.ByName("web")
	stranger := ipam.ByMAC(ipam.MAC{2, 0, 0, 0, 0, 1})
	tests := []struct {
		name  string
		facts facts
		want  control.State
		note  string // a part of it
		until bool   // a time is expected
	}{
		{name: "pinned, never seen", facts: facts{holder: web, pin: pin}, want: control.Absent},
		{name: "pinned, not running", facts: facts{holder: web, pin: pin, lease: lease(wanted, wanted)}, want: control.Stopped},
		{name: "leased, not running", facts: facts{holder: web, lease: lease(old, old)}, want: control.Stopped},
		{name: "a client nobody can name, with a lease", facts: facts{holder: stranger, lease: lease(old, old)}, want: control.Dynamic},
		{name: "the same, released", facts: facts{holder: stranger, lease: idle(old)}, want: control.Stopped},
		{name: "has its pin and its client knows", facts: facts{holder: web, pin: pin, lease: lease(wanted, wanted), view: has(wanted)}, want: control.Settled},
		{name: "a floating address beside the pin is its own business", facts: facts{holder: web, pin: pin, lease: lease(wanted, wanted), view: has(old, wanted)}, want: control.Settled},
		{name: "has its pin and runs no client", facts: facts{holder: web, pin: pin, view: has(wanted), client: reconcile.NoClient}, want: control.Settled},
		{name: "has its pin and its client does not know", facts: facts{holder: web, pin: pin, lease: lease(wanted, old), view: has(wanted), client: "dhclient"}, want: control.Settling, until: true},
		{name: "has its pin, and its client never asked us", facts: facts{holder: web, pin: pin, view: has(wanted), client: "dhclient"}, want: control.Settling},
		{name: "has another address than its pin", facts: facts{holder: web, pin: pin, view: has(old)}, want: control.Drift, note: "10.0.0.20 instead of its pin 10.0.0.101"},
		{name: "could not be moved", facts: facts{holder: web, pin: pin, view: has(old), trouble: errors.New("no such device")}, want: control.Drift, note: "no such device"},
		{name: "pinned and booting", facts: facts{holder: web, pin: pin, view: has()}, want: control.Settling, note: "no address yet"},
		{name: "pinned VM with an old lease", facts: facts{holder: web, pin: pin, lease: lease(wanted, old), view: vm}, want: control.Settling, note: "can not be entered", until: true},
		{name: "pinned VM that was told", facts: facts{holder: web, pin: pin, lease: lease(wanted, wanted), view: vm}, want: control.Settled},
		{name: "VM with a lease", facts: facts{holder: web, lease: lease(old, old), view: vm}, want: control.Dynamic},
		{name: "VM that did not ask yet", facts: facts{holder: web, view: vm}, want: control.Settling, note: "waits"},
		{name: "dynamic", facts: facts{holder: web, lease: lease(old, old), view: has(old)}, want: control.Dynamic},
		{name: "booting", facts: facts{holder: web, view: has()}, want: control.Settling, note: "no address yet"},
		{name: "static", facts: facts{holder: web, view: has(old)}, want: control.Static},
		{name: "static where it once had a lease", facts: facts{holder: web, lease: idle(wanted), view: has(old)}, want: control.Static},
		{name: "unpinned, with the lease left of the pin", facts: facts{holder: web, lease: idle(old), view: has(old)}, want: control.Dynamic},
		{name: "another address than its lease", facts: facts{holder: web, lease: lease(wanted, wanted), view: has(old)}, want: control.Drift, note: "instead of its lease"},
		{name: "evicted, and its client does not know", facts: facts{holder: web, lease: lease(wanted, old), view: has(wanted)}, want: control.Settling, until: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.now = now
			state, note, expected := tt.facts.judge()
			if state != tt.want {
				t.Errorf("state %s, want %s", state, tt.want)
			}
			if (tt.note == "") != (note == "") || !strings.Contains(note, tt.note) {
				t.Errorf("note %q, want %q", note, tt.note)
			}
			if tt.until == expected.IsZero() {
				t.Errorf("expected at %v, want a time: %v", expected, tt.until)
			}
		})
	}
}

func TestWarningsKeepTheirTimeAndGoWhenMended(t *testing.T) {
	var w warnings
	a, b := &ipam.Problem{Code: "x", Text: "a"}, &ipam.Problem{Code: "x", Text: "b"}
	w.set("config", ipam.Problems{a})
	since := w.all()[0].Since
	w.set("config", ipam.Problems{b, a})
	if all := w.all(); len(all) != 2 || !all[0].Since.Equal(since) || all[0].Text != "a" {
		t.Errorf("after a second problem: %+v", all)
	}
	w.set("pins", ipam.Problems{b})
	w.set("config", nil)
	if all := w.all(); len(all) != 1 || all[0].Text != "b" {
		t.Errorf("after one reporter mended its own: %+v", all)
	}
}

func TestStatesRememberSinceWhen(t *testing.T) {
	var s states
	k := rowKey{"br0", ipam.ByName("web")}
	t0 := time.Unix(100, 0)
	if got := s.since(k, control.Dynamic, t0); !got.Equal(t0) {
		t.Errorf("first seen %v, want %v", got, t0)
	}
	if got := s.since(k, control.Dynamic, t0.Add(time.Minute)); !got.Equal(t0) {
		t.Errorf("unchanged since %v, want %v", got, t0)
	}
	if got := s.since(k, control.Settled, t0.Add(time.Hour)); !got.Equal(t0.Add(time.Hour)) {
		t.Errorf("changed at %v", got)
	}
	s.keep(nil)
	if got := s.since(k, control.Settled, t0.Add(2*time.Hour)); !got.Equal(t0.Add(2 * time.Hour)) {
		t.Errorf("after it was gone: since %v", got)
	}
}
