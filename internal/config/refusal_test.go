package config_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/ipam"
)

// refusal is a text and what must be said about it: each line is "LINE:COLUMN text | part of the hint".
type refusal struct {
	name, text string
	want       []string
}

// line is a refusal of one line in an otherwise good network: it stands on the third.
func line(name, text string, want ...string) refusal {
	return refusal{name, minimal + text + "\n", want}
}

// subnet is a refusal of one ipv4.
func subnet(name, value string, want ...string) refusal {
	return refusal{name, "[network.br0]\nipv4 = " + value + "\n", want}
}

func refusals() []refusal {
	return append(append(structures(), subnets()...), append(settings(), options()...)...)
}

func structures() []refusal {
	const zone = "ipv4 = \"10.0.0.1/24\"\n"
	return []refusal{
		{"empty file", "", []string{`0:0 no network is configured | [network.lxdbr0]`}},
		{"comments only", "# nothing\n", []string{`0:0 no network is configured | ipv4 =`}},
		{"no network in the table", "[network]\n", []string{`0:0 no network is configured | [network.lxdbr0]`}},
		{"syntax", "[network.br0\n", []string{`1:13 expected ']' to close table name | [network.lxdbr0]`}},
		{"value without quotes", "[network.br0]\nipv4 = 10.0.0.1/24\n", []string{`2:12 expected newline but got`}},
		{"word without quotes", "[network.br0]\ndomain = lxd\n", []string{`2:10 unexpected character U+006C 'l' at start of value | text stands in quotes`}},
		{"key twice", minimal + "nat = true\nnat = true\n", []string{`4:1 nat is there already, at berth.toml:3:1 | delete one`}},
		{"network twice", minimal + "[network.br0]\n", []string{`3:10 [network.br0] is there already, at berth.toml:1:10 | delete one`}},
		{"unknown table", minimal + "[lag]\nformat = \"dnsmasq\"\n", []string{`3:2 key "lag" is not known | did you mean log?`}},
		{"format of the log", minimal + "[log]\nformat = \"syslog\"\n", []string{`4:10 "syslog" is no format of the log | write "text" or "dnsmasq"`}},
		{"format that is no text", minimal + "[log]\nformat = true\n", []string{`4:10 format is a string, not true or false | write format = "dnsmasq"`}},
		{"unknown key of the log", minimal + "[log]\nfromat = \"text\"\n", []string{`4:1 key "fromat" is not known | did you mean format?`}},
		{"log that is no table", "log = \"dnsmasq\"\n" + minimal, []string{`1:7 log is a table, not a string | write [log] and below it format = "dnsmasq"`}},
		{"misspelled table", "[networks.br0]\n" + zone, []string{`1:2 key "networks" is not known | did you mean network?`}},
		{"key before the first table", "nat = true\n" + minimal, []string{`1:1 nat stands outside every network | [network.lxdbr0]`}},
		{"network without a name", "[network]\n" + zone, []string{`2:1 ipv4 stands outside every network | [network.lxdbr0]`}},
		{"network is no table", "network = 5\n", []string{`1:11 network is a table of networks, not an integer | [network.lxdbr0]`}},
		{"network is a list of tables", "[[network]]\n" + zone, []string{`1:3 network is a table of networks, not a list | [network.lxdbr0]`}},
		{"a network is no table", "[network]\nbr0 = \"10.0.0.1/24\"\n", []string{`2:7 network br0 is a table, not a string | [network.lxdbr0]`}},
		{"double brackets", "[[network.br0]]\n" + zone, []string{`1:11 network br0 is a list of tables | [network.br0]`}},
		{"bridge with a dot, not quoted", "[network.br0]\n" + zone + "[network.br0.100]\nipv4 = \"10.1.0.1/24\"\n", []string{`3:14 network br0 has no table 100 | [network."br0.100"]`}},
		{"misspelled table of options", minimal + "[network.br0.dhcp_options]\n", []string{`3:14 key "dhcp_options" is not known | did you mean dhcp-options?`}},
		{"unknown key", minimal + "colour = \"blue\"\n", []string{`3:1 key "colour" is not known | known: ipv4, dhcp-range`}},
		{"misspelled key", minimal + "  lease_time = \"1h\"\n", []string{`3:3 key "lease_time" is not known | did you mean lease-time?`}},
		{"no ipv4", "[network.br0]\nnat = true\n", []string{`1:10 network br0 has no ipv4 | ipv4 = "10.64.177.1/24"`}},
		{"empty network", "[network.br0]\n", []string{`1:10 network br0 has no ipv4 | ipv4 = "10.64.177.1/24"`}},
		{"all at once, in order", "colour = 1\n[network.br0]\nlease-time = \"soon\"\nipv4 = \"10.0.0.300/24\"\nnat = \"yes\"\nipv6 = 6\n[network.br0.dhcp-options]\nntp = [\"10.0.0.1\"]\nmtu = \"big\"\n[network.lo]\n", []string{
			`1:1 key "colour" is not known | known: network, log`,
			`3:14 "soon" is no time: a number and its unit are wanted, one of w, d, h, m and s | "1h"`,
			`4:8 "10.0.0.300/24" is no IPv4 address with a prefix length | 10.64.177.1/24`,
			`5:7 nat is true or false, not a string | nat = true`,
			`6:8 ipv6 is a string, not an integer | fd94`,
			`8:1 option "ntp" is not known | its number will do`,
			`9:7 interface-mtu is an integer from 68 to 65535, not a string | interface-mtu = 68`,
			`10:10 lo is the loopback interface | lxdbr0`,
			`10:10 network lo has no ipv4 | ipv4 =`,
		}},
		{"long name", "[network.a234567890123456]\n" + zone, []string{`1:10 "a234567890123456" is longer than an interface's name may be: 16 bytes, of which there may be 15 | lxdbr0`}},
		{"dots", "[network.\"..\"]\n" + zone, []string{`1:10 ".." is no interface's name | lxdbr0`}},
		{"everything", "[network.all]\n" + zone, []string{`1:10 "all" means every interface to the kernel | lxdbr0`}},
		{"no letters", "[network.\"\"]\n" + zone, []string{`1:10 the network has no name | lxdbr0`}},
		{"slash", "[network.\"a/b\"]\n" + zone, []string{`1:10 the name of network "a/b" holds the character '/' | lxdbr0`}},
		{"blank", "[network.\"a b\"]\n" + zone, []string{`1:10 the name of network "a b" holds the character ' ' | lxdbr0`}},
		{"pattern", "[network.\"br%d\"]\n" + zone, []string{`1:10 the name of network "br%d" holds the character '%' | lxdbr0`}},
		{"not ASCII", "[network.\"brü\"]\n" + zone, []string{`1:10 the name of network "brü" holds the character 'ü' | lxdbr0`}},
	}
}

