package e2e_test

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth/internal/netnstest"
)

// udhcpcScript is the gist of Debian's /etc/udhcpc/default.script.
const udhcpcScript = `#!/bin/sh
case "$1" in
deconfig)
	if ip -4 addr show dev "$interface" | grep -q inet; then echo lost >>"$EVENTS"; fi
	ip -4 addr flush dev "$interface"
	ip link set "$interface" up
	;;
bound|renew)
	busybox ifconfig "$interface" "$ip" netmask "$subnet" broadcast "${broadcast:-+}"
	if [ -n "$router" ]; then
		while busybox route del default gw 0.0.0.0 dev "$interface" 2>/dev/null; do :; done
		for r in $router; do busybox route add default gw "$r" dev "$interface"; done
	fi
	echo "$1 $ip" >>"$EVENTS"
	;;
nak) echo "nak" >>"$EVENTS" ;;
esac
`

// box is a namespace with busybox udhcpc, plugged into the bridge.
type box struct {
	*netnstest.Guest
	events string // what the client's script was told
	cmd    *exec.Cmd
}

// addBox plugs in a guest and starts udhcpc with extra arguments.
func addBox(t testing.TB, name, mac string, args ...string) *box {
	t.Helper()
	netnstest.RequirePrograms(t, "busybox", "ping")
	b := &box{Guest: netnstest.AddGuest(t, bridge, name, mac), events: filepath.Join(t.TempDir(), "events")}
	script := filepath.Join(filepath.Dir(b.events), "script")
	if err := os.WriteFile(script, []byte(udhcpcScript), 0o755); err != nil {
		t.Fatal(err)
	}
	b.cmd = b.Command("busybox", append([]string{"udhcpc", "-f", "-i", "eth0", "-s", script, "-t", "10", "-T", "1", "-A", "1"}, args...)...)
	b.cmd.Env = append(os.Environ(), "EVENTS="+b.events)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
	})
	return b
}

// told lists the events of the client's script.
func (b *box) told() []string {
	data, _ := os.ReadFile(b.events)
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(data)), " ", "="))
}

// addresses lists the guest's IPv4 addresses, with prefix length.
func (b *box) addresses(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, line := range strings.Split(b.Run(t, "ip", "-4", "-o", "addr", "show", "dev", "eth0"), "\n") {
		if f := strings.Fields(line); len(f) > 3 {
			list = append(list, f[3])
		}
	}
	return list
}

// ping reports whether addr answers the host.
func ping(addr string) bool {
	return exec.Command("ping", "-c1", "-W1", "-q", addr).Run() == nil
}

// pingFrom reports whether addr answers the guest.
func (b *box) ping(addr string) bool {
	return b.Command("ping", "-c1", "-W1", "-q", addr).Run() == nil
}

// lookup asks berth's DNS and returns the one address it answers, "" for none.
func lookup(t testing.TB, name string) string {
	t.Helper()
	netnstest.RequirePrograms(t, "dig")
	out, err := exec.Command("dig", "+short", "+tries=1", "+time=2", "@"+gateway, name).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %s: %v\n%s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// reverse asks berth's DNS for an address's name.
func reverse(t testing.TB, addr string) string {
	t.Helper()
	out, err := exec.Command("dig", "+short", "+tries=1", "+time=2", "@"+gateway, "-x", addr).CombinedOutput()
	if err != nil {
		t.Fatalf("dig -x %s: %v\n%s", addr, err, out)
	}
	return strings.TrimSpace(string(out))
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// startDnsmasq runs a dnsmasq of the test's own until the test ends or stop is called.
func startDnsmasq(t testing.TB, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command("dnsmasq", append([]string{"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--user=root", "--bind-interfaces",
		"--pid-file=", "--dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases")}, args...)...)
	var said lockedBuffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	await(t, "dnsmasq to start", func() bool { return strings.Contains(said.String(), "started") })
	return stop
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
