package firewall_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/internal/firewall"
	"berth/internal/netnstest"
)

func TestAVanishedTableIsPutBackWithinASecond(t *testing.T) {
	netnstest.Require(t, "nft")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	fw, spec := newFirewall(t), golden()["one"]
	if _, err := fw.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	want := listing(t)
	drift := watch(t, fw)
	for _, damage := range []string{"flush ruleset", "delete table inet berth", "flush chain inet berth postrouting"} {
		netnstest.Run(t, "nft", damage)
		within := time.After(time.Second)
		select {
		case <-drift:
		case <-within:
			t.Fatalf("no signal within a second of %q", damage)
		}
		if changed, err := fw.Apply(t.Context(), spec); err != nil || !changed {
			t.Fatalf("Apply: %v, %v; want a change", changed, err)
		}
		if diff := cmp.Diff(want, listing(t)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheChangesOfOthersAreNoDrift(t *testing.T) {
	netnstest.Require(t, "nft")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	fw, spec := newFirewall(t), golden()["one"]
	if _, err := fw.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	drift := watch(t, fw)
	netnstest.Run(t, "nft", "add table ip other")
	select {
	case <-drift:
		t.Error("signal without drift")
	case <-time.After(300 * time.Millisecond):
	}
}

// watch runs until the test ends.
func watch(t *testing.T, fw *firewall.Firewall) <-chan struct{} {
	drift := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- fw.Watch(t.Context(), drift) }()
	t.Cleanup(func() { // the context has ended by now
		if err := <-done; err != nil {
			t.Error("Watch:", err)
		}
	})
	return drift
}