func subnets() []refusal {
	return []refusal{
		subnet("number too large", `"10.64.177.300/24"`, `2:8 "10.64.177.300/24" is no IPv4 address with a prefix length | "10.64.177.1/24", or "auto"`),
		subnet("nothing", `""`, `2:8 "" is no IPv4 address with a prefix length | "auto"`),
		subnet("word", `"none"`, `2:8 "none" is no IPv4 address with a prefix length | "auto"`),
		subnet("no prefix length", `"10.0.0.1"`, `2:8 "10.0.0.1" lacks the prefix length | "10.0.0.1/24"`),
		subnet("prefix length too large", `"10.0.0.1/33"`, `2:8 "33" is no prefix length | 10.64.177.1/24`),
		subnet("netmask", `"10.0.0.1/255.255.252.0"`, `2:8 "10.0.0.1/255.255.252.0" has a netmask in place of the prefix length | "10.0.0.1/22"`),
		subnet("netmask after a blank", `"10.0.0.1 255.255.255.0"`, `2:8 "10.0.0.1 255.255.255.0" has a netmask in place of the prefix length | "10.0.0.1/24"`),
		subnet("netmask with a hole", `"10.0.0.1/255.0.255.0"`, `2:8 "255.0.255.0" is no prefix length | 10.64.177.1/24`),
		subnet("IPv6", `"fd00::1/64"`, `2:8 "fd00::1/64" is no IPv4 address | ipv6`),
		subnet("IPv6 without prefix length", `"fd00::1"`, `2:8 "fd00::1" is no IPv4 address | ipv6`),
		subnet("IPv4 in IPv6", `"::ffff:10.0.0.1/120"`, `2:8 "::ffff:10.0.0.1/120" is no IPv4 address | ipv6`),
		subnet("the subnet", `"10.64.177.0/24"`, `2:8 10.64.177.0/24 is the subnet itself, and no address that the bridge could have | "10.64.177.1/24"`),
		subnet("broadcast", `"10.64.177.255/24"`, `2:8 10.64.177.255 is the broadcast address of 10.64.177.0/24 | "10.64.177.1/24"`),
		subnet("/31", `"10.0.0.2/31"`, `2:8 10.0.0.2/31 has no room for guests beside the bridge: the longest prefix is /30 | /30`),
		subnet("/32", `"10.0.0.1/32"`, `2:8 10.0.0.1/32 has no room for guests beside the bridge: the longest prefix is /30 | /30`),
		subnet("/7", `"10.0.0.1/7"`, `2:8 10.0.0.0/7 takes too much of the Internet: the shortest prefix is /8 | "10.0.0.1/24"`),
		subnet("loopback", `"127.0.0.1/8"`, `2:8 127.0.0.1/8 lies in 127.0.0.0/8, which never leaves a host (RFC 1122) | RFC 1918`),
		subnet("this network", `"0.0.0.1/8"`, `2:8 0.0.0.1/8 lies in 0.0.0.0/8, which means "this network" (RFC 1122) | RFC 1918`),
		subnet("link-local", `"169.254.1.1/24"`, `2:8 169.254.1.1/24 lies in 169.254.0.0/16, from which hosts without DHCP take their own addresses (RFC 3927) | RFC 1918`),
		subnet("around link-local", `"169.0.0.1/8"`, `2:8 169.0.0.1/8 lies in 169.254.0.0/16, from which hosts without DHCP take their own addresses (RFC 3927) | RFC 1918`),
		subnet("multicast", `"224.0.0.1/24"`, `2:8 224.0.0.1/24 lies in 224.0.0.0/4, which is for multicast (RFC 5771) | RFC 1918`),
		subnet("reserved", `"250.0.0.1/24"`, `2:8 250.0.0.1/24 lies in 240.0.0.0/4, which hosts refuse (RFC 1112) | RFC 1918`),
		subnet("list", `["10.0.0.1/24"]`, `2:8 ipv4 is a string, not a list | ipv4 = "10.64.177.1/24"`),
		subnet("auto without anybody to ask", `"auto"`, `2:8 a free subnet can not be looked for here | 10.64.177.1/24`),
		{"two networks overlap", minimal + "[network.br1]\nipv4 = \"10.64.0.1/16\"\n", []string{
			`4:8 10.64.0.0/16 of network br1 overlaps 10.64.177.0/24 of network br0 at berth.toml:2:8 | another subnet`}},
		{"three networks overlap", minimal + "[network.br1]\nipv4 = \"10.64.177.1/24\"\n[network.br2]\nipv4 = \"10.64.177.9/28\"\n", []string{
			`4:8 10.64.177.0/24 of network br1 overlaps`, `6:8 10.64.177.0/28 of network br2 overlaps 10.64.177.0/24 of network br0`}},
	}
}

