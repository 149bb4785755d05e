package firewall_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/firewall"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// rulesets as the tools leave them, cut down to what decides.
const (
	docker = `table ip filter {
		chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER; oifname "docker0" ct state related,established counter accept; iifname "docker0" counter accept; }
		chain DOCKER-USER { counter return; }
	}`
	ufw = `table ip filter {
		chain INPUT { type filter hook input priority 0; policy drop; counter jump ufw-before-input; counter jump ufw-user-input; }
		chain FORWARD { type filter hook forward priority 0; policy drop; counter jump ufw-before-forward; }
		chain ufw-before-input { iifname "lo" counter accept; ct state related,established counter accept; udp sport 67 udp dport 68 counter accept; }
		chain ufw-before-forward { ct state related,established counter accept; counter jump ufw-user-forward; }
		chain ufw-user-input { }
		chain ufw-user-forward { }
	}`
	firewalld = `table inet firewalld {
		chain filter_FORWARD { type filter hook forward priority 10; policy accept; ct state { established, related } accept; ct status dnat accept; iifname "lo" accept; jump filter_FORWARD_IN_ZONES; ct state invalid drop; reject with icmpx admin-prohibited; }
		chain filter_FORWARD_IN_ZONES { iifname "eth0" goto filter_FWDI_public; }
		chain filter_FWDI_public { meta l4proto icmp accept; }
		chain filter_FWDI_trusted { accept; }
	}`
	plain = `table inet filter {
		chain input { type filter hook input priority filter; policy drop; ct state vmap { established : accept, related : accept, invalid : drop }; iifname lo accept; tcp dport 22 accept; }
		chain forward { type filter hook forward priority filter; policy drop; }
	}`
)

func TestObstaclesAreNamedWithTheCommandThatClearsThem(t *testing.T) {
	netnstest.Require(t, "nft")
	for _, c := range []struct {
		name    string
		ruleset string
		want    []string // "text | hint", cut to what matters
		cure    string   // what the hint comes to, in nft's words
	}{
		{"docker", docker, []string{"table ip filter, chain FORWARD (Docker) drops what guests send out on lxdbr0 | iptables -I DOCKER-USER -i lxdbr0 -j ACCEPT && iptables -I DOCKER-USER -o lxdbr0 -j ACCEPT"},
			`insert rule ip filter DOCKER-USER iifname "lxdbr0" counter accept; insert rule ip filter DOCKER-USER oifname "lxdbr0" counter accept`},
		{"ufw", ufw, []string{
			"table ip filter, chain INPUT (ufw) drops guests' DHCP and DNS questions on lxdbr0 | ufw allow in on lxdbr0 to any port 53 && ufw allow in on lxdbr0 to any port 67 proto udp",
			"table ip filter, chain FORWARD (ufw) drops what guests send out on lxdbr0 | ufw route allow in on lxdbr0 && ufw route allow out on lxdbr0",
		}, `add rule ip filter ufw-user-input iifname "lxdbr0" udp dport 53 counter accept; add rule ip filter ufw-user-forward iifname "lxdbr0" counter accept; add rule ip filter ufw-user-forward oifname "lxdbr0" counter accept`},
		{"firewalld", firewalld, []string{"table inet firewalld, chain filter_FORWARD (firewalld) drops what guests send out on lxdbr0 | firewall-cmd --permanent --zone=trusted --add-interface=lxdbr0 && firewall-cmd --reload"},
			`insert rule inet firewalld filter_FORWARD_IN_ZONES iifname "lxdbr0" goto filter_FWDI_trusted`},
		{"answers alone", `table inet filter { chain forward { type filter hook forward priority 0; policy drop; iifname { "lxdbr0", "eth9" } accept; } ; }`,
			[]string{`table inet filter, chain forward drops the answers to guests on lxdbr0 | nft 'insert rule inet filter forward iifname "lxdbr0" accept' && nft 'insert rule inet filter forward oifname "lxdbr0" accept'`},
			`add rule inet filter forward ct state vmap { established : accept, related : accept }`},
		{"a drop in a chain called", `table ip filter { chain guard { counter drop; } ; chain through { type filter hook forward priority 0; policy accept; iifname "lx*" jump guard; } ; }`,
			[]string{`table ip filter, chain through drops what guests send out on lxdbr0 | nft 'insert rule ip filter through iifname "lxdbr0" accept' && nft 'insert rule ip filter through oifname "lxdbr0" accept'`},
			`insert rule ip filter guard return`},
		{"what lets us pass", `table inet filter {
			set ours { type ifname; elements = { "lxdbr0" } ; }
			chain forward { type filter hook forward priority 0; policy drop; iifname @ours accept; oifname "lxdbr*" ct state established accept; }
			chain other { type filter hook forward priority 5; policy accept; iifname != "lxdbr0" drop; meta nfproto ipv6 drop; tcp dport 25 drop; } ; }`, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
			load(t, c.ruleset)
			fw, spec := newFirewall(t), golden()["one"]
			if _, err := fw.Apply(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range obstacles(t, fw, spec) {
				got = append(got, p.Text+" | "+p.Hint)
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			load(t, c.cure)
			if left := obstacles(t, fw, spec); len(left) > 0 {
				t.Errorf("still there after the cure: %v", left)
			}
		})
	}
}

func TestTheHintForPlainNftClearsTheObstacle(t *testing.T) {
	netnstest.Require(t, "nft", "sh")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	load(t, plain)
	fw := newFirewall(t)
	spec := firewall.Wanted(ipam.Networks{network("web.10", "10.64.177.0/24", true), network("db", "10.64.178.0/24", true)})
	found := obstacles(t, fw, spec)
	if len(found) != 4 {
		t.Fatalf("want input and forward for each of two bridges, got %v", found)
	}
	for _, p := range found {
		netnstest.Run(t, "sh", "-c", p.Hint)
	}
	if left := obstacles(t, fw, spec); len(left) > 0 {
		t.Errorf("still there after typing the hints: %v", left)
	}
}

func obstacles(t *testing.T, fw *firewall.Firewall, spec firewall.Spec) []*ipam.Problem {
	t.Helper()
	problems, err := fw.Obstacles(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func load(t *testing.T, ruleset string) {
	t.Helper()
	text := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(text, []byte(ruleset+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	netnstest.Run(t, "nft", "-f", text)
}
