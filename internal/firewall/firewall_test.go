package firewall_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/internal/firewall"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	netnstest.Main(m)
}

// network is one whose gateway is the subnet's first address.
func network(bridge, subnet string, nat bool) *ipam.Network {
	p := netip.MustParsePrefix(subnet)
	return &ipam.Network{Name: bridge, Subnet: p, Gateway: p.Addr().Next(), NAT: nat}
}

func golden() map[string]firewall.Spec {
	quiet := network("quiet", "10.64.179.0/24", true)
	quiet.NoAccept = true
	return map[string]firewall.Spec{
		"none":     firewall.Wanted(nil),
		"one":      firewall.Wanted(ipam.Networks{network("lxdbr0", "10.64.177.0/24", true)}),
		"without":  firewall.Wanted(ipam.Networks{network("lxdbr0", "10.64.177.0/24", false)}),
		"noaccept": firewall.Wanted(ipam.Networks{network("lxdbr0", "10.64.177.0/24", true), quiet}),
		"adjacent": firewall.Wanted(ipam.Networks{network("web.10", "10.64.177.0/24", true), network("db", "10.64.178.0/23", true), network("odd", "172.16.4.16/28", true), network("wide", "100.64.0.0/10", false)}),
		"edge":     firewall.Wanted(ipam.Networks{network("last", "255.255.255.0/24", true), network("wide", "10.0.0.0/8", true), network("half", "128.0.0.0/1", true)}),
	}
}

func TestRenderedTextIsTheGoldenOne(t *testing.T) {
	for name, spec := range golden() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(path, []byte(spec.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), spec.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNftMakesTheSameTableOfTheTextAsNetlinkDoes(t *testing.T) {
	netnstest.Require(t, "nft")
	for name, spec := range golden() {
		if name == "edge" {
			continue // overlapping subnets: only one is legal at a time
		}
		t.Run(name, func(t *testing.T) { sameAsNft(t, spec) })
	}
	for _, n := range golden()["edge"].Networks {
		t.Run("edge "+n.Bridge, func(t *testing.T) { sameAsNft(t, firewall.Spec{Networks: []firewall.Network{n}}) })
	}
}

func sameAsNft(t *testing.T, spec firewall.Spec) {
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	fw := newFirewall(t)
	if changed, err := fw.Apply(t.Context(), spec); err != nil || !changed {
		t.Fatalf("first Apply: %v, %v; want a change", changed, err)
	}
	byNetlink := listing(t)
	if changed, err := fw.Apply(t.Context(), spec); err != nil || changed {
		t.Fatalf("second Apply: %v, %v; want none", changed, err)
	}
	text := filepath.Join(t.TempDir(), "table.nft")
	if err := os.WriteFile(text, []byte("table inet berth\ndelete table inet berth\n"+spec.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		netnstest.Run(t, "nft", "-f", text)
		if diff := cmp.Diff(listing(t), byNetlink); diff != "" {
			t.Errorf("nft -f (-) and netlink (+) differ:\n%s", diff)
		}
	}
	if changed, err := fw.Apply(t.Context(), spec); err != nil || changed {
		t.Errorf("Apply after nft loaded the same text: %v, %v; want no change", changed, err)
	}
}

// listing is the ruleset as nft reads it, without handles.
func listing(t *testing.T) []any {
	t.Helper()
	var doc struct{ Nftables []any }
	if err := json.Unmarshal([]byte(netnstest.Run(t, "nft", "-j", "list", "ruleset")), &doc); err != nil {
		t.Fatal(err)
	}
	for _, object := range doc.Nftables {
		for _, fields := range object.(map[string]any) {
			delete(fields.(map[string]any), "handle")
		}
	}
	return doc.Nftables
}

func newFirewall(t *testing.T) *firewall.Firewall {
	fw := firewall.New(nil)
	t.Cleanup(func() {
		if err := fw.Close(); err != nil {
			t.Error(err)
		}
	})
	return fw
}

func TestApplyMendsWhateverWasDoneToTheTable(t *testing.T) {
	netnstest.Require(t, "nft")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	fw, spec := newFirewall(t), golden()["one"]
	if _, err := fw.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	want := listing(t)
	for _, damage := range []string{
		"flush ruleset",
		"flush table inet berth",
		"delete table inet berth",
		"add chain inet berth extra",
		"delete element inet berth bridges { \"lxdbr0\" }",
		"add element inet berth subnets { 192.0.2.0/24 }",
		"add element inet berth gateways { \"eth0\" . 10.64.177.1 }",
		"insert rule inet berth input drop",
		"add rule inet berth postrouting masquerade",
		"add set inet berth extra { type ipv4_addr; }",
		"chain inet berth forward { policy drop; }",
		"flush chain inet berth postrouting",
	} {
		t.Run(damage, func(t *testing.T) {
			netnstest.Run(t, "nft", damage)
			if plan, err := fw.Plan(t.Context(), spec); err != nil || len(plan) != 1 {
				t.Errorf("Plan: %q, %v; want one line", plan, err)
			}
			if changed, err := fw.Apply(t.Context(), spec); err != nil || !changed {
				t.Fatalf("Apply: %v, %v; want a change", changed, err)
			}
			if diff := cmp.Diff(want, listing(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestForeignTablesStayByteIdentical(t *testing.T) {
	netnstest.Require(t, "nft")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	const foreign = "table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; policy accept; counter ip saddr 172.17.0.0/16 masquerade ; } ; }\n" +
		"table inet berthage { set s { type ipv4_addr; flags timeout; elements = { 192.0.2.1 } ; } ; chain c { type filter hook forward priority 0; policy accept; ip daddr @s drop; } ; }\n" +
		"table ip berth { chain x { counter accept ; } ; }\n"
	text := filepath.Join(t.TempDir(), "foreign.nft")
	if err := os.WriteFile(text, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	netnstest.Run(t, "nft", "-f", text)
	before := netnstest.Run(t, "nft", "-a", "list", "ruleset")
	fw := newFirewall(t)
	for _, name := range []string{"one", "adjacent", "none"} {
		if _, err := fw.Apply(t.Context(), golden()[name]); err != nil {
			t.Fatal(err)
		}
	}
	during := netnstest.Run(t, "nft", "-a", "list", "ruleset")
	if !strings.HasPrefix(during, before) {
		t.Errorf("foreign tables changed:\n%s\nwere:\n%s", during, before)
	}
	if there, err := firewall.Present(t.Context(), firewall.Table); err != nil || !there {
		t.Errorf("Present: %v, %v; want true", there, err)
	}
	for range 2 { // the second time it is gone already
		if err := firewall.Remove(t.Context(), firewall.Table); err != nil {
			t.Fatal(err)
		}
	}
	if after := netnstest.Run(t, "nft", "-a", "list", "ruleset"); after != before {
		t.Errorf("after Remove:\n%s\nwant:\n%s", after, before)
	}
}

func TestWithoutPermissionTheProblemSaysSo(t *testing.T) {
	netnstest.Require(t)
	err := unprivileged(t, func() error {
		fw := firewall.New(nil)
		_, err := fw.Apply(t.Context(), golden()["one"])
		return errors.Join(err, fw.Close())
	})
	var p *ipam.Problem
	if !errors.As(err, &p) || p.Code != ipam.CodeDenied || p.Hint == "" {
		t.Errorf("got %v; want a %s problem with a hint", err, ipam.CodeDenied)
	}
}