func settings() []refusal {
	return []refusal{
		line("range outside", `dhcp-range = "10.64.178.2-10.64.178.9"`,
			`3:14 10.64.178.2 is outside 10.64.177.0/24 of network br0 | "10.64.177.2-10.64.177.254"`, `3:14 10.64.178.9 is outside`),
		line("range ends outside", `dhcp-range = "10.64.177.2-10.64.178.9"`, `3:14 10.64.178.9 is outside 10.64.177.0/24 of network br0`),
		line("range backwards", `dhcp-range = "10.64.177.9-10.64.177.2"`, `3:14 the range ends at 10.64.177.2, before it begins at 10.64.177.9 | "10.64.177.2-10.64.177.9"`),
		line("range with the network address", `dhcp-range = "10.64.177.0-10.64.177.9"`, `3:14 10.64.177.0 is the network address of 10.64.177.0/24 | "none"`),
		line("range with the broadcast address", `dhcp-range = "10.64.177.2-10.64.177.255"`, `3:14 10.64.177.255 is the broadcast address of 10.64.177.0/24 | "10.64.177.2-10.64.177.254"`),
		line("range of the gateway", `dhcp-range = "10.64.177.1"`, `3:14 the range holds nothing but the bridge's own address 10.64.177.1 | "none"`),
		line("range in dnsmasq's way", `dhcp-range = "10.64.177.2,10.64.177.9"`, `3:14 "10.64.177.2,10.64.177.9" is no range | a hyphen`),
		line("short range", `dhcp-range = "10.64.177.2-9"`, `3:14 "9" in "10.64.177.2-9" is no IPv4 address | "10.64.177.2-10.64.177.254"`),
		line("range of words", `dhcp-range = "all"`, `3:14 "all" in "all" is no IPv4 address | "none"`),
		line("empty range", `dhcp-range = ""`, `3:14 "" in "" is no IPv4 address | "none"`),
		line("range of IPv6", `dhcp-range = "fd00::2-fd00::9"`, `3:14 "fd00::2" in`, `3:14 "fd00::9" in`),
		line("range is a list", `dhcp-range = ["10.64.177.2", "10.64.177.9"]`, `3:14 dhcp-range is a string, not a list | dhcp-range = "10.64.177.2-10.64.177.254"`),
		{"range beside a bad subnet", "[network.br0]\ndhcp-range = \"10.0.0.9-10.0.0.2\"\nipv4 = \"x\"\n", []string{`2:14 the range ends at 10.0.0.2, before`, `3:8 "x" is no`}},
		line("lease of a bare number", `lease-time = "3600"`, `3:14 "3600" is no time: a number and its unit are wanted, one of w, d, h, m and s | "3600s"`),
		line("lease is a number", `lease-time = 3600`, `3:14 lease-time is a string, not an integer | lease-time = "1h"`),
		line("lease of one second", `lease-time = "1s"`, `3:14 lease-time 1s is shorter than 2s | "1h"`),
		line("lease of nothing", `lease-time = "0"`, `3:14 lease-time 0 is shorter than 2s | "1h"`),
		line("negative lease", `lease-time = "-1h"`, `3:14 "-1h" is no time: a number | "infinite"`),
		line("lease below a second", `lease-time = "2500ms"`, `3:14 "2500ms" is no time: only whole seconds count | "1h"`),
		line("unit unknown", `lease-time = "1y"`, `3:14 "1y" is no time: "1y" is not a number with one of the units w, d, h, m and s | "1h"`),
		line("half a day", `lease-time = "0.5d"`, `3:14 "0.5d" is no time: "0.5" is no whole number of days or weeks | "12h"`),
		line("empty lease", `lease-time = ""`, `3:14 "" is no time: it is empty | "1h"`),
		line("lease too long for DHCP", `lease-time = "49711d"`, `3:14 lease-time 49711d is longer than DHCP can say | "infinite"`),
		line("lease too long for anybody", `lease-time = "99999999999w"`, `3:14 "99999999999w" is no time: it is too long | "infinite"`),
		line("lease too long in sum", `lease-time = "15000w15000w"`, `3:14 "15000w15000w" is no time: it is too long | "infinite"`),
		line("drain too long", `drain = "25h"`, `3:9 drain 25h keeps old addresses for too long | "1d"`),
		line("drain of a word", `drain = "never"`, `3:9 "never" is no time: a number | "0s"`),
		line("nat is a word", `nat = "yes"`, `3:7 nat is true or false, not a string | nat = true`),
		line("trust-hostname is a number", `trust-hostname = 1`, `3:18 trust-hostname is true or false, not an integer | trust-hostname = false`),
		line("authoritative is a table", `authoritative = {}`, `3:17 authoritative is true or false, not a table | authoritative = true`),
		line("domain is a date", `domain = 2026-01-02`, `3:10 domain is a string, not a date | domain = "lxd"`),
		line("local, RFC 6762", `domain = "local"`, `3:10 "local" can not be the domain: hosts ask for what is below local by multicast only (RFC 6762) | "lxd"`),
		line("below local", `domain = "lxd.LOCAL"`, `3:10 "lxd.LOCAL" can not be the domain: hosts ask for what is below local`),
		line("localhost", `domain = "localhost"`, `3:10 "localhost" can not be the domain: localhost is every host itself`),
		line("invalid", `domain = "invalid"`, `3:10 "invalid" can not be the domain: invalid exists nowhere`),
		line("onion", `domain = "a.onion"`, `3:10 "a.onion" can not be the domain: onion belongs to Tor`),
		line("alt", `domain = "alt"`, `3:10 "alt" can not be the domain: alt is for names outside of DNS`),
		line("reverse zone", `domain = "10.in-addr.arpa"`, `3:10 "10.in-addr.arpa" can not be the domain: arpa holds the names of addresses | home.arpa`),
		line("dot at the end", `domain = "lxd."`, `3:10 "lxd." has a dot at an end | write "lxd"`),
		line("dot at the front", `domain = ".lxd"`, `3:10 ".lxd" has a dot at an end | write "lxd"`),
		line("dot alone", `domain = "."`, `3:10 "." is no domain name | "lxd"`),
		line("two dots", `domain = "a..b"`, `3:10 "a..b" is no domain name | "lxd"`),
		line("hyphen at an end", `domain = "a-.b"`, `3:10 "a-.b" is no domain name | "lxd"`),
		line("blank in the domain", `domain = "my lan"`, `3:10 "my lan" is no domain name | "lxd"`),
		line("colon in the domain", `domain = "a:b"`, `3:10 "a:b" is no domain name | "lxd"`),
		line("not in ASCII", `domain = "bücher"`, `3:10 "bücher" is no domain name in ASCII | xn--`),
		line("long label", `domain = "`+strings.Repeat("x", 64)+`"`, `3:10 "xxx`),
		line("long domain", `domain = "`+strings.Repeat("abc.", 47)+`ab"`, `3:10 the domain has 190 bytes, and a guest's name has to fit before it: at most 189 | shorten`),
		line("number", `domain = "lan.10"`, `3:10 "lan.10" ends like an address`),
		line("upstream is a string", `upstream = "192.0.2.53"`, `3:12 upstream is a list, not a string | upstream = ["192.0.2.53"]`),
		line("each bad resolver", `upstream = ["dns.example.net", 53, "192.0.2.1:0", "0.0.0.0", "ff02::1", "fe80::1", "192.0.2.53:dns", "192.0.2.53", "", "[192.0.2.53]"]`,
			`3:13 "dns.example.net" is no resolver's address | [2001:db8::53]:5353`, `3:32 a resolver's address is wanted here, not an integer`,
			`3:36 192.0.2.1:0 has no port | :53`, `3:51 0.0.0.0 is the address of no single host`, `3:62 ff02::1 is the address of no single host`,
			`3:73 fe80::1 does not say on which link | fe80::1%eth0`, `3:84 "192.0.2.53:dns" is no`, `3:116 "" is no`, `3:120 "[192.0.2.53]" is no`),
		line("resolver twice", `upstream = ["192.0.2.1", "192.0.2.1:53"]`, `3:26 192.0.2.1:53 is named already, at berth.toml:3:13 | delete`),
		line("a loop", `upstream = ["192.0.2.1", "10.64.177.1"]`, `3:26 10.64.177.1 is where the DNS of network br0 itself answers | round`),
		{"a loop over another network", "[network.br1]\nipv4 = \"10.1.0.1/24\"\nupstream = [\"10.64.177.1:53\"]\n" + minimal, []string{
			`3:13 10.64.177.1:53 is where the DNS of network br0 itself answers | round`}},
		line("too many resolvers", `upstream = [`+strings.Repeat(`"192.0.2.1",`, 17)+`]`, `3:12 upstream names 17 resolvers, at most 16 are asked`),
		line("ipv6 without prefix length", `ipv6 = "fd00::1"`, `3:8 "fd00::1" is no IPv6 address with a prefix length | "auto"`),
		line("ipv6 is IPv4", `ipv6 = "10.0.0.1/24"`, `3:8 "10.0.0.1/24" is no IPv6 address | ipv4`),
		line("ipv6 is link-local", `ipv6 = "fe80::1/64"`, `3:8 fe80::1 is no address from which a subnet could be served | fd94`),
		line("ipv6 without room", `ipv6 = "fd00::1/127"`, `3:8 fd00::/127 has no room for guests`),
		line("ipv6 is the subnet", `ipv6 = "fd00::/64"`, `3:8 fd00::/64 is the subnet itself, and no address that the bridge could have | "fd00::1/64"`),
		line("ipv6-mode", `ipv6-mode = "stateful"`, `3:13 "stateful" is no ipv6-mode | "slaac+dhcp"`),
		line("nat6 is a word", `nat6 = "on"`, `3:8 nat6 is true or false, not a string | nat6 = true`),
		line("proxy is a word", `proxy = "on"`, `3:9 proxy is true or false, not a string | proxy = false`),
	}
}

