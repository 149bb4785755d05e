package ra

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"berth/internal/ipam"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func TestOptionBytes(t *testing.T) {
	search := func(domains ...string) []byte {
		var list []timed[string]
		for _, d := range domains {
			list = append(list, timed[string]{d, 30 * time.Minute})
		}
		option, n := appendSearch(nil, list)
		if n != len(domains) {
			t.Errorf("search option holds %d of %d domains", n, len(domains))
		}
		return option
	}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"header, RFC 4861 §4.2: lifetime, M, O, then link-layer address and MTU",
			advertisement{lifetime: 1800 * time.Second, managed: true, other: true, mac: ipam.MAC{2, 0, 0, 0, 0, 1}, mtu: 1400}.appendHeader(nil),
			"86000000 40c00708 00000000 00000000" + "0101020000000001" + "0501000000000578"},
		{"header of one that is no default router, nothing else said", advertisement{}.appendHeader(nil), "86000000 40000000 00000000 00000000"},
		{"header, RFC 8319 §4: the longest lifetime", advertisement{lifetime: 20 * time.Hour}.appendHeader(nil), "86000000 4000ffff 00000000 00000000"},
		{"prefix, RFC 4861 §4.6.2: on-link and autonomous",
			appendPrefix(nil, Prefix{Prefix: prefix("fd94:d372:e27f:2987::/64"), OnLink: true, Autonomous: true, Valid: 24 * time.Hour, Preferred: 12 * time.Hour}),
			"030440c0 00015180 0000a8c0 00000000 fd94d372e27f2987 0000000000000000"},
		{"prefix without host bits, on-link only, deprecated",
			appendPrefix(nil, Prefix{Prefix: prefix("2001:db8::1/48"), OnLink: true, Valid: time.Hour}),
			"03043080 00000e10 00000000 00000000 20010db800000000 0000000000000000"},
		{"prefix, for ever", appendPrefix(nil, Prefix{Prefix: prefix("fd00::/64"), Autonomous: true, Valid: 1 << 62, Preferred: 1 << 62}),
			"03044040 ffffffff ffffffff 00000000 fd00000000000000 0000000000000000"},
		{"route to everywhere, RFC 4191 §2.3: no prefix", appendRoute(nil, timed[netip.Prefix]{prefix("::/0"), time.Minute}), "18010000 0000003c"},
		{"route of 64 bits at most", appendRoute(nil, timed[netip.Prefix]{prefix("fd00:1::/48"), time.Minute}), "18023000 0000003c fd00000100000000"},
		{"route of more than 64 bits", appendRoute(nil, timed[netip.Prefix]{prefix("fd00::5/128"), 0}), "18038000 00000000 fd00000000000000 0000000000000005"},
		{"resolvers, RFC 8106 §5.1",
			appendResolvers(nil, []timed[netip.Addr]{{addr("fd00::1"), 30 * time.Minute}, {addr("fe80::1"), 30 * time.Minute}}),
			"19050000 00000708 fd00000000000000 0000000000000001 fe80000000000000 0000000000000001"},
		{"domain that fills its words, RFC 8106 §5.2", search("lxd.lab"), "1f030000 00000708 036c7864036c6162 00" + "00000000000000"},
		{"domain that is padded", search("lxd"), "1f020000 00000708 036c7864 00000000"},
		{"domain with a dot at its end", search("lxd."), "1f020000 00000708 036c7864 00000000"},
		{"two domains", search("a.b", "c"), "1f020000 00000708 0161016200 016300"},
	}
	for _, tt := range tests {
		if want := strings.ReplaceAll(tt.want, " ", ""); hex.EncodeToString(tt.got) != want {
			t.Errorf("%s:\n got %x\nwant %s", tt.name, tt.got, want)
		}
	}
}

// TestEverythingArrivesHoweverMuch: what does not fit into one message goes into more of them, each of which is whole.
func TestEverythingArrivesHoweverMuch(t *testing.T) {
	a := advertisement{lifetime: time.Hour, mac: ipam.MAC{2, 0, 0, 0, 0, 1}}
	for i := range 60 {
		a.prefixes = append(a.prefixes, Prefix{Prefix: netip.PrefixFrom(addr(fmt.Sprintf("fd00:%x::", i)), 64)})
		a.resolvers = append(a.resolvers, timed[netip.Addr]{addr(fmt.Sprintf("fd00::%x", i+1)), time.Duration(i/50) * time.Hour})
		a.search = append(a.search, timed[string]{fmt.Sprintf("%s.%s.example%d", strings.Repeat("a", 60), strings.Repeat("b", 60), i), time.Hour})
	}
	count := map[byte]int{}
	messages := a.encode()
	for i, m := range messages {
		if len(m) > maxMessage {
			t.Errorf("message %d has %d octets", i, len(m))
		}
		if life, err := parseAdvertisement(packet{from: addr("fe80::1"), hops: 255, body: m}); err != nil || life != time.Hour {
			t.Errorf("message %d: lifetime %v, %v", i, life, err)
		}
		linkLayer := 0
		if err := eachOption(m[16:], func(kind byte, value []byte) {
			switch kind {
			case optSourceLinkLayer:
				linkLayer++
			case optPrefix:
				count[kind]++
			case optResolvers:
				count[kind] += (len(value) - 6) / 16
			case optSearch:
				count[kind] += strings.Count(string(value), "example")
			}
		}); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		if linkLayer != 1 {
			t.Errorf("message %d says the link-layer address %d times", i, linkLayer)
		}
	}
	if len(messages) < 5 || count[optPrefix] != 60 || count[optResolvers] != 60 || count[optSearch] != 60 {
		t.Errorf("%d messages hold %v, want 60 of each", len(messages), count)
	}
}

