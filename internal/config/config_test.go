package config_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"berth/internal/config"
	"berth/internal/ipam"
)

// values compares addresses as what they are.
var values = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// mustParse checks a text that is good.
func mustParse(t testing.TB, text string) *config.File {
	t.Helper()
	f, err := config.Parse("berth.toml", []byte(text), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// one is the only network of a text.
func one(t testing.TB, text string) *ipam.Network {
	t.Helper()
	f := mustParse(t, text)
	if len(f.Networks) != 1 {
		t.Fatalf("%d networks", len(f.Networks))
	}
	return f.Networks[0]
}

// problemsOf is what Parse found.
func problemsOf(t testing.TB, err error) ipam.Problems {
	t.Helper()
	var problems ipam.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want problems", err)
	}
	return problems
}

const minimal = "[network.br0]\nipv4 = \"10.64.177.1/24\"\n"

func TestDefaults(t *testing.T) {
	want := &ipam.Network{
		Name: "br0", Gateway: addr("10.64.177.1"), Subnet: netip.MustParsePrefix("10.64.177.0/24"),
		Range:     ipam.Range{From: addr("10.64.177.2"), To: addr("10.64.177.254")},
		LeaseTime: time.Hour, Drain: 30 * time.Second, NAT: true, Authoritative: true,
	}
	got := one(t, minimal)
	if diff := cmp.Diff(want, got, values); diff != "" {
		t.Error(diff)
	}
	if got.Upstream != nil {
		t.Error("no upstream means the host's own resolvers, not none")
	}
}

// TestEveryKey takes a file in which every key says something.
func TestEveryKey(t *testing.T) {
	f := mustParse(t, `# /etc/berth/berth.toml
[network.lxdbr0]                              # the bridge
ipv4           = "10.64.177.1/24"
dhcp-range     = "10.64.177.2-10.64.177.254"
lease-time     = "1h"
nat            = true
ipv6           = "fd94:d372:e27f:2987::1/64"
ipv6-mode      = "slaac+dhcp"
nat6           = true
domain         = "lxd"
upstream       = ["192.0.2.53"]
drain          = "30s"
trust-hostname = false
proxy          = false
authoritative  = true
[network.lxdbr0.dhcp-options]
ntp-servers    = ["10.64.177.1"]
[network."br1.7"]
authoritative = false
dhcp-options = { 224 = "hex:01", domain-search = ["b.lan"], routers = [] }
domain = "C.Example.NET"
drain = "1m30s"
dhcp-range = "10.9.0.1-10.9.0.9"
ipv4 = "10.9.0.5/28"
lease-time = "infinite"
nat = false
trust-hostname = true
upstream = ["192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:54", "::ffff:192.0.2.54"]
`)
	want := ipam.Networks{{
		Name: "lxdbr0", Gateway: addr("10.64.177.1"), Subnet: netip.MustParsePrefix("10.64.177.0/24"),
		Range:     ipam.Range{From: addr("10.64.177.2"), To: addr("10.64.177.254")},
		LeaseTime: time.Hour, Drain: 30 * time.Second, NAT: true, Domain: "lxd", Authoritative: true,
		Upstream: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		Options:  []ipam.Option{{Code: 42, Data: []byte{10, 64, 177, 1}}},
	}, {
		Name: "br1.7", Gateway: addr("10.9.0.5"), Subnet: netip.MustParsePrefix("10.9.0.0/28"),
		Range:     ipam.Range{From: addr("10.9.0.1"), To: addr("10.9.0.9")},
		LeaseTime: ipam.NeverExpires, Drain: 90 * time.Second, Domain: "c.example.net", TrustHostname: true,
		Upstream: []netip.AddrPort{
			netip.MustParseAddrPort("192.0.2.53:5353"), netip.MustParseAddrPort("[2001:db8::53]:53"),
			netip.MustParseAddrPort("[2001:db8::53]:54"), netip.MustParseAddrPort("192.0.2.54:53"),
		},
		Options: []ipam.Option{{Code: 3}, {Code: 119, Data: []byte("\x01b\x03lan\x00")}, {Code: 224, Data: []byte{1}}},
	}}
	if diff := cmp.Diff(want, f.Networks, values); diff != "" {
		t.Error(diff)
	}
	const warning = "berth.toml:7:1: ipv6, ipv6-mode, nat6 are not served yet by this version: guests of network lxdbr0 get IPv4 only"
	if len(f.Warnings) != 1 || f.Warnings[0].Error() != warning || f.Warnings[0].Hint == "" {
		t.Errorf("warnings: %v", f.Warnings)
	}
}

func TestWaysToWriteANetwork(t *testing.T) {
	want := one(t, minimal+"nat = false\ndhcp-options = { mtu = 1400 }\n")
	for name, text := range map[string]string{
		"dotted keys":        "network.br0.ipv4 = \"10.64.177.1/24\"\nnetwork.br0.nat = false\nnetwork.br0.dhcp-options.mtu = 1400",
		"inline tables":      `network = { br0 = { ipv4 = "10.64.177.1/24", nat = false, dhcp-options = { interface-mtu = 1400 } } }`,
		"table of options":   "[network.br0.dhcp-options]\n26 = 1400\n[network.br0]\nnat = false\nipv4 = '10.64.177.1/24'\n",
		"carriage returns":   "[network.br0]\r\nipv4 = \"10.64.177.1/24\"\r\nnat = false\r\n[network.br0.dhcp-options]\r\nmtu = 1_400\r\n",
		"quoted keys":        "[\"network\".'br0']\n\"ipv4\" = \"10.64.177.1/24\"\nnat = false\ndhcp-options.\"mtu\" = 0x578",
		"bytes of an option": minimal + "nat = false\ndhcp-options = { 26 = \"hex:0578\" }\n",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, one(t, text), values); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name, lines string
		get         func(*ipam.Network) any
		want        any
	}{
		{"gateway first", `ipv4 = "10.0.0.1/30"`, func(n *ipam.Network) any { return n.Range.String() }, "10.0.0.2-10.0.0.2"},
		{"gateway last", `ipv4 = "10.0.0.254/24"`, func(n *ipam.Network) any { return n.Range.String() }, "10.0.0.1-10.0.0.253"},
		{"gateway in the middle", `ipv4 = "10.0.0.100/24"`, func(n *ipam.Network) any { return n.Range.String() }, "10.0.0.1-10.0.0.254"},
		{"largest subnet", `ipv4 = "10.0.0.1/8"`, func(n *ipam.Network) any { return n.Range.String() }, "10.0.0.2-10.255.255.254"},
		{"no range", "ipv4 = \"10.0.0.1/24\"\ndhcp-range = \"none\"", func(n *ipam.Network) any { return n.Range.IsZero() }, true},
		{"range with blanks", "dhcp-range = \"10.0.0.5 - 10.0.0.7\"\nipv4 = \"10.0.0.1/24\"", func(n *ipam.Network) any { return n.Range.String() }, "10.0.0.5-10.0.0.7"},
		{"range of one", "ipv4 = \"10.0.0.1/24\"\ndhcp-range = \"10.0.0.5\"", func(n *ipam.Network) any { return n.Range.Size() }, 1},
		{"range with the gateway in it", "ipv4 = \"10.0.0.1/24\"\ndhcp-range = \"10.0.0.1-10.0.0.5\"", func(n *ipam.Network) any { return n.Range.Size() }, 5},
		{"no upstream at all", "ipv4 = \"10.0.0.1/24\"\nupstream = []", func(n *ipam.Network) any { return n.Upstream != nil && len(n.Upstream) == 0 }, true},
		{"resolver on the gateway's other port", "ipv4 = \"10.0.0.1/24\"\nupstream = [\"10.0.0.1:5353\"]", func(n *ipam.Network) any { return n.Upstream[0].Port() }, uint16(5353)},
		{"resolver on a link", "ipv4 = \"10.0.0.1/24\"\nupstream = [\"fe80::1%eth0\"]", func(n *ipam.Network) any { return n.Upstream[0].String() }, "[fe80::1%eth0]:53"},
		{"drain of none", "ipv4 = \"10.0.0.1/24\"\ndrain = \"0s\"", func(n *ipam.Network) any { return n.Drain }, time.Duration(0)},
		{"bare zero", "ipv4 = \"10.0.0.1/24\"\ndrain = \"0\"", func(n *ipam.Network) any { return n.Drain }, time.Duration(0)},
		{"longest drain", "ipv4 = \"10.0.0.1/24\"\ndrain = \"24h\"", func(n *ipam.Network) any { return n.Drain }, 24 * time.Hour},
		{"days", "ipv4 = \"10.0.0.1/24\"\nlease-time = \"1w2d3h4m5s\"", func(n *ipam.Network) any { return n.LeaseTime }, (7*24+2*24+3)*time.Hour + 4*time.Minute + 5*time.Second},
		{"fraction", "ipv4 = \"10.0.0.1/24\"\nlease-time = \"1.5h\"", func(n *ipam.Network) any { return n.LeaseTime }, 90 * time.Minute},
		{"whole seconds in ms", "ipv4 = \"10.0.0.1/24\"\nlease-time = \"10000ms\"", func(n *ipam.Network) any { return n.LeaseTime }, 10 * time.Second},
		{"shortest lease", "ipv4 = \"10.0.0.1/24\"\nlease-time = \"2s\"", func(n *ipam.Network) any { return n.LeaseTime }, 2 * time.Second},
		{"no domain", "ipv4 = \"10.0.0.1/24\"\ndomain = \"\"", func(n *ipam.Network) any { return n.Domain }, ""},
		{"home.arpa, RFC 8375", "ipv4 = \"10.0.0.1/24\"\ndomain = \"home.arpa\"", func(n *ipam.Network) any { return n.Domain }, "home.arpa"},
		{"test, RFC 6761 §6.2", "ipv4 = \"10.0.0.1/24\"\ndomain = \"test\"", func(n *ipam.Network) any { return n.Domain }, "test"},
		{"domain that only ends like local", "ipv4 = \"10.0.0.1/24\"\ndomain = \"nonlocal\"", func(n *ipam.Network) any { return n.Domain }, "nonlocal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.get(one(t, "[network.br0]\n"+tt.lines+"\n")); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAutomaticSubnet(t *testing.T) {
	const text = "[network.br0]\nipv4 = \"auto\"\n"
	refusal := &ipam.Problem{Code: ipam.CodeHost, Text: "every subnet collides", Hint: "ip route"}
	tests := []struct {
		name string
		auto func(string) (netip.Prefix, error)
		want string // gateway, or the problem
		code string
		hint string
	}{
		{"found", func(n string) (netip.Prefix, error) {
			if n != "br0" {
				return netip.Prefix{}, errors.New("asked for network " + n)
			}
			return netip.MustParsePrefix("10.7.0.1/24"), nil
		}, "10.7.0.1", "", ""},
		{"nobody to ask", nil, "berth.toml:2:8: a free subnet can not be looked for here", ipam.CodeConfig, "10.64.177.1/24"},
		{"none free", func(string) (netip.Prefix, error) { return netip.Prefix{}, refusal },
			"berth.toml:2:8: no subnet for network br0: every subnet collides", ipam.CodeHost, "ip route"},
		{"plain error", func(string) (netip.Prefix, error) { return netip.Prefix{}, errors.New("no netlink") },
			"berth.toml:2:8: no subnet for network br0: no netlink", ipam.CodeConfig, "10.64.177.1/24"},
		{"nonsense", func(string) (netip.Prefix, error) { return netip.Prefix{}, nil },
			"berth.toml:2:8: invalid Prefix is no IPv4 subnet", ipam.CodeConfig, "10.64.177.1/24"},
		{"the subnet itself", func(string) (netip.Prefix, error) { return netip.MustParsePrefix("10.7.0.0/24"), nil },
			"berth.toml:2:8: 10.7.0.0/24 is the subnet itself, and no address that the bridge could have", ipam.CodeConfig, "10.7.0.1/24"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := config.Parse("berth.toml", []byte(text), config.Env{Auto: tt.auto})
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				if n := f.Networks[0]; n.Gateway.String() != tt.want || n.Range.String() != "10.7.0.2-10.7.0.254" {
					t.Errorf("got %+v", n)
				}
				return
			}
			problems := problemsOf(t, err)
			if len(problems) != 1 {
				t.Fatalf("got %v", err)
			}
			if p := problems[0]; p.Error() != tt.want || p.Code != tt.code || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("got %q, %s, hint %q", p, p.Code, p.Hint)
			}
		})
	}
}

