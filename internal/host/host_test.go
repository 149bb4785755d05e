package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"berth/internal/host"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const machineID = "0123456789abcdef0123456789abcdef"

// network is one whose gateway is given with the subnet's length.
func network(bridge, gateway string) *ipam.Network {
	p := netip.MustParsePrefix(gateway)
	return &ipam.Network{Name: bridge, Subnet: p.Masked(), Gateway: p.Addr(), NAT: true}
}

// newHost is a Host with a footprint of its own, and leaves nothing behind.
func newHost(t *testing.T) (h *host.Host, footprint string) {
	t.Helper()
	footprint = filepath.Join(t.TempDir(), "footprint.json")
	t.Cleanup(func() {
		if _, err := host.Down(context.Background(), footprint, false); err != nil {
			t.Error("clean up:", err)
		}
	})
	return host.New(host.Options{Footprint: footprint, MachineID: machineID}), footprint
}

// apply must succeed; it returns the changes as a person reads them.
func apply(t *testing.T, h *host.Host, nets ...*ipam.Network) []string {
	t.Helper()
	changes, err := h.Apply(t.Context(), nets)
	if err != nil {
		t.Fatal("Apply:", err)
	}
	return texts(changes)
}

func texts(changes []host.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return lines
}

// addrs are the IPv4 addresses of an interface, in the kernel's order.
func addrs(t *testing.T, dev string) []string {
	t.Helper()
	var links []struct {
		AddrInfo []struct {
			Local     string
			Prefixlen int
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(netnstest.Run(t, "ip", "-j", "-4", "addr", "show", "dev", dev)), &links); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range links[0].AddrInfo {
		ip, err := netip.ParseAddr(a.Local)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, netip.PrefixFrom(ip, a.Prefixlen).String())
	}
	return all
}

// state is everything on this machine that berth could have changed.
func state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"-j", "link"}, {"-j", "-4", "addr"}, {"-j", "route", "show", "table", "all"}, {"-j", "neigh"}} {
		b.WriteString(strings.Join(args, " ") + "\n" + strings.ReplaceAll(netnstest.Run(t, "ip", args...), "},{", "},\n{"))
	}
	b.WriteString(netnstest.Run(t, "nft", "list", "ruleset"))
	err := filepath.WalkDir("/proc/sys/net/ipv4", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/conf/") && !strings.HasSuffix(path, "/ip_forward") {
			return err
		}
		value, err := os.ReadFile(path)
		b.WriteString(path + " " + string(value))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The kernel works out the operational state in the background, and gives a link
	// its queue when it first comes up, for good.
	return regexp.MustCompile(`"operstate":"[A-Z]+"|"qdisc":"no(op|queue)"`).ReplaceAllString(b.String(), "")
}