func options() []refusal {
	const table = "[network.br0.dhcp-options]\n"
	many := table
	for code := 224; code < 232; code++ {
		many += fmt.Sprintf("%d = \"hex:%s\"\n", code, strings.Repeat("00", 130))
	}
	return []refusal{
		line("options are a list", `dhcp-options = ["mtu"]`, `3:16 dhcp-options is a table, not a list | dhcp-options = {`),
		line("unknown option", table+`nonsense = 5`, `4:1 option "nonsense" is not known | 224 =`),
		line("misspelled option", table+`ntp-sevrers = ["10.0.0.1"]`, `4:1 option "ntp-sevrers" is not known | did you mean ntp-servers?`),
		line("dnsmasq's prefix", table+`"option:mtu" = 5`, `4:1 "option:mtu" is no option | write mtu`),
		line("number of no option", table+`256 = "hex:00"`, `4:1 256 is the number of no option | 254`),
		line("own option by name", table+`dhcp-lease-time = 5`, `4:1 option dhcp-lease-time can not be set: it follows from lease-time | lease-time = "1h"`),
		line("own option by number", table+`1 = "255.0.0.0"`, `4:1 option 1 can not be set: it follows from ipv4 | prefix length`),
		line("own option in other case", table+`t1 = 5`, `4:1 option t1 can not be set: it is half of lease-time`),
		line("each bad value", table+"mtu = 5\nntp-servers = [\"x\", \"y\"]", `4:7 5 is out of range`, `5:16 "x" is no IPv4 address`, `5:21 "y" is no IPv4 address`),
		line("one option under two names", table+"mtu = 1400\n26 = 1400", `5:1 26 is option 26, which mtu at berth.toml:4:1 sets already | delete`),
		line("too much in all", many, `3:14 the options of network br0 take 1056 bytes, of which at most 1024 fit into a message | shorten`),
	}
}

