package resolved_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/dns"
	"berth/internal/dns/resolved"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// resolver is a systemd-resolved of our own, on a bus of our own, in a network
// namespace of our own.
type resolver struct {
	bus *testBus
	cmd *exec.Cmd
}

// startResolver prepares what systemd-resolved expects of a host, and starts it.
func startResolver(t *testing.T) *resolver {
	t.Helper()
	// Not on anybody's path. Where the host does not use it, it is only unpacked: the package
	// would take the host's own DNS over.
	unpacked := unpackedResolver()
	t.Setenv("PATH", strings.Join([]string{
		os.Getenv("PATH"), "/usr/lib/systemd", "/lib/systemd",
		unpacked + "/usr/bin", unpacked + "/usr/lib/systemd", unpacked + "/lib/systemd",
	}, ":"))
	netnstest.Require(t, "ip", "dbus-daemon", "systemd-resolved", "resolvectl")
	netnstest.RequireRealRoot(t)
	const user = "systemd-resolve:x:990:990::/:/usr/sbin/nologin\n"
	overlay(t, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n"+user)
	overlay(t, "/etc/group", "root:x:0:\nsystemd-resolve:x:990:\n")
	if err := os.MkdirAll("/run/systemd/resolve", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll("/run/systemd/resolve") })
	if err := os.Chown("/run/systemd/resolve", 990, 990); err != nil {
		t.Fatal(err)
	}
	r := &resolver{bus: newTestBus(t)}
	if err := os.Chmod(r.bus.dir, 0o755); err != nil { // the bus is for that user too
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(r.bus.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	r.bus.start(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", r.bus.address)
	r.start(t)
	return r
}

// unpackedResolver is where test/setup.sh unpacks Debian's package.
func unpackedResolver() string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = "/var/cache"
	}
	return filepath.Join(cache, "berth-test", "systemd-resolved")
}

// overlay puts a file in the place of another one, in this mount namespace, until the test ends.
func overlay(t *testing.T, path, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	netnstest.Run(t, "mount", "--bind", file, path)
	t.Cleanup(func() { _ = exec.Command("umount", path).Run() })
}

func (r *resolver) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("systemd-resolved")
	cmd.Env = append(os.Environ(), "SYSTEMD_LOG_TARGET=console", "SYSTEMD_LOG_LEVEL=warning")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.cmd = cmd
	t.Cleanup(func() { stopCommand(cmd) })
}

func (r *resolver) stop() { stopCommand(r.cmd) }

func stopCommand(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have been stopped before
	_ = cmd.Wait()
}

// query is what a person would type.
func query(args ...string) string {
	out, err := exec.Command("resolvectl", append([]string{"query", "--legend=no"}, args...)...).CombinedOutput()
	if err != nil {
		return "failed: " + string(out)
	}
	return string(out)
}

// guests are names of one network that a test may change.
type guests struct {
	mu    sync.Mutex
	addrs map[string]netip.Addr
}

func (g *guests) set(name, addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addrs[name] = netip.MustParseAddr(addr)
}

func (g *guests) LookupName(_, name string) ([]netip.Addr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a, ok := g.addrs[name]; ok {
		return []netip.Addr{a}, true
	}
	return nil, false
}

func (g *guests) LookupAddr(a netip.Addr) (string, string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, have := range g.addrs {
		if have == a {
			return name, "lxdbr0", true
		}
	}
	return "", "", false
}

// serveDNS answers for the guests at the gateway until stop is called.
func serveDNS(t *testing.T, names dns.Names) (stop func()) {
	t.Helper()
	s := dns.New(dns.Options{Names: names})
	l := lxdbr0(0)
	s.SetNetworks(ipam.Networks{{Name: l.Name, Domain: l.Domain, Gateway: l.Gateway, Subnet: l.Subnet, Drain: 30 * time.Second, Upstream: []netip.AddrPort{}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("DNS: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// plugBridge makes the bridge with a port that has a carrier, and gives its index.
func plugBridge(t *testing.T) int {
	t.Helper()
	netnstest.Bridge(t, "lxdbr0", "10.64.177.1/24")
	netnstest.AddGuest(t, "lxdbr0", "cent01", "")
	out := netnstest.Run(t, "ip", "-o", "link", "show", "lxdbr0")
	index, err := strconv.Atoi(out[:strings.IndexByte(out, ':')])
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestTheRealResolvedResolvesGuests(t *testing.T) {
	real := startResolver(t)
	index := plugBridge(t)
	names := &guests{addrs: make(map[string]netip.Addr)}
	names.set("cent01", "10.64.177.101")
	stopDNS := serveDNS(t, names)
	r := run(t, options(t, real.bus))
	r.Set([]resolved.Link{lxdbr0(index)})
	awaitState(t, r, good)

	resolves := func(what, want string) {
		t.Helper()
		eventually(t, what+" is "+want, func() bool { return strings.Contains(query(what), want) })
	}
	resolves("cent01.lxd", "10.64.177.101")
	resolves("10.64.177.101", "cent01.lxd")
	status := netnstest.Run(t, "resolvectl", "status", "lxdbr0")
	for _, want := range []string{"DNS Servers: 10.64.177.1", "~lxd", "~177.64.10.in-addr.arpa", "-DefaultRoute"} {
		if !strings.Contains(status, want) {
			t.Errorf("resolvectl status has no %q:\n%s", want, status)
		}
	}
	if got := query("cent01.example.org"); !strings.Contains(got, "failed") {
		t.Errorf("another domain is asked of berth: %s", got)
	}

	// resolved is started again.
	real.stop()
	awaitState(t, r, "systemd-resolved does not run")
	if err := os.RemoveAll("/run/systemd/resolve/netif"); err != nil { // it would have remembered
		t.Fatal(err)
	}
	real.start(t)
	awaitState(t, r, good)
	resolves("cent01.lxd", "10.64.177.101")

	// Somebody reverts the link.
	netnstest.Run(t, "resolvectl", "revert", "lxdbr0")
	resolves("cent01.lxd", "10.64.177.101")

	// berth's DNS stops: the names fail at once, they do not hang.
	stopDNS()
	names.set("new", "10.64.177.102")
	began := time.Now()
	if got := query("new.lxd"); !strings.Contains(got, "failed") {
		t.Errorf("somebody answers: %s", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a stopped berth makes a query hang for %s", took)
	}
	serveDNS(t, names)
	resolves("new.lxd", "10.64.177.102")

	// The network goes, and the bridge stays.
	r.Set(nil)
	eventually(t, "the link is reverted", func() bool {
		return !strings.Contains(netnstest.Run(t, "resolvectl", "status", "lxdbr0"), "10.64.177.1")
	})
}
