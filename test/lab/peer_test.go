package lab_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// peer is dnsmasq on LXD's bridge, as berth is not there: what one does today.
type peer struct {
	t     testing.TB
	hosts string // its dhcp-hostsfile
	cmd   *exec.Cmd
}

func startPeer(t testing.TB, hosts string) *peer {
	t.Helper()
	dir := t.TempDir()
	p := &peer{t: t, hosts: filepath.Join(dir, "hosts")}
	write(t, p.hosts, hosts)
	netnstest.Run(t, "ip", "addr", "add", gateway+"/24", "dev", bridge)
	var said lockedBuffer
	p.cmd = exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--log-facility=-",
		"--interface="+bridge, "--bind-interfaces", "--except-interface=lo", "--no-resolv", "--no-hosts", "--domain=lxd",
		"--dhcp-authoritative", "--no-ping", "--dhcp-range=10.64.177.10,10.64.177.99,1h", "--dhcp-hostsfile="+p.hosts,
		"--dhcp-leasefile="+filepath.Join(dir, "leases"), "--pid-file="+filepath.Join(dir, "pid"))
	p.cmd.Stdout, p.cmd.Stderr = &said, &said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("dnsmasq said:\n%s", said.String())
		}
		netnstest.Run(t, "ip", "addr", "del", gateway+"/24", "dev", bridge)
	})
	return p
}

// reserve changes a container's reservation, as one edits the file and reloads the server.
func (p *peer) reserve(name, addr string) {
	p.t.Helper()
	write(p.t, p.hosts, pinLine(name, addr))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// series is a row of measured times.
type series []time.Duration

func (s series) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2]
}

func (s series) String() string {
	return fmt.Sprintf("median %.1f ms of %d (%.1f to %.1f ms)", ms(s.median()), len(s), ms(slices.Min(s)), ms(slices.Max(s)))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// addressAt is the address n after from.
func addressAt(from string, n int) string {
	addr := netip.MustParseAddr(from)
	for range n {
		addr = addr.Next()
	}
	return addr.String()
}
