package resolved_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"berth/internal/dns/resolved"
)

func TestStateSaysHowToResolveTheNamesOtherwise(t *testing.T) {
	tests := []struct{ name, resolvConf, domain, want string }{
		{"no resolver on this host", "search example.org\nnameserver 192.0.2.53\n", "lxd",
			"systemd-resolved does not run; to resolve *.lxd here, put this line first in FILE: nameserver 10.64.177.1"},
		{"no resolv.conf", "", "lxd",
			"systemd-resolved does not run; to resolve *.lxd here, put this line first in FILE: nameserver 10.64.177.1"},
		{"berth is asked first", "# by hand\nnameserver 10.64.177.1\nnameserver 192.0.2.53\n", "lxd",
			"FILE asks 10.64.177.1 for *.lxd"},
		{"berth is asked second, which is never", "nameserver 192.0.2.53\nnameserver 10.64.177.1\n", "lxd",
			"systemd-resolved does not run; to resolve *.lxd here, put this line first in FILE: nameserver 10.64.177.1"},
		{"dnsmasq on the host", "nameserver 127.0.0.1\n", ".LXD.",
			"systemd-resolved does not run; have the resolver at 127.0.0.1 ask 10.64.177.1 for *.lxd; if it is dnsmasq: server=/lxd/10.64.177.1"},
		{"a network without domain", "nameserver junk\nnameserver\n", "",
			"systemd-resolved does not run; to resolve the addresses of 10.64.177.0/24 here, put this line first in FILE: nameserver 10.64.177.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, newTestBus(t)) // which is not started
			if err := os.WriteFile(o.ResolvConf, []byte(tt.resolvConf), 0o644); err != nil {
				t.Fatal(err)
			}
			if tt.resolvConf == "" {
				o.ResolvConf = filepath.Join(t.TempDir(), "absent")
			}
			r := run(t, o)
			l := lxdbr0(7)
			l.Domain = tt.domain
			r.Set([]resolved.Link{l})
			want := strings.ReplaceAll(tt.want, "FILE", o.ResolvConf)
			eventually(t, want, func() bool { return r.State("lxdbr0") == want })
		})
	}
}

func TestStateTellsWhetherProgramsAskResolved(t *testing.T) {
	const bypassed = good + ", but programs here do not ask systemd-resolved: ln -sf ../run/systemd/resolve/stub-resolv.conf "
	tests := []struct {
		name, resolvConf, nsswitch string
		asked                      bool
	}{
		{"by the stub", "nameserver 127.0.0.53\n", "", true},
		{"by the other stub", "nameserver 127.0.0.54\n", "hosts: files dns\n", true},
		{"by the module", "nameserver 192.0.2.53\n", "passwd: files\nhosts: files resolve [!UNAVAIL=return] dns # as shipped\n", true},
		{"not at all", "nameserver 192.0.2.53\n", "hosts: files dns # resolve\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newTestBus(t)
			b.start(t)
			startFake(t, b, 7)
			o := options(t, b)
			for path, text := range map[string]string{o.ResolvConf: tt.resolvConf, o.NSSwitch: tt.nsswitch} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := bypassed + o.ResolvConf
			if tt.asked {
				want = good
			}
			r := run(t, o)
			r.Set([]resolved.Link{lxdbr0(7)})
			eventually(t, want, func() bool { return r.State("lxdbr0") == want })
		})
	}
}

func TestStateOfARefusalSaysWhatToType(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	f.do(func(f *fake) {
		f.refuse["resolve1 SetLinkDomains"] = dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"Permission denied"})
	})
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "systemd-resolved does not ask 10.64.177.1 for *.lxd: Permission denied; berth tries again: "+
		"sudo resolvectl dns lxdbr0 10.64.177.1 && sudo resolvectl domain lxdbr0 '~lxd' '~177.64.10.in-addr.arpa'")
}

func TestReverseZonesCoverTheSubnetAndNothingElse(t *testing.T) {
	tests := []struct {
		subnet      string
		count       int
		first, last string
	}{
		{"10.64.177.0/24", 1, "177.64.10.in-addr.arpa", "177.64.10.in-addr.arpa"},
		{"10.64.0.0/16", 1, "64.10.in-addr.arpa", "64.10.in-addr.arpa"},
		{"10.64.176.0/20", 16, "176.64.10.in-addr.arpa", "191.64.10.in-addr.arpa"},
		{"10.128.0.0/9", 128, "128.10.in-addr.arpa", "255.10.in-addr.arpa"},
		{"192.168.1.64/26", 64, "64.1.168.192.in-addr.arpa", "127.1.168.192.in-addr.arpa"},
		{"192.168.1.7/32", 1, "7.1.168.192.in-addr.arpa", "7.1.168.192.in-addr.arpa"},
		{"0.0.0.0/0", 1, "in-addr.arpa", "in-addr.arpa"},
		{"fd94:d372:e27f:2987::/64", 1, "7.8.9.2.f.7.2.e.2.7.3.d.4.9.d.f.ip6.arpa", "7.8.9.2.f.7.2.e.2.7.3.d.4.9.d.f.ip6.arpa"},
		{"fd00::/7", 2, "c.f.ip6.arpa", "d.f.ip6.arpa"},
	}
	for _, tt := range tests {
		t.Run(tt.subnet, func(t *testing.T) {
			got := resolved.ReverseZones(netip.MustParsePrefix(tt.subnet))
			if len(got) != tt.count || got[0] != tt.first || got[len(got)-1] != tt.last {
				t.Errorf("%d zones, %s to %s; want %d, %s to %s", len(got), got[0], got[len(got)-1], tt.count, tt.first, tt.last)
			}
		})
	}
	if got := resolved.ReverseZones(netip.Prefix{}); got != nil {
		t.Errorf("zones of no subnet: %q", got)
	}
}
