package lab_test

import (
	"testing"
	"time"

	"berth/internal/control"
)

// TestPinIsFasterThanRestart measures how long it takes from the start of a command until the new address
// answers: of berth pin, and of what one does without it, with dnsmasq as the server.
func TestPinIsFasterThanRestart(t *testing.T) {
	const (
		pins     = 20
		restarts = 3
		limit    = 30 * time.Millisecond
	)
	requireLXD(t)
	restart := measureRestart(t, "lxc restart", restarts, "lxc", "restart", "cent01")
	service := measureRestart(t, "systemctl restart", restarts, "lxc", "exec", "cent01", "--", "systemctl", "restart", "systemd-networkd")
	var pin series
	t.Run("berth pin", func(t *testing.T) {
		s := serve(t, network, "")
		for i := range pins {
			addr := addressAt("10.64.177.101", i) // never one that still drains
			p := startProbe(t, addr)
			start := time.Now()
			s.must("pin", "cent01", addr)
			pin = append(pin, p.first(t).Sub(start))
			s.awaitState("cent01", control.Settled)
		}
	})
	if len(pin) < pins {
		return
	}
	t.Logf("measured: berth pin, command to first ping: %s", pin)
	t.Logf("measured: lxc restart, command to first ping: %s", restart)
	t.Logf("measured: systemctl restart systemd-networkd, command to first ping: %s", service)
	if have := pin.median(); have >= limit {
		t.Errorf("berth pin takes %s, want less than %s", have, limit)
	}
	for _, peer := range []struct {
		name  string
		took  series
		ratio time.Duration // far below what is usually seen
	}{
		{"lxc restart", restart, 20},
		{"systemctl restart systemd-networkd", service, 3},
	} {
		if pin.median()*peer.ratio > peer.took.median() {
			t.Errorf("berth pin takes %s, not %d times less than %s, which takes %s", pin.median(), peer.ratio, peer.name, peer.took.median())
		}
	}
}

// measureRestart changes cent01's reservation in a dnsmasq and runs the command that makes it take effect.
func measureRestart(t *testing.T, title string, times int, name string, args ...string) series {
	t.Helper()
	var took series
	t.Run(title, func(t *testing.T) {
		peer := startPeer(t, pinLine("cent01", "10.64.177.200"))
		p := startProbe(t, "10.64.177.200")
		boot(t, "cent01")
		p.first(t)
		for i := range times {
			addr := addressAt("10.64.177.201", i)
			peer.reserve("cent01", addr)
			p := startProbe(t, addr)
			start := time.Now()
			if err := command(name, args...); err != nil {
				t.Fatal(err)
			}
			took = append(took, p.first(t).Sub(start))
		}
	})
	if len(took) < times {
		t.Fatal("nothing to compare with")
	}
	return took
}
