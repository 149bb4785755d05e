package dnsmasq_test

import (
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/internal/config/dnsmasq"
	"berth/internal/ipam"
)

// machineless is a machine without files.
var machineless = fstest.MapFS{}

// machine is one with files, from the root, given as names and texts.
func machine(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[strings.TrimPrefix(pairs[i], "/")] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// short writes pins as one reads them best.
func short(pins []ipam.Pin) []string {
	var all []string
	for _, p := range pins {
		s := p.Holder.String() + " " + p.Addr.String()
		if p.Name != "" {
			s += " called " + p.Name
		}
		if p.LeaseTime != 0 {
			s += " for " + p.LeaseTime.String()
		}
		all = append(all, s)
	}
	return all
}

// texts are problems without their hints; those that lack a hint or a place are made visible.
func texts(problems ipam.Problems) []string {
	var all []string
	for _, p := range problems {
		s := p.Error()
		if p.Hint == "" || p.Source.File == "" || p.Code == "" {
			s += " (INCOMPLETE)"
		}
		all = append(all, s)
	}
	return all
}

func TestHosts(t *testing.T) {
	known := dnsmasq.Command{Bridge: "lxdbr0", Domain: "lxd", Gateway: netip.MustParseAddr("10.64.177.1")}
	const never = ipam.NeverExpires
	tests := []struct {
		name     string
		text     string
		files    fs.FS
		pins     []string
		pins6    []string
		unserved []string
		problems []string
	}{
		{name: "a name", text: "dhcp-host=cent01,10.64.177.101", pins: []string{"cent01 10.64.177.101"}},
		{name: "fields in any order", text: "dhcp-host=10.64.177.101, 45m ,Cent01", pins: []string{"cent01 10.64.177.101 for 45m0s"}},
		{name: "a hardware address with a name", text: "dhcp-host=00:16:3E:1:2:3,cent01,10.64.177.101,infinite",
			pins: []string{"00:16:3e:01:02:03 10.64.177.101 called cent01 for " + never.String()}},
		{name: "the domain of all guests is left out", text: "dhcp-host=cent01.lxd,10.64.177.101\ndhcp-host=web.proj,10.64.177.102\ndhcp-host=a.b.lxd,10.64.177.103",
			pins: []string{"cent01 10.64.177.101", "web.proj 10.64.177.102", "a.b.lxd 10.64.177.103"}},
		{name: "the domain is set below", text: "dhcp-host=cent01.net,10.64.177.101\ndomain=net", pins: []string{"cent01 10.64.177.101"}},
		{name: "what is quoted is a name", text: "dhcp-host=\"12h\",\"10.0.0.1\"x,1h\ndhcp-host=\"infinite\",10.64.177.101",
			pins:     []string{"infinite 10.64.177.101"},
			problems: []string{`c:1:18: two names, "12h" and "10.0.0.1x": a host has one`}},
		{name: "a lease time is at least two minutes", text: "dhcp-host=cent01,10.64.177.101,5", pins: []string{"cent01 10.64.177.101 for 2m0s"}},
		{name: "IPv6", text: "dhcp-host=cent01,[fd94::65],[::66],10.64.177.101", pins: []string{"cent01 10.64.177.101"}, pins6: []string{"cent01 fd94::65", "cent01 ::66"}},
		{name: "a block of IPv6", text: "dhcp-host=cent01,[fd94:0:0:1::/80],[fd94::7/128]", pins6: []string{"cent01 fd94::7"},
			unserved: []string{"c:1:19: the block [fd94:0:0:1::/80] is not honoured; it would give the host several addresses"}},
		{name: "several hardware addresses", text: "dhcp-host=00:16:3e:00:00:01,00:16:3e:00:00:02,10.64.177.101", pins: []string{"00:16:3e:00:00:01 10.64.177.101"},
			unserved: []string{"c:1:11: 00:16:3e:00:00:02 is not pinned; it would take turns with 00:16:3e:00:00:01 for its address"}},
		{name: "wildcards", text: "dhcp-host=00:16:3e:*:*:*,10.64.177.101", unserved: []string{"c:1:11: 00:16:3e:*:*:* is not pinned: it is for all hardware addresses like 00:16:3e:*:*:*"}},
		{name: "a wildcard beside an address", text: "dhcp-host=00:16:3e:*:*:*,00:16:3e:00:00:02,10.64.177.101", pins: []string{"00:16:3e:00:00:02 10.64.177.101"},
			unserved: []string{"c:1:11: 00:16:3e:*:*:* is not pinned: it is for all hardware addresses like 00:16:3e:*:*:*"}},
		{name: "another kind of network", text: "dhcp-host=06-00:16:3e:00:00:02,10.64.177.101", unserved: []string{"c:1:11: 06-00:16:3e:00:00:02 is not pinned: it is for clients of another kind than Ethernet"}},
		{name: "another length", text: "dhcp-host=00:16:3e:00:00:02:07,10.64.177.101", unserved: []string{"c:1:11: 00:16:3e:00:00:02:07 is not pinned: the hardware address 00:16:3e:00:00:02:07 has 7 octets, an Ethernet address 6"}},
		{name: "a group's address", text: "dhcp-host=01:16:3e:00:00:02,10.64.177.101", unserved: []string{"c:1:11: 01:16:3e:00:00:02 is not pinned: that is not the address of one interface"}},
		{name: "a client-id", text: "dhcp-host=id:01:02,cent01,10.64.177.101", unserved: []string{`c:1:11: cent01 is not pinned: it is for whoever sends the client-id "01:02"`}},
		{name: "a client-id beside a hardware address", text: "dhcp-host=id:01:02,00:16:3e:00:00:02,10.64.177.101", pins: []string{"00:16:3e:00:00:02 10.64.177.101"},
			unserved: []string{`c:1:11: the client-id "01:02" is not honoured; whoever sends it would be 00:16:3e:00:00:02, too`}},
		{name: "any client-id", text: "dhcp-host=id:*,00:16:3e:00:00:02,10.64.177.101", pins: []string{"00:16:3e:00:00:02 10.64.177.101"}},
		{name: "ignore", text: "dhcp-host=cent01,10.64.177.101,ignore", unserved: []string{"c:1:11: ignore is not honoured; it would leave cent01 without an answer"}},
		{name: "a tag that nobody asks for", text: "dhcp-host=cent01,set:red,10.64.177.101", pins: []string{"cent01 10.64.177.101"}},
		{name: "a tag that somebody asks for", text: "dhcp-host=cent01,set:red,10.64.177.101\ndhcp-option=tag:red,26,1400", pins: []string{"cent01 10.64.177.101"},
			unserved: []string{`c:1:22: the tag "red" is not set; other lines ask for it`, `c:2:21: option 26 (interface-mtu) is not sent; it would be for those with the tag "red"`}},
		{name: "a line for some", text: "dhcp-host=cent01,tag:red,10.64.177.101", unserved: []string{`c:1:11: cent01 is not pinned; the line is for those with the tag "red"`}},
		{name: "a line for the bridge", text: "dhcp-host=cent01,tag:lxdbr0,10.64.177.101", pins: []string{"cent01 10.64.177.101"}},
		{name: "no address", text: "dhcp-host=00:16:3e:00:00:02,cent01\ndhcp-host=cent02,1h\ndhcp-host=cent03",
			unserved: []string{"c:1:11: the line for cent01 has no address; it would call 00:16:3e:00:00:02 cent01", "c:2:11: the line for cent02 has no address; it would set its lease time"}},
		{name: "the address is in a hosts file", text: "dhcp-host=cent01\ndhcp-host=cent02\nno-hosts\naddn-hosts=/h",
			files: machine("/h", "127.0.0.1 cent01\n::1 cent01\n10.64.177.101 x cent01. # cent02\n10.64.177.102 cent01\n"),
			pins:  []string{"cent01 10.64.177.101"}},
		{name: "the address is in /etc/hosts", text: "dhcp-host=00:16:3e:00:00:02,cent01", files: machine("/etc/hosts", "10.64.177.101 cent01\n"),
			pins: []string{"00:16:3e:00:00:02 10.64.177.101 called cent01"}},
		{name: "nobody", text: "dhcp-host=10.64.177.101\ndhcp-host=1h\ndhcp-host=\ndhcp-host=set:red",
			unserved: []string{"c:1:11: the line does not say whose it is", "c:2:11: the line does not say whose it is"}},
		{name: "a bad line costs itself alone", text: "dhcp-host=cent01,10.64.177.300\ndhcp-host=cent02,10.64.177.102", pins: []string{"cent02 10.64.177.102"},
			problems: []string{`c:1:18: "10.64.177.300" is no IPv4 address`}},
		{name: "two for an address are ResolvePins's", text: "dhcp-host=cent01,10.64.177.101\ndhcp-host=cent02,10.64.177.101", pins: []string{"cent01 10.64.177.101", "cent02 10.64.177.101"}},
		{name: "a file of hosts", text: "dhcp-hostsfile=/h\ndhcp-host=cent01,10.64.177.101",
			files: machine("/h", "# pins\ncent02,10.64.177.102\n\nbad name,10.64.177.9\ndhcp-host=cent03,10.64.177.103\nid:*,00:16:3e:00:00:04,10.64.177.104\n"),
			pins:  []string{"cent01 10.64.177.101", "cent02 10.64.177.102", "00:16:3e:00:00:04 10.64.177.104"},
			problems: []string{`/h:4:4: "bad name" is no name: it has a blank`,
				`/h:5:1: dhcp-host= belongs into the main configuration`}},
		{name: "files of hosts in the order that decides", text: "dhcp-hostsfile=/d\ndhcp-hostsfile=/a\ndhcp-hostsfile=/b\ndhcp-hostsdir=/e",
			files: machine("/a", "a,10.64.177.1", "/b", "b,10.64.177.2", "/d/z", "z,10.64.177.4", "/d/y", "y,10.64.177.3", "/d/.x", "x,10.64.177.9", "/d/w~", "w,10.64.177.9", "/d/#v#", "v,10.64.177.9", "/e/u", "u,10.64.177.5"),
			pins:  []string{"b 10.64.177.2", "a 10.64.177.1", "y 10.64.177.3", "z 10.64.177.4", "u 10.64.177.5"}},
		{name: "no file of hosts", text: "dhcp-hostsfile=/h\ndhcp-hostsdir=/d", problems: []string{`c:1:16: "/h" does not exist`, `c:2:15: "/d" does not exist`}},
		{name: "ethers", text: "read-ethers\ndhcp-host=cent01,10.64.177.101\ndhcp-host=cent02,10.64.177.102\ndhcp-host=00:16:3e:00:00:03,1h",
			files: machine("/etc/ethers", "# x\n00:16:3e:00:00:01 cent01\n0:16:3e:0:0:2\t10.64.177.102\n00:16:3e:00:00:03 10.64.177.103\n00:16:3e:00:00:04   10.64.177.104\n+ x\nnonsense\n00:16:3e:00:00:05 10.64.177.300\n00:16:3e:00:00 x\n00:16:3e:00:00:06 cent06\n00:16:3e:00:00:07 10.64.177.104\n"),
			pins: []string{"00:16:3e:00:00:01 10.64.177.101 called cent01", "00:16:3e:00:00:02 10.64.177.102 called cent02",
				"00:16:3e:00:00:03 10.64.177.103 for 1h0m0s", "00:16:3e:00:00:04 10.64.177.104"},
			unserved: []string{"/etc/ethers:10:1: the line for cent06 has no address; it would call 00:16:3e:00:00:06 cent06"},
			problems: []string{"/etc/ethers:7:1: the line lacks a name or an address", `/etc/ethers:8:19: "10.64.177.300" is no IPv4 address`,
				`/etc/ethers:9:1: "00:16:3e:00:00" is no Ethernet address`, "/etc/ethers:11:19: 10.64.177.104 has a line already, at /etc/ethers:5:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := tt.files
			if files == nil {
				files = machineless
			}
			c, problems := known.Parse("c", []byte(tt.text), files)
			for _, d := range []string{
				cmp.Diff(tt.pins, short(c.Pins)), cmp.Diff(tt.pins6, short(c.Pins6)),
				cmp.Diff(tt.unserved, texts(c.Unserved)), cmp.Diff(tt.problems, texts(problems)),
			} {
				if d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestSettings(t *testing.T) {
	addr := netip.MustParseAddr
	server := netip.MustParseAddrPort
	at := func(line, col int) ipam.Source { return ipam.Source{File: "c", Line: line, Col: col} }
	tests := []struct {
		name     string
		text     string
		files    fs.FS
		command  dnsmasq.Command
		want     dnsmasq.Config // Files and Unserved left out
		unserved []string
		problems []string
	}{
		{name: "switches", text: "dhcp-authoritative\nexpand-hosts\nlog-dhcp\nlog-queries=extra\nno-hosts\nno-resolv\nstrict-order\ndhcp-lease-max=250\ndhcp-leasefile=/l\ninterface=lxdbr0,lxdbr1\nresolv-file=/r",
			want: dnsmasq.Config{Authoritative: true, ExpandHosts: true, LogDHCP: true, LogQueries: true, NoHosts: true, NoResolv: true, StrictOrder: true, LeaseMax: 250, LeaseFile: "/l",
				Interfaces: []string{"lxdbr0", "lxdbr1"}, ResolvFiles: []string{"/r"}}},
		{name: "what berth does by itself", text: "bind-interfaces\nexcept-interface=lo\nuser=dnsmasq\npid-file=\nno-ping\nleasefile-ro\ncache-size=1000\nbogus-priv"},
		{name: "hosts files", text: "addn-hosts=/a\nhostsdir=b", want: dnsmasq.Config{HostsFiles: []string{"/a", "/b"}}},
		{name: "ranges", text: "dhcp-range=10.64.177.9,10.64.177.2,255.255.255.0,10.64.177.255,12h\ndhcp-range=10.64.177.0,static\ndhcp-range=fd94::,ra-stateless,ra-names\ndhcp-range=::2,::ff,constructor:lxdbr0,64,1d",
			want: dnsmasq.Config{Ranges: []dnsmasq.Range{
				{From: addr("10.64.177.2"), To: addr("10.64.177.9"), Bits: 24, Broadcast: addr("10.64.177.255"), LeaseTime: 12 * time.Hour, Source: at(1, 12)},
				{From: addr("10.64.177.0"), To: addr("10.64.177.0"), Static: true, Source: at(2, 12)},
				{From: addr("fd94::"), To: addr("fd94::"), Modes: []string{"ra-stateless", "ra-names"}, Source: at(3, 12)},
				{From: addr("::2"), To: addr("::ff"), Interface: "lxdbr0", Bits: 64, LeaseTime: 24 * time.Hour, Source: at(4, 12)},
			}}},
		{name: "ranges for some", text: "dhcp-range=tag:red,10.64.177.2,10.64.177.9\ndhcp-range=tag:lxdbr0,10.64.177.2,10.64.177.9\ndhcp-range=10.64.177.0,proxy\ndhcp-range=fd94::,ra-only,deprecated",
			command:  dnsmasq.Command{Bridge: "lxdbr0"},
			want:     dnsmasq.Config{Ranges: []dnsmasq.Range{{From: addr("10.64.177.2"), To: addr("10.64.177.9"), Source: at(2, 23)}}},
			unserved: []string{`c:1:12: the range is not honoured; it would be for those with the tag "red"`, "c:3:24: the range is not honoured; it would answer PXE clients of another DHCP server", "c:4:27: the range is not honoured; it would advertise its addresses as deprecated"}},
		{name: "servers", text: "server=192.0.2.53\nserver=/a/B.c/192.0.2.54#5353\nserver=//fe80::1%eth0\nserver=/d/#\nserver=/e/\nlocal=/f/.g/\nserver=dns.example\nserver=192.0.2.55@eth0",
			want: dnsmasq.Config{LocalDomains: []string{"e", "f", "g"}, Servers: []dnsmasq.Server{
				{Addr: server("192.0.2.53:53"), Source: at(1, 8)},
				{Addr: server("192.0.2.54:5353"), Domains: []string{"a", "b.c"}, Source: at(2, 15)},
				{Addr: server("[fe80::1]:53"), Zone: "eth0", Domains: []string{""}, Source: at(3, 10)},
				{Domains: []string{"d"}, Source: at(4, 11)},
				{Addr: server("192.0.2.55:53"), Source: at(8, 8)},
			}},
			unserved: []string{`c:7:8: server "dns.example" is not honoured; it would be looked up once at start`, "c:8:19: @eth0 is not honoured; it would be asked from there"}},
		{name: "reverse servers", text: "rev-server=10.64.177.0/24,192.0.2.53\nrev-server=10.64.178.9/23\nrev-server=fd94:1::/31,192.0.2.53\nrev-server=10.64.177.1,192.0.2.53",
			want: dnsmasq.Config{LocalDomains: []string{"178.64.10.in-addr.arpa", "179.64.10.in-addr.arpa"}, Servers: []dnsmasq.Server{
				{Addr: server("192.0.2.53:53"), Domains: []string{"177.64.10.in-addr.arpa"}, Source: at(1, 27)},
				{Addr: server("192.0.2.53:53"), Domains: []string{"0.0.0.0.4.9.d.f.ip6.arpa", "1.0.0.0.4.9.d.f.ip6.arpa"}, Source: at(3, 24)},
				{Addr: server("192.0.2.53:53"), Domains: []string{"1.177.64.10.in-addr.arpa"}, Source: at(4, 24)},
			}}},
		{name: "a file of servers", text: "servers-file=/s", files: machine("/s", "server=192.0.2.53\nrev-server=10.0.0.0/8\nno-resolv\nserver\n"),
			want:     dnsmasq.Config{LocalDomains: []string{"10.in-addr.arpa"}, Servers: []dnsmasq.Server{{Addr: server("192.0.2.53:53"), Source: ipam.Source{File: "/s", Line: 1, Col: 8}}}},
			problems: []string{`/s:3:1: "no-resolv" is not understood in a servers-file`, "/s:4:1: server is not set to anything, but has to be"}},
		{name: "records", text: "host-record=Www.example.,www,10.64.177.9,fd94::9,60\naddress=/a/b/10.64.177.8\naddress=/#/::\naddress=/c/#\naddress=/d/\ncname=x,y,www\nptr-record=9.177.64.10.in-addr.arpa,www",
			want: dnsmasq.Config{LocalDomains: []string{"d"}, Records: []dnsmasq.Record{
				{Kind: dnsmasq.Host, Name: "www.example", Addrs: []netip.Addr{addr("10.64.177.9"), addr("fd94::9")}, TTL: time.Minute, Source: at(1, 13)},
				{Kind: dnsmasq.Host, Name: "www", Addrs: []netip.Addr{addr("10.64.177.9"), addr("fd94::9")}, TTL: time.Minute, Source: at(1, 13)},
				{Kind: dnsmasq.Subtree, Name: "a", Addrs: []netip.Addr{addr("10.64.177.8")}, TTL: -1, Source: at(2, 9)},
				{Kind: dnsmasq.Subtree, Name: "b", Addrs: []netip.Addr{addr("10.64.177.8")}, TTL: -1, Source: at(2, 9)},
				{Kind: dnsmasq.Subtree, Addrs: []netip.Addr{addr("::")}, TTL: -1, Source: at(3, 9)},
				{Kind: dnsmasq.Subtree, Name: "c", Addrs: []netip.Addr{addr("0.0.0.0"), addr("::")}, TTL: -1, Source: at(4, 9)},
				{Kind: dnsmasq.Alias, Name: "x", Target: "www", TTL: -1, Source: at(6, 7)},
				{Kind: dnsmasq.Alias, Name: "y", Target: "www", TTL: -1, Source: at(6, 9)},
				{Kind: dnsmasq.Pointer, Name: "9.177.64.10.in-addr.arpa", Target: "www", TTL: -1, Source: at(7, 12)},
			}}},
		{name: "records that are none", text: "cname=x,x\ncname=*.x,y\nptr-record=x\nptr-record=\"a b\",x\naddress=//10.0.0.1",
			problems: []string{"c:1:7: x is an alias of itself"},
			unserved: []string{`c:2:7: cname "*.x" is not honoured; it would be for all names below a zone of its own`, `c:3:12: ptr-record "x" is not honoured; it would point to nothing`,
				`c:4:13: ptr-record "a b,x" is not honoured; it is no name of a host`, "c:5:9: an address for all names without a dot is not honoured"}},
		{name: "the domain of the command line", text: "", command: dnsmasq.Command{Domain: "LXD."}, want: dnsmasq.Config{Domain: "lxd"}},
		{name: "the domain of the file", text: "domain=Net.", command: dnsmasq.Command{Domain: "lxd"}, want: dnsmasq.Config{Domain: "net"}},
		{name: "the domain of a range", text: "domain=a,10.64.177.0/24,local\ndomain=b\ndomain=c,10.64.178.0/24\ndomain=d,eth0\ndomain=#",
			command: dnsmasq.Command{Bridge: "lxdbr0", Gateway: addr("10.64.177.1")}, want: dnsmasq.Config{Domain: "a", LocalDomains: []string{"a"}},
			unserved: []string{`c:3:10: domain "c" is not honoured; it would be for 10.64.178.0/24 only`, `c:4:10: domain "d" is not honoured; it would be for eth0 only`, "c:5:8: domain=# is not honoured; it would take the domain from /etc/resolv.conf"}},
		{name: "options", text: "dhcp-option=option:mtu,1400\ndhcp-option=3\ndhcp-optsfile=/o", files: machine("/o", "26,1300 # later\n42,10.64.177.1\n"),
			want: dnsmasq.Config{Options: []ipam.Option{{Code: 3}, {Code: 26, Data: []byte{5, 20}}, {Code: 42, Data: []byte{10, 64, 177, 1}}}}},
		{name: "options that are not sent", text: "dhcp-option=1,255.255.0.0\ndhcp-option=12,all\ndhcp-option=42,0.0.0.0\ndhcp-option=43\ndhcp-option=vendor:PXE,6,1\ndhcp-option=option6:dns-server,[::]\ndhcp-option-force=26,1400",
			want: dnsmasq.Config{Options: []ipam.Option{{Code: 26, Data: []byte{5, 120}}}},
			unserved: []string{"c:1:13: option 1 (subnet-mask) is not sent; it follows from ipv4", `c:2:13: option 12 (host-name) is not sent; it would call all guests "all"`,
				"c:3:16: option 42 (ntp-servers) is not sent; 0.0.0.0 would be the address of the host", "c:4:13: option 43 (vendor-encapsulated-options) is not sent; it would be sent without content",
				"c:5:13: option 6 (domain-name-servers) is not sent; it would go into another option for some clients", "c:6:13: option6:dns-server is not sent; options of DHCPv6 are not served",
				"c:7:19: option 26 (interface-mtu) is sent to those that ask for it; dhcp-option-force would send it to all"}},
		{name: "what would be lost", text: "dhcp-script=/x\nport=0\nno-dhcp-interface=lxdbr0,eth0\nconf-script=/x\nconf-file=-", command: dnsmasq.Command{Bridge: "lxdbr0"},
			unserved: []string{"c:1:1: dhcp-script is not honoured; it would run a script at each change of a lease", "c:2:6: port=0 is not honoured; it would switch DNS off",
				`c:3:19: no-dhcp-interface is not honoured; it would give nobody on "lxdbr0" an address`, "c:4:1: conf-script is not honoured; it would run a program and read what it prints",
				"c:5:11: conf-file=- is not honoured; it would read the standard input"}},
		{name: "mistakes", text: "dhcp-hots=cent01,10.0.0.1\n--no-hosts\nno-hosts=1\nserver\ncache-size=1\ncache-size=2\nfrobnicate",
			problems: []string{`c:1:1: option "dhcp-hots" is not known`, `c:2:1: option "--no-hosts" is not known`, "c:3:10: no-hosts is not set to anything", "c:4:1: server is not set to anything, but has to be",
				"c:6:1: cache-size is set at c:5:1 already", `c:7:1: option "frobnicate" is not known`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := tt.files
			if files == nil {
				files = machineless
			}
			c, problems := tt.command.Parse("c", []byte(tt.text), files)
			for _, d := range []string{cmp.Diff(tt.unserved, texts(c.Unserved)), cmp.Diff(tt.problems, texts(problems))} {
				if d != "" {
					t.Error(d)
				}
			}
			c.Unserved, c.Files = nil, nil
			compare := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			ports := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
			if d := cmp.Diff(&tt.want, c, compare, ports); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHintsNameTheRightOption(t *testing.T) {
	for wrong, right := range map[string]string{
		"dhcp-hots=x": "did you mean dhcp-host?", "--no-hosts": "in a file it is written without hyphens in front: no-hosts",
		"dhcp-option=option:routr,10.0.0.1": "did you mean option:router?", "dhcp-host=cent01,fd94::1": "write it in brackets: [fd94::1]",
	} {
		_, problems := dnsmasq.Parse("c", []byte(wrong), machineless)
		if len(problems) != 1 || problems[0].Hint != right {
			t.Errorf("%s: %v", wrong, problems)
		}
	}
}

func TestAFileThatIsNoConfiguration(t *testing.T) {
	c, problems := dnsmasq.Parse("c", []byte(strings.Repeat("nonsense\nmx-host=a\n", 5000)), machineless)
	for _, all := range []ipam.Problems{problems, c.Unserved} {
		if last := all[len(all)-1]; len(all) != 1001 || last.Text != "there are 4000 more" {
			t.Errorf("%d, of which the last is %v", len(all), last)
		}
	}
	if !slices.Equal(c.Files, []string{"c"}) {
		t.Errorf("files: %v", c.Files)
	}
}