func TestParseSolicitation(t *testing.T) {
	const guest = "fe80::5"
	tests := []struct {
		name, from, body string
		hops             int
		ok               bool
	}{
		{"plain", guest, "8500000000000000", 255, true},
		{"with link-layer address", guest, "85000000000000000101020000000001", 255, true},
		{"with an option nobody knows", guest, "8500000000000000fd010000000000000e01000000000000", 255, true},
		{"before it has an address", "::", "8500000000000000", 255, true},
		{"§6.1.1 no address but a link-layer address", "::", "85000000000000000101020000000001", 255, false},
		{"§6.1.1 from beyond a router", guest, "8500000000000000", 254, false},
		{"hop limit not known", guest, "8500000000000000", -1, false},
		{"§6.1.1 code", guest, "8501000000000000", 255, false},
		{"§6.1.1 too short", guest, "85000000000000", 255, false},
		{"§6.1.1 option of length zero", guest, "85000000000000000100020000000001", 255, false},
		{"option beyond the end", guest, "85000000000000000102020000000001", 255, false},
		{"half an option header", guest, "850000000000000001", 255, false},
		{"another type", guest, "8600000000000000", 255, false},
		{"empty", guest, "", 255, false},
		{"from a group", "ff02::1", "8500000000000000", 255, false},
	}
	for _, tt := range tests {
		body, err := hex.DecodeString(tt.body)
		if err != nil {
			t.Fatal(err)
		}
		sol, err := parseSolicitation(packet{from: addr(tt.from), hops: tt.hops, body: body})
		if (err == nil) != tt.ok || tt.ok && sol.from != addr(tt.from) {
			t.Errorf("%s: got %v, %v", tt.name, sol, err)
		}
	}
}

func TestParseAdvertisement(t *testing.T) {
	const plain = "86000000400007080000000000000000"
	tests := []struct {
		name, from, body string
		hops             int
		ok               bool
	}{
		{"plain", "fe80::5", plain, 255, true},
		{"with a link-layer address", "fe80::5", plain + "0101020000000001", 255, true},
		{"§6.1.2 not from a link-local address", "fd00::5", plain, 255, false},
		{"§6.1.2 from beyond a router", "fe80::5", plain, 64, false},
		{"§6.1.2 too short", "fe80::5", plain[:30], 255, false},
		{"§6.1.2 option of length zero", "fe80::5", plain + "0100020000000001", 255, false},
		{"§6.1.2 code", "fe80::5", "8601" + plain[4:], 255, false},
		{"a solicitation", "fe80::5", "85" + plain[2:], 255, false},
	}
	for _, tt := range tests {
		body, err := hex.DecodeString(tt.body)
		if err != nil {
			t.Fatal(err)
		}
		life, err := parseAdvertisement(packet{from: addr(tt.from), hops: tt.hops, body: body})
		if (err == nil) != tt.ok || tt.ok && life != 30*time.Minute {
			t.Errorf("%s: got %v, %v", tt.name, life, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"8500000000000000", "85000000000000000101020000000001", "86000000400007080000000000000000", "8500000000000000fd"} {
		b, _ := hex.DecodeString(seed)
		f.Add(b, byte(255))
		f.Add(append(append([]byte{0x60, 0, 0, 0, 0, byte(len(b)), 58, 255}, make([]byte, 32)...), b...), byte(255))
	}
	f.Fuzz(func(t *testing.T, b []byte, hops byte) {
		p, err := parsePacket(b)
		if err == nil && len(p.body) > len(b)-ipv6HeaderLen {
			t.Fatalf("%d octets hold a body of %d", len(b), len(p.body))
		}
		for _, from := range []string{"::", "fe80::1"} {
			q := packet{from: addr(from), hops: int(hops), body: b}
			if sol, err := parseSolicitation(q); err == nil && (hops != 255 || len(b)%8 != 0 || b[0] != typeSolicitation || sol.from != q.from) {
				t.Fatalf("accepted %x with hop limit %d", b, hops)
			}
			if _, err := parseAdvertisement(q); err == nil && (hops != 255 || len(b)%8 != 0 || b[0] != typeAdvertisement || from == "::") {
				t.Fatalf("accepted %x with hop limit %d", b, hops)
			}
		}
	})
}
