package dhcp4

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// walk lists the options of a field that must end in the end option, pieces one by one.
func walk(t testing.TB, b []byte) (codes []byte, values [][]byte) {
	t.Helper()
	for i := 0; i < len(b); {
		switch {
		case b[i] == optPad:
			i++
		case b[i] == optEnd:
			return codes, values
		case i+2 > len(b) || i+2+int(b[i+1]) > len(b):
			t.Fatalf("option %d reaches beyond its field", b[i])
		default:
			codes = append(codes, b[i])
			values = append(values, b[i+2:i+2+int(b[i+1])])
			i += 2 + int(b[i+1])
		}
	}
	t.Fatal("the field has no end option")
	return nil, nil
}

// composed is the message that a DISCOVER or other request gets.
func composed(t testing.TB, frame []byte, n *ipam.Network, d decision, e ipam.Entitlement) ([]byte, int) {
	t.Helper()
	var q query
	if err := q.parse(frame); err != nil {
		t.Fatal(err)
	}
	var r reply
	r.compose(&q, n, &d, e, time.Hour)
	b := make([]byte, ethernet)
	size := r.write(b, &q)
	return b[:size], r.dropped
}

var offered = ipam.Entitlement{Addr: addr("10.0.0.150"), Name: "c1"}

func TestReplyOptionOrder(t *testing.T) {
	list := withOption(optParameterList, optDNS, optRouter, optDomain, optBroadcast, optHostname, optLeaseTime)
	m, _ := composed(t, guest(1).discover(list, withOption(optClientID, 1, 2)), testNetwork(), decision{reply: offer}, offered)
	codes, _ := walk(t, m[atOptions:])
	// RFC 2132 §9.8: as the client asked; §3.3: the mask before the router.
	want := []byte{optType, optServerID, optLeaseTime, optT1, optT2, optClientID, optDNS, optMask, optRouter, optDomain, optBroadcast, optHostname}
	if !bytes.Equal(codes, want) {
		t.Errorf("options %d, want %d", codes, want)
	}
}

func TestReplyOnlyWhatWasAskedFor(t *testing.T) {
	n := testNetwork()
	n.Options = []ipam.Option{{Code: 42, Data: []byte{10, 0, 0, 1}}, {Code: 66, Data: []byte("tftp")}, {Code: optLeaseTime, Data: []byte{1, 2, 3, 4}}, {Code: optDNS}}
	m, _ := composed(t, guest(1).discover(withOption(optParameterList, 42, optDNS)), n, decision{reply: offer}, offered)
	codes, _ := walk(t, m[atOptions:])
	want := []byte{optType, optServerID, optLeaseTime, optT1, optT2, 42, optMask}
	if !bytes.Equal(codes, want) {
		t.Errorf("options %d, want %d", codes, want)
	}
	m, _ = composed(t, guest(1).broadcast(discover, func(d *dhcpv4.DHCPv4) { d.Options.Del(dhcpv4.OptionParameterRequestList) }), n, decision{reply: offer}, offered)
	if codes, _ = walk(t, m[atOptions:]); !slices.Contains(codes, 66) || !slices.Contains(codes, optRouter) {
		t.Errorf("a client without a list got %d, want all there is", codes)
	}
}

func TestReplyHeedsTheMaximumSize(t *testing.T) {
	n := testNetwork()
	n.Options = []ipam.Option{{Code: 119, Data: bytes.Repeat([]byte{1}, 230)}, {Code: 224, Data: bytes.Repeat([]byte{2}, 120)}, {Code: 225, Data: bytes.Repeat([]byte{3}, 60)}, {Code: 226, Data: bytes.Repeat([]byte{4}, 400)}}
	list := withOption(optParameterList, optMask, optRouter, 119, 224, 225, 226)
	tests := []struct {
		name    string
		size    []byte // option 57
		limit   int
		dropped int
		use     byte // option 52; 0: not there
	}{
		{"none: 576", nil, 576, 1, 3},
		{"576", []byte{2, 64}, 576, 1, 3},
		{"RFC 2132 §9.10 less than 576 is 576", []byte{0, 10}, 576, 1, 3},
		{"1472", []byte{5, 192}, 1472, 0, 0},
		{"65535: no more than a frame holds", []byte{255, 255}, 1500, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mods := []dhcpv4.Modifier{list}
			if tt.size != nil {
				mods = append(mods, withOption(optMaxSize, tt.size...))
			}
			m, dropped := composed(t, guest(1).discover(mods...), n, decision{reply: offer}, offered)
			if len(m) > tt.limit-28 {
				t.Errorf("%d bytes with headers, at most %d are taken", len(m)+28, tt.limit)
			}
			if dropped != tt.dropped {
				t.Errorf("%d options left out, want %d", dropped, tt.dropped)
			}
			var back message
			if err := back.parse(m); err != nil {
				t.Fatal(err)
			}
			use, _ := back.option(optOverload)
			if tt.use != 0 && !bytes.Equal(use, []byte{tt.use}) || tt.use == 0 && use != nil {
				t.Errorf("option 52 is %x, want %d", use, tt.use)
			}
			for _, o := range n.Options[:4-dropped] {
				if got, _ := back.option(o.Code); !bytes.Equal(got, o.Data) {
					t.Errorf("option %d has %d bytes, want %d", o.Code, len(got), len(o.Data))
				}
			}
			for _, c := range []byte{optType, optServerID, optLeaseTime, optMask, optRouter} {
				if !back.has(c) {
					t.Errorf("option %d was left out for one that matters less", c)
				}
			}
		})
	}
}

