package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/internal/firewall"
	"berth/internal/host"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// everything brings up networks with their table, as the daemon does.
func everything(t *testing.T, h *host.Host, nets ...*ipam.Network) {
	t.Helper()
	apply(t, h, nets...)
	if err := h.RecordTable(firewall.Table); err != nil {
		t.Fatal(err)
	}
	fw := firewall.New(nil)
	if _, err := fw.Apply(t.Context(), firewall.Wanted(nets)); err != nil {
		t.Fatal(err)
	}
	if err := fw.Close(); err != nil {
		t.Fatal(err)
	}
}

func down(t *testing.T, footprint string, dryRun bool) []string {
	t.Helper()
	done, err := host.Down(t.Context(), footprint, dryRun)
	if err != nil {
		t.Fatal("Down:", err)
	}
	return done
}

func TestDownLeavesTheMachineAsItWas(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(t *testing.T)
		want  []string
	}{
		{"created", func(t *testing.T) {}, []string{
			"delete table inet berth",
			"delete bridge br0",
			"set net.ipv4.ip_forward = 0",
		}},
		{"adopted", func(t *testing.T) {
			netnstest.Bridge(t, "br0", "192.0.2.1/24")
			netnstest.AddGuest(t, "br0", "a", "")
		}, []string{
			"delete table inet berth",
			"remove 10.64.177.1/24 from br0",
			"set net.ipv4.conf.br0.promote_secondaries = 0",
			"leave bridge br0 with its ports: berth only adopted it",
			"set net.ipv4.ip_forward = 0",
		}},
		{"adopted while down", func(t *testing.T) {
			netnstest.Run(t, "ip", "link", "add", "br0", "type", "bridge")
			t.Cleanup(func() { netnstest.Run(t, "ip", "link", "del", "br0") })
		}, []string{
			"delete table inet berth",
			"remove 10.64.177.1/24 from br0",
			"set net.ipv4.conf.br0.promote_secondaries = 0",
			"bring br0 down",
			"leave bridge br0 with its ports: berth only adopted it",
			"set net.ipv4.ip_forward = 0",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			netnstest.Require(t, "ip", "nft")
			setSysctl(t, "net/ipv4/ip_forward", "0")
			setSysctl(t, "net/ipv4/conf/lo/forwarding", "1") // somebody's own choice
			c.setUp(t)
			netnstest.Run(t, "nft", "add table ip other")
			t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
			before := state(t)

			h, footprint := newHost(t)
			everything(t, h, network("br0", "10.64.177.1/24"))
			up := state(t)
			if diff := cmp.Diff(c.want, down(t, footprint, true)); diff != "" {
				t.Errorf("dry run:\n%s", diff)
			}
			if diff := cmp.Diff(up, state(t)); diff != "" {
				t.Errorf("the dry run changed something:\n%s", diff)
			}
			if diff := cmp.Diff(c.want, down(t, footprint, false)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, state(t)); diff != "" {
				t.Errorf("not as it was:\n%s", diff)
			}
			if again := down(t, footprint, false); again != nil {
				t.Errorf("a second Down does %q", again)
			}
		})
	}
}

func TestDownTakesAwayWhatIsLeftWhateverTheConfigurationSays(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	setSysctl(t, "net/ipv4/ip_forward", "0")
	h, footprint := newHost(t)
	everything(t, h, network("br0", "10.64.177.1/24"), network("br1", "10.64.178.1/24"), network("br2", "10.64.179.1/24"))
	everything(t, h, network("br1", "10.9.0.1/24")) // the others are configured away, but guests may be on them
	netnstest.Run(t, "nft", "delete table inet berth")
	netnstest.Run(t, "ip", "link", "del", "br1")
	netnstest.Run(t, "ip", "link", "del", "br2")
	netnstest.Bridge(t, "br2", "") // by somebody else
	setSysctl(t, "net/ipv4/ip_forward", "0")
	netnstest.AddGuest(t, "br0", "b", "")
	netnstest.AddGuest(t, "br0", "a", "")
	want := []string{"delete bridge br0, which unplugs va, vb", "leave br2: somebody else made it since"}
	if diff := cmp.Diff(want, down(t, footprint, false)); diff != "" {
		t.Error(diff)
	}
	netnstest.Run(t, "ip", "link", "show", "va")
}

