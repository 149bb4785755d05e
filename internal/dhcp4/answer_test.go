package dhcp4

import (
	"fmt"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

func (e effect) String() string {
	return [...]string{"keep", "hold", "holdBind", "bind", "claim", "giveUp", "quarantine"}[e]
}

func (d destination) String() string {
	return [...]string{"new", "holder", "everyone", "everyone+holder", "relay"}[d]
}

func (d decision) String() string {
	s := fmt.Sprint(d.effect)
	if d.addr.IsValid() {
		s += " " + d.addr.String()
	}
	if d.reply != silence {
		s += fmt.Sprintf(", %s to %s", d.reply, d.to)
	}
	if d.changed {
		s += ", changed"
	}
	if d.delay > 0 {
		s += fmt.Sprintf(", after %s", d.delay)
	}
	return s
}

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestAnswer(t *testing.T) {
	c1 := guest(1)
	me, other := ipam.ByName("c1"), ipam.ByName("c2")
	bound50 := func(b *fakeBook) { b.lease(me, "10.0.0.150") }
	moved := func(b *fakeBook) { b.lease(me, "10.0.0.150"); b.pin(me, "10.0.0.50") }
	tests := []struct {
		name    string
		book    func(*fakeBook)
		net     func(*ipam.Network)
		lastNAK time.Duration // before now
		frame   []byte
		want    string
	}{
		{"RFC 2131 §4.3.1 DISCOVER is offered what the book finds", nil, nil, 0, c1.discover(), "hold, offer to new"},
		{"RFC 2131 §4.3.1 DISCOVER with a wish", nil, nil, 0, c1.discover(withAddr(optRequested, "10.0.0.120")), "hold 10.0.0.120, offer to new"},
		{"RFC 2131 §4.3.1 DISCOVER with a stale ciaddr is not sent there", bound50, nil, 0, c1.discover(withCiaddr("10.0.0.9")), "hold, offer to new"},
		{"RFC 4039 §3.1 rapid commit binds at once", nil, nil, 0, c1.discover(withOption(optRapidCommit)), "holdBind, ack to new"},
		{"RFC 4039 §3.1 no rapid commit beside other servers", nil, elsewhere, 0, c1.discover(withOption(optRapidCommit)), "hold, offer to new"},
		{"DISCOVER soon after a NAK waits", nil, nil, time.Second, c1.discover(), "hold, offer to new, after 50ms"},
		{"DISCOVER long after a NAK does not", nil, nil, time.Minute, c1.discover(), "hold, offer to new"},

		{"RFC 2131 §4.3.2 SELECTING us", func(b *fakeBook) { b.offers[me] = addr("10.0.0.150") }, nil, 0, c1.selecting("10.0.0.150"), "bind 10.0.0.150, ack to new"},
		{"RFC 2131 §4.3.2 SELECTING with a stale ciaddr", moved, nil, 0, c1.selecting("10.0.0.50", withCiaddr("10.0.0.150")), "bind 10.0.0.50, ack to new, changed"},
		{"RFC 2131 §3.1(4) SELECTING another server takes the offer back", func(b *fakeBook) { b.offers[me] = addr("10.0.0.150") }, nil, 0, c1.selecting("10.0.0.150", withAddr(optServerID, "10.0.0.2")), "giveUp 10.0.0.150"},
		{"RFC 2131 §3.1(4) SELECTING another server leaves a lease", bound50, nil, 0, c1.selecting("10.0.0.150", withAddr(optServerID, "10.0.0.2")), "keep"},
		{"RFC 2131 §4.3.2 SELECTING without option 50", bound50, nil, 0, c1.broadcast(request, withAddr(optServerID, "10.0.0.1")), "keep"},
		{"RFC 2131 §4.3.2 SELECTING an address that changed since", moved, nil, 0, c1.selecting("10.0.0.150"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 SELECTING after a restart forgot the offer", nil, nil, 0, c1.selecting("10.0.0.150"), "claim 10.0.0.150, ack to new"},
		{"RFC 2131 §4.3.2 SELECTING an address of another", func(b *fakeBook) { b.lease(other, "10.0.0.150") }, nil, 0, c1.selecting("10.0.0.150"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 SELECTING the gateway's address", nil, nil, 0, c1.selecting("10.0.0.1"), "keep, nak to everyone"},

		{"RFC 2131 §4.3.2 INIT-REBOOT right", bound50, nil, 0, c1.rebooting("10.0.0.150"), "bind 10.0.0.150, ack to new"},
		{"RFC 2131 §4.3.2 INIT-REBOOT wrong", bound50, nil, 0, c1.rebooting("10.0.0.151"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 INIT-REBOOT off-net", bound50, nil, 0, c1.rebooting("192.168.1.5"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 INIT-REBOOT unknown, authoritative, free", nil, nil, 0, c1.rebooting("10.0.0.150"), "claim 10.0.0.150, ack to new"},
		{"RFC 2131 §4.3.2 INIT-REBOOT unknown, authoritative, off-net", nil, nil, 0, c1.rebooting("192.168.1.5"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 INIT-REBOOT unknown, another's", func(b *fakeBook) { b.lease(other, "10.0.0.150") }, nil, 0, c1.rebooting("10.0.0.150"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 INIT-REBOOT unknown, not authoritative: silent", nil, elsewhere, 0, c1.rebooting("10.0.0.150"), "keep"},
		{"RFC 2131 §4.3.2 INIT-REBOOT unknown, not authoritative, off-net: silent", nil, elsewhere, 0, c1.rebooting("192.168.1.5"), "keep"},
		{"RFC 2131 §4.3.2 INIT-REBOOT wrong, not authoritative: it is known", bound50, elsewhere, 0, c1.rebooting("10.0.0.151"), "keep, nak to everyone"},
		{"RFC 2131 §4.3.2 REQUEST with neither option 50 nor ciaddr", bound50, nil, 0, c1.broadcast(request), "keep"},

		{"RFC 2131 §4.3.2 RENEWING", bound50, nil, 0, c1.renewing("10.0.0.150"), "bind 10.0.0.150, ack to holder"},
		{"RFC 2131 §4.3.2 REBINDING", bound50, nil, 0, c1.rebinding("10.0.0.150"), "bind 10.0.0.150, ack to holder"},
		{"RENEWING the old address after a move", moved, nil, 0, c1.renewing("10.0.0.150"), "bind 10.0.0.50, ack to holder, changed"},
		{"REBINDING the old address after a move", moved, nil, 0, c1.rebinding("10.0.0.150"), "bind 10.0.0.50, ack to holder, changed"},
		{"REBINDING the old address, not authoritative: we gave it", moved, elsewhere, 0, c1.rebinding("10.0.0.150"), "bind 10.0.0.50, ack to holder, changed"},
		{"RFC 2131 §4.3.2 REBINDING another address, not authoritative: silent", moved, elsewhere, 0, c1.rebinding("10.0.0.77"), "keep"},
		{"RENEWING the old address by dhcpcd", moved, nil, 0, c1.renewing("10.0.0.150", withOption(optNonce, 1)), "keep, nak to everyone+holder"},
		{"RFC 2131 §4.3.2 RENEWING off-net", bound50, nil, 0, c1.renewing("192.168.1.5"), "keep, nak to everyone+holder"},
		{"RENEWING an address of the former subnet that we gave", func(b *fakeBook) {
			b.leases[me] = &record{addr: addr("10.0.0.150"), acked: addr("192.168.1.5")}
		}, nil, 0, c1.renewing("192.168.1.5"), "bind 10.0.0.150, ack to holder, changed"},
		{"RENEWING unknown, free: as after a loss of all leases", nil, nil, 0, c1.renewing("10.0.0.150"), "claim 10.0.0.150, ack to holder"},
		{"RENEWING unknown, another's", func(b *fakeBook) { b.lease(other, "10.0.0.150") }, nil, 0, c1.renewing("10.0.0.150"), "keep, nak to everyone+holder"},
		{"RFC 2131 §4.3.2 REBINDING unknown, not authoritative: silent", nil, elsewhere, 0, c1.rebinding("10.0.0.150"), "keep"},

		{"RFC 2131 §4.3.3 DECLINE", bound50, nil, 0, c1.decline("10.0.0.150"), "quarantine 10.0.0.150"},
		{"RFC 2131 §4.3.3 DECLINE of a pinned address", func(b *fakeBook) { b.pin(me, "10.0.0.50") }, nil, 0, c1.decline("10.0.0.50"), "quarantine 10.0.0.50"},
		{"RFC 2131 §4.3.3 DECLINE of an address pinned by MAC", func(b *fakeBook) { b.pin(ipam.ByMAC(mac(1)), "10.0.0.50") }, nil, 0, c1.decline("10.0.0.50"), "quarantine 10.0.0.50"},
		{"RFC 2131 table 5 DECLINE without server identifier", bound50, nil, 0, c1.broadcast(decline, withAddr(optRequested, "10.0.0.150")), "keep"},
		{"RFC 2131 table 5 DECLINE without option 50", bound50, nil, 0, c1.broadcast(decline, withAddr(optServerID, "10.0.0.1")), "keep"},
		{"RFC 2131 table 5 DECLINE to another server", bound50, nil, 0, c1.decline("10.0.0.150", withAddr(optServerID, "10.0.0.2")), "keep"},
		{"RFC 2131 §4.3.3 DECLINE of another's address", func(b *fakeBook) { b.lease(other, "10.0.0.150") }, nil, 0, c1.decline("10.0.0.150"), "keep"},
		{"DECLINE from another interface than the one it speaks for", bound50, nil, 0, client{mac: mac(1), via: mac(9)}.decline("10.0.0.150"), "keep"},

		{"RFC 2131 §4.3.4 RELEASE", bound50, nil, 0, c1.release("10.0.0.150"), "giveUp 10.0.0.150"},
		{"RFC 2131 §4.3.4 RELEASE to another server", bound50, nil, 0, c1.release("10.0.0.150", withAddr(optServerID, "10.0.0.2")), "keep"},
		{"RFC 2131 §4.3.4 RELEASE of another's address", func(b *fakeBook) { b.lease(other, "10.0.0.150") }, nil, 0, c1.release("10.0.0.150"), "keep"},
		{"RELEASE from another interface than the one it speaks for", bound50, nil, 0, client{mac: mac(1), via: mac(9)}.release("10.0.0.150"), "keep"},

		{"RFC 2131 §4.3.5 INFORM", nil, nil, 0, c1.unicast(inform, "10.0.0.9"), "keep, ack to holder"},
		{"RFC 2131 §4.3.5 INFORM from elsewhere", nil, nil, 0, c1.unicast(inform, "192.168.1.5"), "keep"},
		{"RFC 2131 table 5 INFORM to another server", nil, nil, 0, c1.unicast(inform, "10.0.0.9", withAddr(optServerID, "10.0.0.2")), "keep"},

		{"RFC 2131 §4.1 a relay gets the answer", nil, nil, 0, c1.discover(withGiaddr("10.0.0.5")), "hold, offer to relay"},
		{"RFC 2131 §4.1 a relay gets the NAK", bound50, nil, 0, c1.rebooting("10.0.0.151", withGiaddr("10.0.0.5")), "keep, nak to relay"},
		{"RFC 2131 §4.3.1 a relay of another subnet", nil, nil, 0, c1.discover(withGiaddr("192.168.1.1")), "keep"},
		{"RFC 3527 §3 link selection goes before giaddr", nil, nil, 0, c1.discover(withGiaddr("192.168.1.1"), withOption(optRelay, 5, 4, 10, 0, 0, 0)), "hold, offer to relay"},
		{"RFC 3527 §3 link selection of another subnet", nil, nil, 0, c1.discover(withGiaddr("10.0.0.5"), withOption(optRelay, 5, 4, 192, 168, 1, 0)), "keep"},
		{"RFC 3011 §3 subnet selection of another subnet", nil, nil, 0, c1.discover(withAddr(optSubnet, "192.168.1.0")), "keep"},
		{"RFC 5107 §4 the relay's name for us is ours", bound50, nil, 0, c1.selecting("10.0.0.150", withGiaddr("10.0.0.5"), withOption(optRelay, 11, 4, 10, 0, 0, 5), withAddr(optServerID, "10.0.0.5")), "bind 10.0.0.150, ack to relay"},

		{"busybox udhcpc gets its ACK later", bound50, nil, 0, c1.rebooting("10.0.0.150", withText(optVendor, "udhcp 1.35.0")), "bind 10.0.0.150, ack to new, after 5ms"},
		{"busybox udhcpc gets its OFFER at once", nil, nil, 0, c1.discover(withText(optVendor, "udhcp 1.35.0")), "hold, offer to new"},
		{"a message that servers send", nil, nil, 0, c1.broadcast(offer), "keep"},
		{"a lease query", nil, nil, 0, c1.broadcast(10), "keep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := testNetwork()
			if tt.net != nil {
				tt.net(n)
			}
			b := newBook(n)
			if tt.book != nil {
				tt.book(b)
			}
			var q query
			if err := q.parse(tt.frame); err != nil {
				t.Fatal(err)
			}
			w := who{client: ipam.Client{Holder: me, MAC: mac(1), PinMAC: mac(1)}}
			if tt.lastNAK > 0 {
				w.lastNAK = now.Add(-tt.lastNAK)
			}
			got := answer(&q, w, n, b, now)
			if got.String() != tt.want {
				t.Errorf("answer: %s (%s), want %s", got, got.why, tt.want)
			}
			if got.why == "" {
				t.Error("the decision does not say why")
			}
		})
	}
}

func elsewhere(n *ipam.Network) { n.Authoritative = false }

func TestLeaseTime(t *testing.T) {
	tests := []struct {
		name   string
		wish   []byte // option 51
		pin    time.Duration
		want   time.Duration
		t1, t2 time.Duration
	}{
		{"the network's", nil, 0, time.Hour, 30 * time.Minute, 52*time.Minute + 30*time.Second},
		{"the pin's", nil, 10 * time.Minute, 10 * time.Minute, 5 * time.Minute, 8*time.Minute + 45*time.Second},
		{"RFC 2131 §4.3.1 a shorter wish is heeded", []byte{0, 0, 2, 88}, 0, 10 * time.Minute, 5 * time.Minute, 8*time.Minute + 45*time.Second},
		{"a wish of a second is not", []byte{0, 0, 0, 1}, 0, 2 * time.Minute, time.Minute, 105 * time.Second},
		{"thirty years", []byte{0x38, 0x64, 0x09, 0}, 0, time.Hour, 30 * time.Minute, 52*time.Minute + 30*time.Second},
		{"RFC 2131 §3.3 for ever is what the pin says", nil, ipam.NeverExpires, ipam.NeverExpires, ipam.NeverExpires, ipam.NeverExpires},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mods []dhcpv4.Modifier
			if tt.wish != nil {
				mods = append(mods, withOption(optLeaseTime, tt.wish...))
			}
			var q query
			if err := q.parse(guest(1).discover(mods...)); err != nil {
				t.Fatal(err)
			}
			got := leaseTime(&q, testNetwork(), ipam.Entitlement{LeaseTime: tt.pin})
			if got != tt.want {
				t.Errorf("lease time %s, want %s", got, tt.want)
			}
			if t1, t2 := renewalTimes(got, false); t1 != tt.t1 || t2 != tt.t2 {
				t.Errorf("T1 %s, T2 %s; want %s, %s", t1, t2, tt.t1, tt.t2)
			}
		})
	}
}

func TestRenewalTimesOfAClientThatSettles(t *testing.T) {
	tests := []struct {
		name          string
		lease, t1, t2 time.Duration
	}{
		{"for ever", ipam.NeverExpires, time.Minute, 2 * time.Minute},
		{"an hour", time.Hour, time.Minute, 2 * time.Minute},
		{"a minute", time.Minute, 6 * time.Second, 12 * time.Second},
		{"so short that T2 could come before T1", 10 * time.Second, time.Second, 4 * time.Second},
		{"too short to come back sooner", 4 * time.Second, 2 * time.Second, 3500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if t1, t2 := renewalTimes(tt.lease, true); t1 != tt.t1 || t2 != tt.t2 {
				t.Errorf("T1 %s, T2 %s; want %s, %s", t1, t2, tt.t1, tt.t2)
			}
		})
	}
}
