package pinfile_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"berth/internal/ipam"
	"berth/internal/pinfile"
)

func pin(name, addr string) pinfile.Edit {
	return pinfile.Edit{Holder: ipam.ByName(name), Addr: netip.MustParseAddr(addr)}
}

func unpin(name string) pinfile.Edit { return pinfile.Edit{Holder: ipam.ByName(name)} }

func TestApply(t *testing.T) {
	client := ipam.MAC{0x00, 0x16, 0x3e, 1, 2, 3}
	within := func(e pinfile.Edit, network string) pinfile.Edit {
		e.Network = netip.MustParsePrefix(network)
		return e
	}
	tests := []struct {
		name  string
		text  string
		edits []pinfile.Edit
		want  string
	}{
		{"first pin of an absent file", "", []pinfile.Edit{pin("a", "10.0.0.1")}, "a,10.0.0.1\n"},
		{"another address", "# x\na,10.0.0.1 # mine\n\nb,10.0.0.2\n", []pinfile.Edit{pin("a", "10.0.0.101")}, "# x\na,10.0.0.101 # mine\n\nb,10.0.0.2\n"},
		{"the same address", "a , 10.0.0.1\n", []pinfile.Edit{pin("a", "10.0.0.1")}, "a , 10.0.0.1\n"},
		{"swap", "a,10.0.0.1 # a\nb,10.0.0.2 # b", []pinfile.Edit{pin("a", "10.0.0.2"), pin("b", "10.0.0.1")}, "a,10.0.0.2 # a\nb,10.0.0.1 # b"},
		{"every other field and the spacing stay", "\t45m ,  10.0.0.1,A,,\t# 10.0.0.1\r\n", []pinfile.Edit{pin("a", "10.0.0.7")}, "\t45m ,  10.0.0.7,A,,\t# 10.0.0.1\r\n"},
		{"an address that a comment names too", "# 10.0.0.1\na,10.0.0.1 # was 10.0.0.1\n", []pinfile.Edit{pin("a", "10.0.0.2")}, "# 10.0.0.1\na,10.0.0.2 # was 10.0.0.1\n"},
		{"new line after the last", "a,10.0.0.1\n# end\n", []pinfile.Edit{pin("b", "10.0.0.2")}, "a,10.0.0.1\n# end\nb,10.0.0.2\n"},
		{"new line after one without an end", "a,10.0.0.1", []pinfile.Edit{pin("b", "10.0.0.2")}, "a,10.0.0.1\nb,10.0.0.2\n"},
		{"new line of a CRLF file", "a,10.0.0.1\r\nc,10.0.0.3", []pinfile.Edit{pin("b", "10.0.0.2")}, "a,10.0.0.1\r\nc,10.0.0.3\r\nb,10.0.0.2\r\n"},
		{"unpin", "# x\na,10.0.0.1 # a\nb,10.0.0.2\n", []pinfile.Edit{unpin("a")}, "# x\nb,10.0.0.2\n"},
		{"unpin the last line, without an end", "b,10.0.0.2\na,10.0.0.1", []pinfile.Edit{unpin("a")}, "b,10.0.0.2\n"},
		{"unpin all lines of a holder", "a,10.0.0.1\nb,10.0.0.2\na,10.1.0.1\n", []pinfile.Edit{unpin("A")}, "b,10.0.0.2\n"},
		{"unpin in one network", "a,10.0.0.1\na,10.1.0.1\n", []pinfile.Edit{within(unpin("a"), "10.1.0.0/16")}, "a,10.0.0.1\n"},
		{"unpin nobody", "a,10.0.0.1\n", []pinfile.Edit{unpin("b")}, "a,10.0.0.1\n"},
		{"unpin and pin again", "a,10.0.0.1\nb,10.0.0.2\n", []pinfile.Edit{unpin("a"), pin("a", "10.0.0.9")}, "b,10.0.0.2\na,10.0.0.9\n"},
		{"pin and unpin", "", []pinfile.Edit{pin("a", "10.0.0.9"), unpin("a")}, ""},
		{"two lines for one network", "a,10.0.0.1\nb,10.0.0.2\na,10.0.0.3 # in force\n", []pinfile.Edit{pin("a", "10.0.0.9")}, "b,10.0.0.2\na,10.0.0.9 # in force\n"},
		{"a line on each of two networks", "a,10.0.0.1\na,10.0.1.1\n", []pinfile.Edit{pin("a", "10.0.0.9")}, "a,10.0.0.9\na,10.0.1.1\n"},
		{"nearest line", "a,10.0.0.1\na,192.168.0.1\n", []pinfile.Edit{pin("a", "10.0.9.9")}, "a,10.0.9.9\na,192.168.0.1\n"},
		{"a further network", "a,10.0.0.1\n", []pinfile.Edit{within(pin("a", "10.0.1.1"), "10.0.1.0/24")}, "a,10.0.0.1\na,10.0.1.1\n"},
		{"a wide network", "a,10.0.0.1\na,10.0.1.1\n", []pinfile.Edit{within(pin("a", "10.0.9.1"), "10.0.0.0/16")}, "a,10.0.9.1\n"},
		{"by hardware address", "00:16:3E:01:02:03,web,10.0.0.1,1h\n", []pinfile.Edit{{Holder: ipam.ByMAC(client), Addr: netip.MustParseAddr("10.0.0.2")}}, "00:16:3E:01:02:03,web,10.0.0.2,1h\n"},
		{"a client behind a guest", "", []pinfile.Edit{{Holder: ipam.Holder{Guest: "vm", MAC: client}, Addr: netip.MustParseAddr("10.0.0.2")}}, "00:16:3e:01:02:03,10.0.0.2\n"},
		{"the name of a line by hardware address is another holder", "00:16:3e:01:02:03,web,10.0.0.1\n", []pinfile.Edit{pin("web", "10.0.0.2")}, "00:16:3e:01:02:03,web,10.0.0.1\nweb,10.0.0.2\n"},
		{"second NIC", "a,10.0.0.1\n", []pinfile.Edit{pin("a:eth1", "10.0.0.2")}, "a,10.0.0.1\na:eth1,10.0.0.2\n"},
		{"name like a hardware address", "", []pinfile.Edit{pin("ab:cd", "10.0.0.2")}, "ab:cd.,10.0.0.2\n"},
		{"name like a lease time", "", []pinfile.Edit{pin("12h", "10.0.0.2"), pin("infinite", "10.0.0.3"), pin("ignore", "10.0.0.4")}, "12h.,10.0.0.2\ninfinite.,10.0.0.3\nignore.,10.0.0.4\n"},
		{"refused lines stay", "a,10.0.0.1,ignore\n\xff\x00\na,set:x,10.0.0.1\n", []pinfile.Edit{pin("a", "10.0.0.2"), unpin("x")}, "a,10.0.0.1,ignore\n\xff\x00\na,set:x,10.0.0.1\na,10.0.0.2\n"},
		{"mapped address", "", []pinfile.Edit{pin("a", "::ffff:10.0.0.1")}, "a,10.0.0.1\n"},
		{"edits that no line can express", "a,10.0.0.1\n", []pinfile.Edit{pin("id:eth0", "10.0.0.2"), pin("b b", "10.0.0.2"), pin("a", "fd00::1"), {Addr: netip.MustParseAddr("10.0.0.1")}}, "a,10.0.0.1\n"},
		{"a line full of blanks", "a," + strings.Repeat(" ", 1013) + "10.0.0.1 # x\n", []pinfile.Edit{pin("a", "10.0.0.100")}, "a,10.0.0.100 # x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := strings.Clone(tt.text)
			data := []byte(tt.text)
			if have := string(pinfile.Apply(data, tt.edits...)); have != tt.want {
				t.Errorf("have %q\nwant %q", have, tt.want)
			}
			if string(data) != before {
				t.Error("the argument was changed")
			}
		})
	}
}

