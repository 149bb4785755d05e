package leasefile_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/leasefile"
	"berth/internal/netnstest"
)

// awaitThat polls for something another process does.
func awaitThat(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// said is what a process has written so far.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// startDnsmasq serves DHCP and names on br0 from a lease file.
func startDnsmasq(t *testing.T, leases string) *said {
	t.Helper()
	out := &said{}
	cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--user=root", "--bind-interfaces", "--pid-file=",
		"--interface=br0", "--except-interface=lo", "--no-resolv", "--no-hosts", "--dhcp-authoritative", "--no-ping", "--domain=lxd",
		"--dhcp-range=10.0.0.2,10.0.0.250,1h", "--dhcp-range=fd42::2,fd42::ff,64,1h", "--dhcp-leasefile="+leases)
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	awaitThat(t, "dnsmasq to start", func() bool { return strings.Contains(out.String(), "DHCP, sockets bound exclusively to interface br0") })
	return out
}

// ask has a client inside a guest get an address once, and returns that.
func ask(t *testing.T, g *netnstest.Guest, args ...string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = bound ] && echo \"bound=$ip\"\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := g.Run(t, "busybox", append([]string{"udhcpc", "-i", "eth0", "-n", "-q", "-t", "10", "-T", "1", "-s", script}, args...)...)
	_, a, _ := strings.Cut(out, "bound=")
	a, _, _ = strings.Cut(a, "\n")
	return a
}

// sortedLines are the lines of a file in an order of their own: dnsmasq turns it around when it starts.
func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// TestDnsmasqReadsWhatWeWrite starts a dnsmasq on a written file. It must take every line, answer by it, and write each
// one back as it was.
func TestDnsmasqReadsWhatWeWrite(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "busybox", "ip", "dig")
	netnstest.Bridge(t, "br0", "10.0.0.1/24")
	netnstest.Run(t, "ip", "addr", "add", "fd42::1/64", "dev", "br0", "nodad")
	until := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	mac := func(i byte) leasefile.Hardware { return leasefile.HardwareOf(ipam.MAC{2, 0, 0, 0, 0, i}) }
	ours := leasefile.File{DUID: []byte{0, 1, 0, 1, 0x2c, 0xd0, 0xaa, 0xbb, 2, 0, 0, 0, 0, 0xff}, Leases: []leasefile.Lease{
		{Expiry: until, Hardware: mac(1), Addr: netip.MustParseAddr("10.0.0.101"), Hostname: "web", ClientID: []byte{1, 2, 0, 0, 0, 0, 1}},
		{Hardware: mac(2), Addr: netip.MustParseAddr("10.0.0.102"), Hostname: "db"},
		{Expiry: until, Hardware: mac(3), Addr: netip.MustParseAddr("10.0.0.103")},
		{Expiry: until, Hardware: leasefile.Hardware{Type: 6, Addr: []byte{1, 2, 3, 4, 5, 6, 7, 8}}, Addr: netip.MustParseAddr("10.0.0.104"), ClientID: bytes.Repeat([]byte{0xab}, 255)},
		{Expiry: until, IAID: 1<<32 - 1, Addr: netip.MustParseAddr("fd42::101"), Hostname: "web6", ClientID: []byte{0, 2, 0, 0, 0xab, 0x11}},
		{IAID: 7, Temporary: true, Addr: netip.MustParseAddr("fd42::102"), ClientID: []byte{0, 2, 0, 0, 0xab, 0x12}},
	}}
	text := string(ours.Append(nil))
	leases := filepath.Join(t.TempDir(), "leases")
	if err := os.WriteFile(leases, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	log := startDnsmasq(t, leases)
	for name, want := range map[string]string{"web": "10.0.0.101", "db": "10.0.0.102"} {
		if have := strings.TrimSpace(netnstest.Run(t, "dig", "+short", "+tries=1", "@10.0.0.1", name)); have != want {
			t.Errorf("%s answers %q, want %s", name, have, want)
		}
	}
	if have := strings.TrimSpace(netnstest.Run(t, "dig", "+short", "+tries=1", "@10.0.0.1", "web6", "AAAA")); have != "fd42::101" {
		t.Errorf("web6 answers %q", have)
	}
	// A client that was never here has it write the file anew; one that was gets its own again.
	fresh := ask(t, netnstest.AddGuest(t, "br0", "fresh", "02:00:00:00:00:09"))
	if have := ask(t, netnstest.AddGuest(t, "br0", "third", "02:00:00:00:00:03"), "-C"); have != "10.0.0.103" {
		t.Errorf("who had 10.0.0.103 was given %q", have)
	}
	if strings.Contains(log.String(), "ignoring invalid line") {
		t.Errorf("dnsmasq said\n%s", log)
	}
	data, err := leasefile.Read(t.Context(), leases)
	if err != nil {
		t.Fatal(err)
	}
	theirs := parse(t, string(data))
	if have := string(theirs.Append(nil)); have != string(data) {
		t.Errorf("read from dnsmasq:\n%s\nwritten:\n%s", data, have)
	}
	theirs.Leases = slices.DeleteFunc(theirs.Leases, func(l leasefile.Lease) bool { return l.Addr.String() == fresh })
	for i := range theirs.Leases {
		if theirs.Leases[i].Addr.String() == "10.0.0.103" {
			theirs.Leases[i].Expiry, theirs.Leases[i].Hostname = until, "" // it was renewed
		}
	}
	if have := string(theirs.Append(nil)); !slices.Equal(sortedLines(have), sortedLines(text)) {
		t.Errorf("dnsmasq has\n%s\nof\n%s", have, text)
	}
}

// TestReadWhileDnsmasqWrites reads the file again and again while a dnsmasq empties and writes it for one client after the
// other. Read must never find half of it.
func TestReadWhileDnsmasqWrites(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "busybox", "ip")
	netnstest.Bridge(t, "br0", "10.0.0.1/24")
	leases := filepath.Join(t.TempDir(), "leases")
	var many leasefile.File
	for i := range 200 { // enough to take several writes
		many.Leases = append(many.Leases, leasefile.Lease{
			Hardware: leasefile.HardwareOf(ipam.MAC{2, 0, 0, 0, 1, byte(i)}), Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)}),
			Hostname: fmt.Sprint("guest", i), ClientID: bytes.Repeat([]byte{byte(i)}, 100),
		})
	}
	if err := os.WriteFile(leases, many.Append(nil), 0o644); err != nil {
		t.Fatal(err)
	}
	startDnsmasq(t, leases)
	g := netnstest.AddGuest(t, "br0", "busy", "02:00:00:00:00:09")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 10 {
			_ = g.Command("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-R", "-t", "5", "-T", "1", "-s", "/bin/true", "-x", fmt.Sprintf("hostname:name%d", i)).Run()
		}
	}()
	for reads := 0; ; reads++ {
		data, err := leasefile.Read(t.Context(), leases)
		if err != nil {
			t.Fatal(err)
		}
		if f := parse(t, string(data)); len(f.Leases) < 200 {
			t.Fatalf("%d leases of at least 200", len(f.Leases))
		}
		select {
		case <-done:
			if reads == 0 {
				t.Error("nothing was read meanwhile")
			}
			return
		default:
		}
	}
}
