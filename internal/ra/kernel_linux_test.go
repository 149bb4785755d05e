package ra

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// serve runs a server until the test ends.
func serve(t *testing.T, c Config) *Server {
	t.Helper()
	s := NewServer(c, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not after 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // polls, until a deadline that fails the test
	}
}

// configured is an address as ip(8) shows it.
type configured struct {
	Local      string `json:"local"`
	Dynamic    bool   `json:"dynamic"`
	Deprecated bool   `json:"deprecated"`
	Valid      int64  `json:"valid_life_time"`
	Preferred  int64  `json:"preferred_life_time"`
}

// addressIn gives the guest's address in a prefix.
func addressIn(t *testing.T, g *netnstest.Guest, p string) (configured, bool) {
	t.Helper()
	var links []struct {
		Addrs []configured `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(g.Run(t, "ip", "-6", "-j", "addr", "show", "dev", "eth0")), &links); err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		for _, a := range l.Addrs {
			if local, err := netip.ParseAddr(a.Local); err == nil && prefix(p).Contains(local) {
				return a, true
			}
		}
	}
	return configured{}, false
}

func routes(t *testing.T, g *netnstest.Guest) string {
	t.Helper()
	return g.Run(t, "ip", "-6", "route", "show")
}

func sourceOf(t *testing.T, s *Server) netip.Addr {
	t.Helper()
	eventually(t, "the server advertises", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.source.IsValid()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// TestAGuestFollows: the kernel of a guest believes what it is told, from its first address to the farewell.
func TestAGuestFollows(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter", "ping")
	netnstest.Bridge(t, "lxdbr0", "fd94:d372:e27f:2987::1/64")
	g := netnstest.AddGuest(t, "lxdbr0", "g1", "00:16:3e:00:00:01")
	s := serve(t, lab)

	const old, fresh = "fd94:d372:e27f:2987::/64", "fd00:5::/64"
	eventually(t, "the guest has an address", func() bool { _, ok := addressIn(t, g, old); return ok })
	a, _ := addressIn(t, g, old)
	if !a.Dynamic || a.Valid < 86000 || a.Valid > 86400 || a.Preferred < 42900 || a.Preferred > 43200 {
		t.Errorf("address %+v", a)
	}
	via := "default via " + sourceOf(t, s).String() + " dev eth0 proto ra"
	eventually(t, via, func() bool { return strings.Contains(routes(t, g), via) })
	eventually(t, "the gateway answers", func() bool {
		return g.Command("ping", "-6", "-c1", "-W1", "fd94:d372:e27f:2987::1").Run() == nil
	})

	c := lab
	c.Prefixes = []Prefix{{Prefix: prefix(fresh), OnLink: true, Autonomous: true}}
	s.SetConfig(c)
	eventually(t, "the guest has a new address, and the old one is deprecated for two hours", func() bool {
		now, ok := addressIn(t, g, fresh)
		before, stays := addressIn(t, g, old)
		return ok && !now.Deprecated && stays && before.Deprecated && before.Preferred == 0 && before.Valid <= 7200
	})
	if !strings.Contains(routes(t, g), via) {
		t.Errorf("the default route went:\n%s", routes(t, g))
	}

	c.Router = false
	s.SetConfig(c)
	eventually(t, "the guest has no default router", func() bool { return !strings.Contains(routes(t, g), "default") })
	c.Router = true
	s.SetConfig(c)
	eventually(t, "the guest has one again", func() bool { return strings.Contains(routes(t, g), via) })

	if err := s.Farewell(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guest has no default router after the farewell", func() bool { return !strings.Contains(routes(t, g), "default") })
	eventually(t, "its address is there and deprecated", func() bool {
		a, ok := addressIn(t, g, fresh)
		return ok && a.Deprecated && a.Preferred == 0
	})
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

func TestFarewellOfAnotherProcess(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "")
	g := netnstest.AddGuest(t, "lxdbr0", "g1", "")
	s := NewServer(lab, Options{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	eventually(t, "the guest has a default router", func() bool { return strings.Contains(routes(t, g), "default") })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(routes(t, g), "default") {
		t.Error("stopping took the route away")
	}
	if err := Farewell(t.Context(), lab); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guest has none", func() bool { return !strings.Contains(routes(t, g), "default") })
	if err := Farewell(t.Context(), Config{Bridge: "nosuchbr0"}); err != nil {
		t.Errorf("a bridge that is gone: %v", err)
	}
}

func TestABridgeMadeAnew(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "")
	g := netnstest.AddGuest(t, "lxdbr0", "g1", "")
	s := serve(t, lab)
	const p = "fd94:d372:e27f:2987::/64"
	eventually(t, "the guest has an address", func() bool { _, ok := addressIn(t, g, p); return ok })

	netnstest.Run(t, "ip", "link", "del", "lxdbr0")
	eventually(t, "it is noticed", func() bool { return strings.Contains(s.Problems().Error(), "there is no such bridge") })
	g.Run(t, "ip", "-6", "addr", "flush", "dev", "eth0", "scope", "global")
	netnstest.Run(t, "ip", "link", "add", "lxdbr0", "type", "bridge", "forward_delay", "0")
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "up")
	netnstest.Run(t, "ip", "link", "set", g.Port, "master", "lxdbr0")
	eventually(t, "the guest has an address again", func() bool { _, ok := addressIn(t, g, p); return ok })

	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "down")
	eventually(t, "that it is down is noticed", func() bool { return strings.Contains(s.Problems().Error(), "it is down") })
	g.Run(t, "ip", "-6", "addr", "flush", "dev", "eth0", "scope", "global")
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "up")
	eventually(t, "the guest has an address once more", func() bool { _, ok := addressIn(t, g, p); return ok })
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

func TestWhatKeepsABridgeFromAdvertising(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "")
	netnstest.AddGuest(t, "lxdbr0", "g1", "")
	s := serve(t, lab)
	sourceOf(t, s)
	set := func(key, value string) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/lxdbr0/"+key, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	set("disable_ipv6", "1")
	eventually(t, "IPv6 is off", func() bool { return strings.Contains(s.Problems().Error(), "IPv6 is switched off") })
	set("addr_gen_mode", "1")
	set("disable_ipv6", "0")
	eventually(t, "no link-local address", func() bool { return strings.Contains(s.Problems().Error(), "no link-local address") })
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "addrgenmode", "eui64") // the hint
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "down")
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "up")
	sourceOf(t, s)
	eventually(t, "all is well", func() bool { return len(s.Problems()) == 0 })
}

func TestNotABridge(t *testing.T) {
	netnstest.Require(t, "ip")
	s := serve(t, Config{Bridge: "lo"})
	<-s.Ready()
	if got := s.Problems().Error(); !strings.Contains(got, "not a bridge") {
		t.Errorf("problems: %q", got)
	}
}

// TestReadersOfOthers reads the advertisement by programs that were written by others.
func TestReadersOfOthers(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter", "rdisc6", "radvdump")
	netnstest.Bridge(t, "lxdbr0", "")
	g := netnstest.AddGuest(t, "lxdbr0", "g1", "")
	c := lab
	c.Managed, c.Other, c.MTU = true, true, 1400
	c.Search = []string{"lxd", "example.net"}
	c.Routes = []netip.Prefix{prefix("fd07::/48")}
	c.Prefixes = append(c.Prefixes[:1:1], Prefix{Prefix: prefix("2001:db8:1::/64"), OnLink: true, Deprecated: true})
	s := serve(t, c)
	source := sourceOf(t, s).String()
	eventually(t, "the guest may send", func() bool {
		out := g.Run(t, "ip", "-6", "addr", "show", "dev", "eth0", "scope", "link")
		return strings.Contains(out, "fe80::") && !strings.Contains(out, "tentative")
	})

	t.Run("rdisc6", func(t *testing.T) {
		out, err := g.Command("rdisc6", "-1", "-r5", "eth0").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text := strings.Join(strings.Fields(string(out)), " ")
		for _, want := range []string{
			"Hop limit : 64 ( 0x40)", "Stateful address conf. : Yes", "Stateful other conf. : Yes", "Router preference : medium",
			"Router lifetime : 65535 (0x0000ffff) seconds", "Reachable time : unspecified", "Retransmit time : unspecified",
			"Source link-layer address:", "MTU : 1400 bytes (valid)",
			"Prefix : fd94:d372:e27f:2987::/64 On-link : Yes Autonomous address conf.: Yes Valid time : 86400 (0x00015180) seconds Pref. time : 43200 (0x0000a8c0) seconds",
			"Prefix : 2001:db8:1::/64 On-link : Yes Autonomous address conf.: No Valid time : 7200 (0x00001c20) seconds Pref. time : 0 (0x00000000) seconds",
			"Route : fd07::/48 Route preference : medium Route lifetime : 65535 (0x0000ffff) seconds",
			"Recursive DNS server : fd94:d372:e27f:2987::1 DNS server lifetime : 1800 (0x00000708) seconds",
			"DNS search list : lxd example.net DNS search list lifetime: 1800 (0x00000708) seconds",
			"from " + source,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	})
	t.Run("radvdump", func(t *testing.T) {
		cmd := g.Command("radvdump")
		var out syncBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait() //nolint:errcheck // it is killed
		defer cmd.Process.Kill()
		eventually(t, "radvdump shows it", func() bool {
			// Asked until radvdump listens: the answer goes to this guest alone.
			_ = g.Command("rdisc6", "-1", "-q", "-w500", "eth0").Run()
			return strings.Contains(out.String(), "# End of interface definition") || strings.Count(out.String(), "};") >= 6
		})
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range []string{
			"AdvManagedFlag on;", "AdvOtherConfigFlag on;", "AdvDefaultLifetime 65535;", "AdvCurHopLimit 64;", "AdvLinkMTU 1400;",
			"AdvSourceLLAddress on;", "prefix fd94:d372:e27f:2987::/64 { AdvValidLifetime 86400; AdvPreferredLifetime 43200; AdvOnLink on; AdvAutonomous on;",
			"route fd07::/48 {", "RDNSS fd94:d372:e27f:2987::1 { AdvRDNSSLifetime 1800;", "DNSSL lxd example.net { AdvDNSSLLifetime 1800;",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, out.String())
			}
		}
	})
}

// TestAnotherRouter is told of with the hardware address of who it is.
func TestAnotherRouter(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "")
	g := netnstest.AddGuest(t, "lxdbr0", "rogue", "00:16:3e:00:00:66")
	s := serve(t, lab)
	source := sourceOf(t, s)
	var l link
	eventually(t, "the guest has a link-local address", func() bool {
		var links []struct {
			Index int `json:"ifindex"`
			Addrs []struct {
				Local     string `json:"local"`
				Tentative bool   `json:"tentative"`
			} `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(g.Run(t, "ip", "-6", "-j", "addr", "show", "dev", "eth0", "scope", "link")), &links); err != nil {
			t.Fatal(err)
		}
		for _, i := range links {
			for _, a := range i.Addrs {
				if a.Local == "" {
					continue // of addresses that were filtered out, ip shows the shells
				}
				l = link{index: i.Index, source: addr(a.Local)}
				return !a.Tentative
			}
		}
		return false
	})
	say := func(from netip.Addr) {
		t.Helper()
		l := l
		l.source = from
		if err := g.Do(func() error {
			w, err := openWire("eth0", l)
			if err != nil {
				return err
			}
			defer w.Close()
			return w.send(advertisement{lifetime: time.Hour, mac: ipam.MAC{2, 2, 2, 2, 2, 2}}.encode()[0], allNodes)
		}); err != nil {
			t.Fatal(err)
		}
	}
	say(l.source)
	want := "another router advertises itself on lxdbr0: " + l.source.String() + ", from 00:16:3e:00:00:66; guests may take it"
	eventually(t, want, func() bool { return strings.Contains(s.Problems().Error(), want) })
	g.Run(t, "ip", "addr", "add", source.String()+"/64", "dev", "eth0", "nodad")
	say(source)
	eventually(t, "forgery is told of", func() bool {
		return strings.Contains(s.Problems().Error(), "00:16:3e:00:00:66 sends router advertisements on lxdbr0 in the name of this host")
	})
}

// TestPrivateAndNotTranslated: guests have addresses and the way to other networks of the host, but no default route.
func TestPrivateAndNotTranslated(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "")
	g := netnstest.AddGuest(t, "lxdbr0", "g1", "")
	c := lab
	c.Router = IsDefaultRouter(false, []netip.Prefix{c.Prefixes[0].Prefix})
	c.Routes = []netip.Prefix{prefix("fd07::/48")}
	takesRoutes := g.Command("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=64").Run() == nil
	s := serve(t, c)
	eventually(t, "the guest has an address", func() bool { _, ok := addressIn(t, g, "fd94:d372:e27f:2987::/64"); return ok })
	if out := routes(t, g); strings.Contains(out, "default") {
		t.Errorf("a default route to nowhere:\n%s", out)
	}
	if !takesRoutes {
		netnstest.Unavailable(t, "no-kernel-feature: this kernel does not take routes from advertisements")
	}
	want := "fd07::/48 via " + sourceOf(t, s).String()
	eventually(t, want, func() bool { return strings.Contains(routes(t, g), want) })
}