func TestCheckNamesWhatNoLineCanSay(t *testing.T) {
	for _, e := range []pinfile.Edit{pin("id:eth0", "10.0.0.1"), pin("set:x", "10.0.0.1"), pin("10.0.0.300", "10.0.0.1"), pin("a b", "10.0.0.1"), pin("a", "fd00::1"), {Addr: netip.MustParseAddr("10.0.0.1")}, {}} {
		p, ok := e.Check().(*ipam.Problem)
		if !ok || p.Text == "" || p.Hint == "" || p.Code != ipam.CodeUsage {
			t.Errorf("%+v: %v", e, p)
		}
	}
	for _, e := range []pinfile.Edit{pin("a", "10.0.0.1"), unpin("12h"), pin("web.proj", "10.0.0.1"), pin("cent01:eth1", "10.0.0.1"), pin("_x", "10.0.0.1"), pin("ab:cd", "10.0.0.1")} {
		if err := e.Check(); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// FuzzApply checks that the edits are what the text says afterwards, and that no other
// line has changed.
func FuzzApply(f *testing.F) {
	f.Add([]byte("a,10.0.0.1 # x\r\nb,10.0.0.2"), "a", "b", uint32(0x0a000001), uint32(0))
	f.Add([]byte("a,10.0.0.1\na,10.0.0.7,,,00000045m\n\xff\n"), "12h", "a:eth1", uint32(0x0a000001), uint32(0x0a000002))
	f.Fuzz(func(t *testing.T, data []byte, first, second string, x, y uint32) {
		address := func(n uint32) netip.Addr {
			if n == 0 {
				return netip.Addr{}
			}
			return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		}
		edits := []pinfile.Edit{{Holder: ipam.ByName(first), Addr: address(x)}, {Holder: ipam.ByName(second), Addr: address(y)}}
		if edits[0].Holder == edits[1].Holder {
			edits = edits[:1]
		}
		edits = slices.DeleteFunc(edits, func(e pinfile.Edit) bool { return e.Check() != nil })
		after := pinfile.Apply(data, edits...)
		pins, problems := pinfile.Parse("pins", after)
		if _, before := pinfile.Parse("pins", data); len(problems) != len(before) {
			t.Errorf("%d refused lines before, %d after:\n%q", len(before), len(problems), after)
		}
		mine := map[ipam.Holder]bool{}
		for _, e := range edits {
			mine[e.Holder] = true
			have := slices.DeleteFunc(slices.Clone(pins), func(p ipam.Pin) bool { return p.Holder != e.Holder })
			in24 := slices.DeleteFunc(slices.Clone(have), func(p ipam.Pin) bool {
				return !e.Addr.IsValid() || !netip.PrefixFrom(e.Addr, 24).Contains(p.Addr)
			})
			switch {
			case !e.Addr.IsValid() && len(have) > 0:
				t.Errorf("%s is still pinned: %q", e.Holder, after)
			case e.Addr.IsValid() && (len(in24) != 1 || in24[0].Addr != e.Addr):
				t.Errorf("%s has %v, want %s:\n%q", e.Holder, in24, e.Addr, after)
			}
		}
		if was, is := others(data, mine), others(after, mine); !slices.Equal(was, is) {
			t.Errorf("other lines were %q, are %q", was, is)
		}
		if again := pinfile.Apply(after, edits...); string(again) != string(after) {
			t.Errorf("made twice: %q, then %q", after, again)
		}
	})
}

// others is the lines that do not pin one of the holders, without the end of the last.
func others(text []byte, holders map[ipam.Holder]bool) []string {
	var lines []string
	for line := range strings.Lines(string(text)) {
		if pins, _ := pinfile.Parse("", []byte(line)); len(pins) == 1 && holders[pins[0].Holder] {
			continue
		}
		lines = append(lines, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
	}
	return lines
}
