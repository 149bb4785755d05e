package bridgevars_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/config/bridgevars"
	"berth/internal/ipam"
)

func network() *ipam.Network {
	return &ipam.Network{
		Name: "lxdbr0", Gateway: netip.MustParseAddr("10.16.29.1"), Subnet: netip.MustParsePrefix("10.16.29.0/24"), Domain: "lxd",
		Range: ipam.Range{From: netip.MustParseAddr("10.16.29.2"), To: netip.MustParseAddr("10.16.29.254")},
	}
}

func load(t *testing.T, text string) (*bridgevars.Dnsmasq, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dnsmasq.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := bridgevars.LoadDnsmasq(network(), path)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestWhatDnsmasqSaysIsHonoured(t *testing.T) {
	d, path := load(t, `# of the old days
dhcp-host=cent01,10.16.29.101
dhcp-host=00:16:3e:01:02:03,cent02,10.16.29.102,infinite
no-resolv
server=192.0.2.53
server=192.0.2.54#5353
dhcp-option=option:ntp-server,0.0.0.0
dhcp-range=10.16.29.0,static
dhcp-range=10.16.29.50,10.16.29.60
domain=Cloud
bind-interfaces
`)
	if len(d.Warnings) > 0 {
		t.Errorf("%v", d.Warnings)
	}
	if len(d.Pins) != 2 || d.Pins[0].Holder != ipam.ByName("cent01") || d.Pins[0].Source.File != path || d.Pins[0].Source.Line != 2 || d.Pins[1].LeaseTime != ipam.NeverExpires {
		t.Errorf("pins %+v", d.Pins)
	}
	if want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("192.0.2.54:5353")}; !slices.Equal(d.Upstream, want) {
		t.Errorf("upstream %v, want %v", d.Upstream, want)
	}
	if len(d.Options) != 1 || d.Options[0].Code != 42 || string(d.Options[0].Data) != "\x0a\x10\x1d\x01" {
		t.Errorf("options %v", d.Options)
	}
	if d.Domain != "cloud" || !slices.Equal(d.Files, []string{path}) {
		t.Errorf("domain %q, files %q", d.Domain, d.Files)
	}
}

func TestWhatIsNotHonouredIsListed(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"bad line", "dhcp-host=cent01,10.16.29.300", ":1:"},
		{"unknown directive", "dhcp-hots=cent01,10.16.29.101", ":1:1: "},
		{"tagged host", "dhcp-host=tag:blue,cent01,10.16.29.101", ":1:"},
		{"server for a domain", "\nno-resolv\nserver=/corp/192.0.2.53", `:3:14: server 192.0.2.53:53 is not honoured for ["corp"] alone`},
		{"own server", "no-resolv\nserver=10.16.29.1", ":2:8: 10.16.29.1:53 is where the DNS of network lxdbr0 itself answers"},
		{"servers beside resolv.conf", "server=192.0.2.53", ": those of /etc/resolv.conf are not asked beside the 1"},
		{"resolv-file", "resolv-file=/run/resolv.conf", ": resolv-file=/run/resolv.conf is not honoured"},
		{"other range", "dhcp-range=192.168.7.2,192.168.7.9,255.255.255.0", ":1:12: the range of 192.168.7.2 lies outside 10.16.29.0/24 of network lxdbr0"},
		{"wider range", "dhcp-range=10.16.29.1,10.16.29.9", ":1:12: 10.16.29.1-10.16.29.9 is not given out: the range of network lxdbr0 is 10.16.29.2-10.16.29.254"},
		{"range of IPv6", "dhcp-range=fd00::2,fd00::9", ":1:12: a range of IPv6"},
		{"host of IPv6", "dhcp-host=cent01,[fd00::5]", ":1:19: fd00::5 is not given to cent01"},
		{"host-record", "host-record=gw.lxd,10.16.29.1", `:1:13: host-record for "gw.lxd" is not served yet`},
		{"cname", "cname=www.lxd,cent01.lxd", `:1:7: cname for "www.lxd" is not served yet`},
		{"address", "address=/ads.example/0.0.0.0", `:1:9: address for "ads.example" is not served yet`},
		{"ptr-record", "ptr-record=9.29.16.10.in-addr.arpa,nine", ":1:12: ptr-record for"},
		{"addn-hosts", "addn-hosts=/etc/hosts.lxd", ": the names of /etc/hosts.lxd are not served yet"},
		{"local domain", "local=/corp/", ": corp is not kept local"},
		{"other interface", "interface=eth7", ": interface=eth7 is not honoured"},
		{"log-queries", "log-queries", ": log-queries is not honoured"},
		{"domain of multicast", "domain=local", `: domain: "local" can not be the domain`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, path := load(t, tt.text+"\n")
			if len(d.Warnings) != 1 || !strings.HasPrefix(d.Warnings[0].Error(), path+tt.want) || d.Warnings[0].Hint == "" {
				t.Errorf("%v\nwant one: %s%s", d.Warnings, path, tt.want)
			}
		})
	}
}

func TestNoConfigurationOfDnsmasq(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	d, err := bridgevars.LoadDnsmasq(network(), path)
	if !errors.Is(err, fs.ErrNotExist) || !slices.Contains(d.Files, path) {
		t.Errorf("%v, %+v", err, d)
	}
}
