package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// TestDnsmasqReadsTheSamePinsFile gives one file to a dnsmasq and to berth, and the same
// guests ask both: whoever goes back to dnsmasq keeps all addresses.
func TestDnsmasqReadsTheSamePinsFile(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "busybox", "ip")
	guests := []struct{ name, mac, want string }{
		{"plain", "02:00:00:00:00:01", "10.64.177.50"},
		{"spaced", "02:00:00:00:00:02", "10.64.177.51"},
		{"timed", "02:00:00:00:00:03", "10.64.177.52"},
		{"forever", "02:00:00:00:00:04", "10.64.177.53"},
		{"turned", "02:00:00:00:00:05", "10.64.177.54"},
		{"bymac", "02:00:00:00:00:06", "10.64.177.55"},
		{"both", "02:00:00:00:00:07", "10.64.177.56"},
		{"capitals", "02:00:00:00:00:08", "10.64.177.57"},
		{"outside", "02:00:00:00:00:09", "10.64.177.200"},
	}
	const file = `# fixed addresses
plain,10.64.177.50
  spaced , 10.64.177.51

timed,10.64.177.52,45m # a comment
forever,10.64.177.53,infinite
10.64.177.54,turned
02:00:00:00:00:06,10.64.177.55
02:00:00:00:00:07,both,10.64.177.56
CAPITALS,10.64.177.57
#plain,10.64.177.58
outside,10.64.177.200
`
	want := make(map[string]string)
	for _, g := range guests {
		want[g.name] = g.want + "/24"
	}
	// ask plugs the guests in and returns what each has once all have something.
	ask := func(t *testing.T) map[string]string {
		boxes := make(map[string]*box)
		for _, g := range guests {
			boxes[g.name] = addBox(t, g.name, g.mac, "-x", "hostname:"+g.name)
		}
		have := make(map[string]string)
		await(t, "all guests to have addresses", func() bool {
			for name, b := range boxes {
				if _, ok := have[name]; ok {
					continue
				}
				if addr := b.bound(t); addr != "" {
					have[name] = addr
				}
			}
			return len(have) == len(guests)
		})
		return have
	}
	t.Run("dnsmasq", func(t *testing.T) {
		pins := t.TempDir() + "/pins"
		write(t, pins, file)
		netnstest.Bridge(t, bridge, gateway+"/24")
		startDnsmasq(t, "--port=0", "--interface="+bridge, "--dhcp-authoritative", "--no-ping",
			"--dhcp-range=10.64.177.10,10.64.177.49,1h", "--dhcp-hostsfile="+pins)
		if have := ask(t); !maps.Equal(have, want) {
			t.Errorf("dnsmasq gives %v, want %v", have, want)
		}
	})
	t.Run("berth", func(t *testing.T) {
		s := serve(t, baseConfig, file)
		if have := ask(t); !maps.Equal(have, want) {
			t.Errorf("berth gives %v, want %v", have, want)
		}
		if out := s.must("status"); strings.Contains(out, s.pins+":") {
			t.Errorf("berth complains of the file:\n%s", out)
		}
		for _, g := range guests {
			s.awaitState(g.name, control.Settled)
		}
	})
	t.Run("what berth wrote", func(t *testing.T) {
		s := serve(t, baseConfig, file)
		s.must("pin", "plain", "10.64.177.60")
		s.must("pin", "newcomer", "10.64.177.61")
		s.must("unpin", "turned")
		data, err := os.ReadFile(s.pins)
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.must("down", "--state", s.dir+"/state")
		pins := t.TempDir() + "/pins"
		write(t, pins, string(data))
		netnstest.Bridge(t, bridge, gateway+"/24")
		startDnsmasq(t, "--port=0", "--interface="+bridge, "--dhcp-authoritative", "--no-ping",
			"--dhcp-range=10.64.177.10,10.64.177.49,1h", "--dhcp-hostsfile="+pins)
		for i, g := range []struct{ name, want string }{{"plain", "10.64.177.60/24"}, {"newcomer", "10.64.177.61/24"}} {
			b := addBox(t, g.name, fmt.Sprintf("02:00:00:00:01:%02x", i), "-x", "hostname:"+g.name)
			var have string
			await(t, g.name+" to have an address", func() bool { have = b.bound(t); return have != "" })
			if have != g.want {
				t.Errorf("dnsmasq gives %s to %s, want %s", have, g.name, g.want)
			}
		}
	})
}

// bound is the address the guest has, once its client's script is through with it: ifconfig sets an address
// first and its netmask afterwards.
func (b *box) bound(t testing.TB) string {
	t.Helper()
	if len(b.told()) == 0 {
		return ""
	}
	if list := b.addresses(t); len(list) == 1 {
		return list[0]
	}
	return ""
}