func TestNotServedYet(t *testing.T) {
	tests := []struct {
		name, lines string
		want        []string
	}{
		{"proxy off is what happens", "proxy = false", nil},
		{"proxy", "proxy = true", []string{"berth.toml:3:9: proxy is not served yet"}},
		{"ipv6", "ipv6 = \"auto\"", []string{"berth.toml:3:1: ipv6 is not served yet"}},
		{"mode", "ipv6-mode = \"dhcp\"", []string{"berth.toml:3:1: ipv6-mode is not served yet"}},
		{"no NAT is what happens", "nat6 = false", nil},
		{"both", "proxy = true\nnat6 = true\nipv6 = \"fd00::1/64\"", []string{"berth.toml:3:9: proxy", "berth.toml:4:1: nat6, ipv6 are not served yet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, minimal+tt.lines)
			if len(f.Warnings) != len(tt.want) {
				t.Fatalf("got %v", f.Warnings)
			}
			for i, p := range f.Warnings {
				if !strings.HasPrefix(p.Error(), tt.want[i]) || p.Hint == "" {
					t.Errorf("got %q, hint %q", p, p.Hint)
				}
			}
		})
	}
}

// FuzzParse holds what is accepted to the rules that all other rooms rely on.
func FuzzParse(f *testing.F) {
	f.Add(config.Reference())
	for _, tt := range refusals() {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("f", data, config.Env{Auto: func(string) (netip.Prefix, error) { return netip.MustParsePrefix("10.0.0.1/24"), nil }})
		if err != nil {
			var problems ipam.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("no problems but %v", err)
			}
			for _, p := range problems {
				if p.Text == "" || p.Hint == "" || p.Code == "" || p.Source.File != "f" {
					t.Errorf("incomplete problem %+v", p)
				}
			}
			return
		}
		var any map[string]any
		if err := toml.Unmarshal(data, &any); err != nil {
			t.Fatalf("go-toml refuses it: %v", err)
		}
		if len(file.Networks) == 0 {
			t.Error("no network")
		}
		for i, n := range file.Networks {
			if !n.Subnet.Contains(n.Gateway) || n.Refuse(n.Gateway).Code != ipam.CodeConflict || n.Subnet != n.Subnet.Masked() || !n.Gateway.Is4() {
				t.Errorf("gateway %s of %s", n.Gateway, n.Subnet)
			}
			for _, end := range []netip.Addr{n.Range.From, n.Range.To} {
				if !n.Range.IsZero() && (end != n.Gateway && n.Refuse(end) != nil || n.Range.Size() < 1) {
					t.Errorf("range %s of %s", n.Range, n.Subnet)
				}
			}
			if n.LeaseTime < time.Second || n.LeaseTime > ipam.NeverExpires || n.Drain < 0 || n.Drain > 24*time.Hour {
				t.Errorf("lease-time %s, drain %s", n.LeaseTime, n.Drain)
			}
			for _, other := range file.Networks[:i] {
				if other.Name == n.Name || other.Subnet.Overlaps(n.Subnet) {
					t.Errorf("%s and %s", other.Name, n.Name)
				}
			}
		}
		if changes := config.Diff(file.Networks, file.Networks); len(changes) > 0 {
			t.Errorf("differs from itself: %v", changes)
		}
	})
}

func TestLogFormat(t *testing.T) {
	for text, want := range map[string]config.LogFormat{
		"":                              config.LogText,
		"[log]\n":                       config.LogText,
		"[log]\nformat = \"text\"\n":    config.LogText,
		"[log]\nformat = \"dnsmasq\"\n": config.LogDnsmasq,
	} {
		if have := mustParse(t, minimal+text).Log; have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}