func TestDownLeavesForwardingToThoseWhoCameLater(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	setSysctl(t, "net/ipv4/ip_forward", "0")
	netnstest.Bridge(t, "before", "192.0.2.1/24")
	h, footprint := newHost(t)
	apply(t, h, network("br0", "10.64.177.1/24"))
	netnstest.Bridge(t, "docker0", "172.17.0.1/16")
	want := []string{"delete bridge br0", "leave net.ipv4.ip_forward = 1: docker0 came later and may need it"}
	if diff := cmp.Diff(want, down(t, footprint, false)); diff != "" {
		t.Error(diff)
	}
	if got := sysctl(t, "net/ipv4/ip_forward"); got != "1" {
		t.Errorf("ip_forward = %s", got)
	}
}

func TestAFailedStepIsUndone(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	setSysctl(t, "net/ipv4/ip_forward", "0")
	netnstest.Bridge(t, "old", "192.0.2.1/24")
	before := state(t)
	h, footprint := newHost(t)
	// The second name is one that the kernel refuses.
	_, err := h.Apply(t.Context(), ipam.Networks{network("old", "10.64.177.1/24"), network("new", "10.64.178.1/24"), network("a/b", "10.64.179.1/24")})
	if err == nil || !strings.Contains(err.Error(), "create bridge a/b") {
		t.Fatalf("got %v, want the step that failed", err)
	}
	if diff := cmp.Diff(before, state(t)); diff != "" {
		t.Errorf("half applied:\n%s", diff)
	}
	if again := down(t, footprint, true); again != nil {
		t.Errorf("the footprint remembers what was undone: %q", again)
	}
}

func TestACancelledApplyChangesNothing(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := state(t)
	h, _ := newHost(t)
	if _, err := h.Apply(ctx, ipam.Networks{network("br0", "10.64.177.1/24")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, state(t)); diff != "" {
		t.Error(diff)
	}
}

func TestTheFootprintIsWrittenBeforeTheChange(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := state(t)
	h := host.New(host.Options{Footprint: filepath.Join(blocked, "footprint.json"), MachineID: machineID})
	if _, err := h.Apply(t.Context(), ipam.Networks{network("br0", "10.64.177.1/24")}); err == nil {
		t.Error("applied without a footprint")
	}
	if diff := cmp.Diff(before, state(t)); diff != "" {
		t.Error(diff)
	}
}

func TestALostFootprintOfOurOwnBridgeIsFoundAgain(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	h, footprint := newHost(t)
	apply(t, h, network("br0", "10.64.177.1/24"))
	if err := os.Remove(footprint); err != nil {
		t.Fatal(err)
	}
	if done := apply(t, h, network("br0", "10.64.177.1/24")); !slices.Equal(done, []string{"take back bridge br0, which berth created before"}) {
		t.Errorf("did %q", done)
	}
	if done := down(t, footprint, false); !slices.Contains(done, "delete bridge br0") {
		t.Errorf("Down: %q", done)
	}
}

func TestADamagedFootprintIsAProblemNotAGuess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "footprint.json")
	for _, text := range []string{"", "{", `{"version": 99}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := host.ReadFootprint(path)
		var p *ipam.Problem
		if !errors.As(err, &p) || p.Source.File != path || p.Hint == "" {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"version": 1, "boot": "another", "bridges": [{"name": "br0"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := host.ReadFootprint(path); err != nil || len(f.Bridges) > 0 {
		t.Errorf("a footprint of another boot: %v, %v; want an empty one", f, err)
	}
}