func setSysctl(t *testing.T, key, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func sysctl(t *testing.T, key string) string {
	t.Helper()
	value, err := os.ReadFile("/proc/sys/" + key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

func TestAnAbsentBridgeIsCreated(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	setSysctl(t, "net/ipv4/ip_forward", "0")
	h, _ := newHost(t)
	planned, err := h.Plan(t.Context(), ipam.Networks{network("br.7", "10.64.177.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	done := apply(t, h, network("br.7", "10.64.177.1/24"))
	if diff := cmp.Diff(texts(planned), done); diff != "" {
		t.Errorf("done is not what was planned:\n%s", diff)
	}
	if again := apply(t, h, network("br.7", "10.64.177.1/24")); again != nil {
		t.Errorf("a second Apply changes: %q", again)
	}
	var links []struct {
		Address  string
		Flags    []string
		Linkinfo struct {
			InfoData struct {
				ForwardDelay int `json:"forward_delay"`
				StpState     int `json:"stp_state"`
			} `json:"info_data"`
		}
	}
	if err := json.Unmarshal([]byte(netnstest.Run(t, "ip", "-d", "-j", "link", "show", "br.7")), &links); err != nil {
		t.Fatal(err)
	}
	link := links[0]
	if !slices.Contains(link.Flags, "UP") || link.Linkinfo.InfoData.ForwardDelay != 0 || link.Linkinfo.InfoData.StpState != 0 {
		t.Errorf("want it up, without delay and spanning tree: %+v", link)
	}
	mac, err := ipam.ParseMAC(link.Address)
	if err != nil || !mac.IsUnicast() || mac[0]&2 == 0 {
		t.Errorf("%s is no locally administered address: %v", link.Address, err)
	}
	if got := addrs(t, "br.7"); !slices.Equal(got, []string{"10.64.177.1/24"}) {
		t.Errorf("addresses %q", got)
	}
	for key, want := range map[string]string{
		"net/ipv4/ip_forward":                    "1",
		"net/ipv4/conf/br.7/forwarding":          "1",
		"net/ipv4/conf/br.7/promote_secondaries": "1",
		"net/ipv4/conf/br.7/route_localnet":      "0",
		"net/ipv6/conf/br.7/accept_ra":           "0",
	} {
		if got := sysctl(t, key); got != want {
			t.Errorf("%s = %s, want %s", key, got, want)
		}
	}

	netnstest.AddGuest(t, "br.7", "low", "00:00:00:00:00:01")
	netnstest.Run(t, "ip", "link", "set", "vlow", "address", "00:00:00:00:00:02")
	netnstest.Run(t, "ip", "link", "del", "br.7")
	apply(t, h, network("br.7", "10.64.177.1/24"))
	if got := netnstest.Run(t, "ip", "-j", "link", "show", "br.7"); !strings.Contains(got, link.Address) {
		t.Errorf("the bridge made anew has not the MAC %s:\n%s", link.Address, got)
	}
}

func TestAnExistingBridgeIsAdoptedWithAllItHas(t *testing.T) {
	netnstest.Require(t, "ip", "nft", "ping")
	netnstest.Bridge(t, "br0", "192.0.2.1/24")
	netnstest.Run(t, "ip", "addr", "add", "10.64.177.9/24", "dev", "br0") // a foreign one, in our subnet
	a := netnstest.AddGuest(t, "br0", "a", "")
	a.Run(t, "ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
	a.Run(t, "ping", "-c1", "-W2", "192.0.2.1")
	mac := bridgeMAC(t, "br0")

	h, _ := newHost(t)
	done := apply(t, h, network("br0", "10.64.177.1/24"))
	if !slices.Contains(done, "adopt bridge br0 as it is and fix its hardware address "+mac) {
		t.Errorf("not adopted: %q", done)
	}
	if again := apply(t, h, network("br0", "10.64.177.1/24")); again != nil {
		t.Errorf("a second Apply changes: %q", again)
	}
	if got, want := addrs(t, "br0"), []string{"192.0.2.1/24", "10.64.177.9/24", "10.64.177.1/24"}; !slices.Equal(got, want) {
		t.Errorf("addresses %q, want %q", got, want)
	}
	setSysctl(t, "net/ipv4/conf/br0/forwarding", "0")
	if done := apply(t, h, network("br0", "10.64.177.1/24")); !slices.Equal(done, []string{"set net.ipv4.conf.br0.forwarding = 1 (was 0)"}) {
		t.Errorf("forwarding switched off for the bridge alone: did %q", done)
	}
	netnstest.AddGuest(t, "br0", "low", "")
	netnstest.Run(t, "ip", "link", "set", "vlow", "address", "00:00:00:00:00:02")
	if got := bridgeMAC(t, "br0"); got != mac {
		t.Errorf("a new port changed the bridge's MAC from %s to %s", mac, got)
	}
	a.Run(t, "ping", "-c1", "-W2", "192.0.2.1")
}

func bridgeMAC(t *testing.T, name string) string {
	t.Helper()
	var links []struct{ Address string }
	if err := json.Unmarshal([]byte(netnstest.Run(t, "ip", "-j", "link", "show", name)), &links); err != nil {
		t.Fatal(err)
	}
	return links[0].Address
}

func TestAnotherGatewayReplacesOnlyOurOwn(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	netnstest.Bridge(t, "br0", "")
	h, _ := newHost(t)
	apply(t, h, network("br0", "10.64.177.1/24")) // the primary address of its subnet
	netnstest.Run(t, "ip", "addr", "add", "10.64.177.9/24", "dev", "br0")

	done := apply(t, h, network("br0", "10.64.177.254/24"))
	want := []string{"add 10.64.177.254/24 to br0", "remove 10.64.177.1/24 from br0"}
	if !slices.Equal(done, want) {
		t.Errorf("did %q, want %q", done, want)
	}
	got := addrs(t, "br0")
	slices.Sort(got)
	if !slices.Equal(got, []string{"10.64.177.254/24", "10.64.177.9/24"}) {
		t.Errorf("addresses %q: removing a primary address took others with it", got)
	}
	done = apply(t, h, network("br0", "10.9.0.1/16"))
	if !slices.Equal(done, []string{"add 10.9.0.1/16 to br0", "remove 10.64.177.254/24 from br0"}) {
		t.Errorf("renumbering did %q", done)
	}
	if got := addrs(t, "br0"); !slices.Equal(got, []string{"10.64.177.9/24", "10.9.0.1/16"}) {
		t.Errorf("addresses %q", got)
	}
}

func TestAGatewayThatWasThereIsNotOurs(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	netnstest.Bridge(t, "br0", "10.64.177.1/24")
	h, footprint := newHost(t)
	for _, line := range apply(t, h, network("br0", "10.64.177.1/24")) {
		if strings.HasPrefix(line, "add ") {
			t.Errorf("added again: %s", line)
		}
	}
	if _, err := host.Down(t.Context(), footprint, false); err != nil {
		t.Fatal(err)
	}
	if got := addrs(t, "br0"); !slices.Equal(got, []string{"10.64.177.1/24"}) {
		t.Errorf("addresses after Down: %q", got)
	}
}

func TestWhatIsInTheWayIsNamedAndNothingIsChanged(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	for _, c := range []struct {
		name  string
		setUp func(t *testing.T)
		text  string
		hint  string
	}{
		{"not a bridge", func(t *testing.T) {
			netnstest.Run(t, "ip", "link", "add", "br0", "type", "veth", "peer", "name", "other")
			t.Cleanup(func() { netnstest.Run(t, "ip", "link", "del", "br0") })
		}, "br0 exists and is a veth, not a bridge", "another name"},
		{"an address of the subnet elsewhere", func(t *testing.T) {
			netnstest.Bridge(t, "vpn", "10.64.177.77/32")
		}, "vpn has the address 10.64.177.77/32", "ip addr del 10.64.177.77/32 dev vpn"},
		{"a route to a part of the subnet elsewhere", func(t *testing.T) {
			netnstest.Bridge(t, "vpn", "192.0.2.1/24")
			netnstest.Run(t, "ip", "route", "add", "10.64.177.128/25", "via", "192.0.2.9")
		}, "the route to 10.64.177.128/25 goes through vpn", "ip route del 10.64.177.128/25 dev vpn"},
		{"one of several next hops", func(t *testing.T) {
			netnstest.Bridge(t, "vpn", "192.0.2.1/24")
			netnstest.Run(t, "ip", "route", "add", "10.64.177.0/24", "nexthop", "via", "192.0.2.9", "nexthop", "via", "192.0.2.8")
		}, "the route to 10.64.177.0/24 goes through vpn", "auto"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.setUp(t)
			h, footprint := newHost(t)
			before := state(t)
			_, err := h.Apply(t.Context(), ipam.Networks{network("good", "10.1.0.1/24"), network("br0", "10.64.177.1/24")})
			var problems ipam.Problems
			if !errors.As(err, &problems) || problems[0].Code != ipam.CodeHost || !strings.Contains(problems[0].Text, c.text) || !strings.Contains(problems[0].Hint, c.hint) {
				t.Errorf("got %v, want %q with the hint %q", err, c.text, c.hint)
			}
			if diff := cmp.Diff(before, state(t)); diff != "" {
				t.Errorf("half applied:\n%s", diff)
			}
			if _, err := os.Stat(footprint); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is a footprint of nothing: %v", err)
			}
		})
	}
}

func TestAWiderRouteIsNotInTheWay(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	netnstest.Bridge(t, "vpn", "192.0.2.1/24")
	netnstest.Run(t, "ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.9")
	netnstest.Run(t, "ip", "route", "add", "default", "via", "192.0.2.9")
	h, _ := newHost(t)
	apply(t, h, network("br0", "10.64.177.1/24"))
}

func TestAConflictThatComesLaterIsReportedButNothingIsRefused(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	h, _ := newHost(t)
	nets := ipam.Networks{network("br0", "10.64.177.1/24")}
	apply(t, h, nets...)
	netnstest.Bridge(t, "vpn", "10.64.177.77/24")
	if changes, err := h.Apply(t.Context(), nets); err != nil || changes != nil {
		t.Errorf("Apply: %v, %v", changes, err)
	}
	problems, err := h.Conflicts(t.Context(), nets)
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Text, "vpn") {
		t.Errorf("Conflicts: %v, %v", problems, err)
	}
}

func TestPortsAreListedInOrder(t *testing.T) {
	netnstest.Require(t, "ip")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "b", "")
	netnstest.AddGuest(t, "br0", "a", "")
	netnstest.Run(t, "ip", "link", "set", "va", "down")
	ports, err := host.Ports("br0")
	if err != nil || len(ports) != 2 || ports[0].Name != "vb" || !ports[0].Up || ports[1].Name != "va" || ports[1].Up || ports[0].MAC.IsZero() {
		t.Errorf("Ports: %+v, %v", ports, err)
	}
	if none, err := host.Ports("absent"); err != nil || none != nil {
		t.Errorf("Ports of an absent bridge: %v, %v", none, err)
	}
}

func TestWithoutPermissionTheProblemSaysSo(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	before := state(t)
	h, footprint := newHost(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread without capabilities dies
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			_, err = h.Apply(t.Context(), ipam.Networks{network("br0", "10.64.177.1/24")})
		}
		done <- err
	}()
	err := <-done
	var p *ipam.Problem
	if !errors.As(err, &p) || p.Code != ipam.CodeDenied || !strings.Contains(p.Hint, "sudo") {
		t.Errorf("got %v; want a %s problem with a hint", err, ipam.CodeDenied)
	}
	if diff := cmp.Diff(before, state(t)); diff != "" {
		t.Error(diff)
	}
	if again := down(t, footprint, true); again != nil {
		t.Errorf("the footprint remembers %q", again)
	}
}
