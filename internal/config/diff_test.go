package config_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"berth/internal/config"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func TestDiff(t *testing.T) {
	const other = "[network.br1]\nipv4 = \"10.1.0.1/24\"\n"
	tests := []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", minimal, minimal, nil},
		{"order", minimal + other, other + minimal, nil},
		{"defaults written out", minimal, minimal + "lease-time = \"60m\"\nnat = true\ndrain = \"30s\"\ndhcp-range = \"10.64.177.2-10.64.177.254\"\nauthoritative = true\n", nil},
		{"new and removed", minimal, other, []string{"network br0: removed", "network br1: new, 10.1.0.1/24"}},
		{"subnet", minimal, "[network.br0]\nipv4 = \"10.64.178.1/23\"\n", []string{
			"network br0: ipv4 10.64.177.1/24 → 10.64.178.1/23", "network br0: dhcp-range 10.64.177.2-10.64.177.254 → 10.64.178.2-10.64.179.254"}},
		{"each key", minimal, minimal + `dhcp-range = "none"
lease-time = "2h30m"
nat = false
domain = "lxd"
upstream = []
drain = "0s"
trust-hostname = true
authoritative = false
`, []string{
			"network br0: dhcp-range 10.64.177.2-10.64.177.254 → none", "network br0: lease-time 1h → 2h30m", "network br0: nat true → false",
			"network br0: domain none → lxd", "network br0: upstream the host's own → none", "network br0: drain 30s → 0s",
			"network br0: trust-hostname false → true", "network br0: authoritative true → false"}},
		{"times", minimal + "lease-time = \"36h\"\n", minimal + "lease-time = \"infinite\"\n", []string{"network br0: lease-time 1d12h → infinite"}},
		{"resolvers", minimal + "upstream = []\n", minimal + "upstream = [\"192.0.2.1\", \"[2001:db8::1]:54\"]\n", []string{"network br0: upstream none → 192.0.2.1 [2001:db8::1]:54"}},
		{"order of resolvers", minimal + "upstream = [\"192.0.2.1\", \"192.0.2.2\"]\n", minimal + "upstream = [\"192.0.2.2\", \"192.0.2.1\"]\n", []string{"network br0: upstream 192.0.2.1 192.0.2.2 → 192.0.2.2 192.0.2.1"}},
		{"options", minimal + "dhcp-options = { mtu = 1400, 224 = \"hex:01\", domain-search = [\"a\"], 230 = \"hex:aa\" }\n",
			minimal + "dhcp-options = { ntp-servers = [\"10.64.177.1\"], 224 = \"hex:02\", routers = [], domain-search = [\"a\"], mtu = 1500 }\n", []string{
				"network br0: option routers unset → not sent", "network br0: option interface-mtu 1400 → 1500",
				"network br0: option ntp-servers unset → 10.64.177.1", "network br0: option 224 hex:01 → hex:02", "network br0: option 230 hex:aa → unset"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := mustParse(t, tt.before).Networks, mustParse(t, tt.after).Networks
			if got := config.Diff(before, after); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	if got := config.Diff(nil, mustParse(t, minimal).Networks); len(got) != 1 || got[0] != "network br0: new, 10.64.177.1/24" {
		t.Errorf("from nothing: %q", got)
	}
}