func TestReplyLongOptionIsSplit(t *testing.T) {
	long := bytes.Repeat([]byte("abcdefg"), 90) // RFC 3396 §6: 255, 255 and 120 bytes
	n := testNetwork()
	n.Options = []ipam.Option{{Code: 224, Data: long}}
	m, _ := composed(t, guest(1).discover(withOption(optParameterList, 224), withOption(optMaxSize, 5, 192)), n, decision{reply: offer}, offered)
	codes, values := walk(t, m[atOptions:])
	var sizes []int
	for i, c := range codes {
		if c == 224 {
			sizes = append(sizes, len(values[i]))
		}
	}
	if fmt.Sprint(sizes) != "[255 255 120]" {
		t.Errorf("pieces of %d bytes", sizes)
	}
	d, err := dhcpv4.FromBytes(m)
	if err != nil || !bytes.Equal(d.Options.Get(dhcpv4.GenericOptionCode(224)), long) {
		t.Errorf("the reference reads %d bytes, %v", len(d.Options.Get(dhcpv4.GenericOptionCode(224))), err)
	}
}

func TestReplyClasslessRoutes(t *testing.T) {
	route := []byte{24, 192, 168, 7, 10, 0, 0, 9}
	viaGateway := append(slices.Clone(route), 0, 10, 0, 0, 1)
	tests := []struct {
		name    string
		options []ipam.Option
		want    []byte
	}{
		{"RFC 3442 the router's route is among them", []ipam.Option{{Code: optRoutes, Data: route}}, viaGateway},
		{"the router that the operator set", []ipam.Option{{Code: optRouter, Data: []byte{10, 0, 0, 3}}, {Code: optRoutes, Data: route}}, append(slices.Clone(route), 0, 10, 0, 0, 3)},
		{"no router is wanted", []ipam.Option{{Code: optRouter}, {Code: optRoutes, Data: route}}, route},
		{"one is there", []ipam.Option{{Code: optRoutes, Data: append([]byte{0, 10, 0, 0, 8}, route...)}}, append([]byte{0, 10, 0, 0, 8}, route...)},
		{"what is no list stays", []ipam.Option{{Code: optRoutes, Data: []byte{33, 1, 2}}}, []byte{33, 1, 2}},
		{"half a route stays", []ipam.Option{{Code: optRoutes, Data: []byte{24, 192, 168}}}, []byte{24, 192, 168}},
		{"none are set", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := testNetwork()
			n.Options = tt.options
			m, _ := composed(t, guest(1).discover(withOption(optParameterList, optRoutes, optRouter)), n, decision{reply: offer}, offered)
			var back message
			if err := back.parse(m); err != nil {
				t.Fatal(err)
			}
			if got, _ := back.option(optRoutes); !bytes.Equal(got, tt.want) {
				t.Errorf("option 121 is %d, want %d", got, tt.want)
			}
		})
	}
}

func TestReplyFullyQualifiedName(t *testing.T) {
	const s, o, e, n = 1, 2, 4, 8
	tests := []struct {
		name  string
		asked []byte
		dns   string
		want  []byte
	}{
		{"RFC 4702 §4 not asked", nil, "c1", nil},
		{"too short to be one", []byte{0, 0}, "c1", nil},
		{"RFC 4702 §2.1 the client wants us to", append([]byte{s, 0, 0}, "liar"...), "c1", append([]byte{s, 255, 255}, "c1.lxd"...)},
		{"RFC 4702 §2.1 it wants to itself", append([]byte{0, 0, 0}, "liar"...), "c1", append([]byte{s | o, 255, 255}, "c1.lxd"...)},
		{"RFC 4702 §2.3.1 canonical encoding", append([]byte{s | e, 0, 0}, "\x04liar\x00"...), "c1", append([]byte{s | e, 255, 255}, "\x02c1\x03lxd\x00"...)},
		{"a second NIC", []byte{s | e, 0, 0}, "eth1.c1", append([]byte{s | e, 255, 255}, "\x04eth1\x02c1\x03lxd\x00"...)},
		{"it has no name here", append([]byte{s, 0, 0}, "liar"...), "", []byte{n | o, 255, 255}},
		{"it wants nobody to", []byte{n, 0, 0}, "", []byte{n, 255, 255}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mods []dhcpv4.Modifier
			if tt.asked != nil {
				mods = append(mods, withOption(optFQDN, tt.asked...))
			}
			m, _ := composed(t, guest(1).discover(mods...), testNetwork(), decision{reply: offer}, ipam.Entitlement{Addr: addr("10.0.0.150"), Name: tt.dns})
			var back message
			if err := back.parse(m); err != nil {
				t.Fatal(err)
			}
			if got, _ := back.option(optFQDN); !bytes.Equal(got, tt.want) {
				t.Errorf("option 81 is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReplyOptionThatFitsNowhere(t *testing.T) {
	n := testNetwork()
	n.Options = []ipam.Option{{Code: 224, Data: make([]byte, 40_000)}, {Code: 225, Data: []byte{1}}}
	m, dropped := composed(t, guest(1).discover(withOption(optParameterList, 224, 225)), n, decision{reply: offer}, offered)
	codes, _ := walk(t, m[atOptions:])
	if dropped != 1 || slices.Contains(codes, 224) || !slices.Contains(codes, 225) {
		t.Errorf("options %d, %d left out", codes, dropped)
	}
}