func TestEveryProblemHasItsPlaceAndHint(t *testing.T) {
	for _, tt := range refusals() {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("berth.toml", []byte(tt.text), config.Env{})
			problems := problemsOf(t, err)
			for i, p := range problems {
				got := fmt.Sprintf("%d:%d %s", p.Source.Line, p.Source.Col, p.Text)
				if i >= len(tt.want) {
					t.Errorf("also got %q", got)
					continue
				}
				text, hint, _ := strings.Cut(tt.want[i], " | ")
				if !strings.HasPrefix(got, text) || strings.Contains(tt.want[i], " | ") && !strings.Contains(p.Hint, hint) {
					t.Errorf("got  %q, hint %q\nwant %q", got, p.Hint, tt.want[i])
				}
				if p.Hint == "" || p.Code != ipam.CodeConfig || p.Source.File != "berth.toml" {
					t.Errorf("incomplete problem %+v", p)
				}
			}
			if len(problems) < len(tt.want) {
				t.Errorf("missing: %q", tt.want[len(problems):])
			}
		})
	}
}

// TestHintsAreRight types what each hint says to write for a value.
func TestHintsAreRight(t *testing.T) {
	tried := 0
	for _, tt := range append(subnets(), settings()...) {
		_, err := config.Parse("berth.toml", []byte(tt.text), config.Env{})
		problems := problemsOf(t, err)
		if len(problems) != 1 {
			continue
		}
		p := problems[0]
		typed, ok := strings.CutPrefix(p.Hint, "write ")
		if !ok {
			continue
		}
		if typed[0] == '"' {
			typed = typed[:strings.IndexByte(typed[1:], '"')+2]
		} else if _, value, ok := strings.Cut(typed, " = "); ok {
			typed = value
		} else {
			continue
		}
		tried++
		lines := strings.Split(tt.text, "\n")
		lines[p.Source.Line-1] = lines[p.Source.Line-1][:p.Source.Col-1] + typed
		if _, err := config.Parse("berth.toml", []byte(strings.Join(lines, "\n")), config.Env{}); err != nil {
			t.Errorf("%s: the hint %q leads to %v", tt.name, p.Hint, err)
		}
	}
	if tried < 40 {
		t.Errorf("only %d hints say what to write", tried)
	}
}
