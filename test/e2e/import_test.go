package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// importMAC is the hardware address of a client of these tests.
func importMAC(i int) string { return fmt.Sprintf("02:00:00:0a:00:%02x", i) }

// oldServer is a dnsmasq as the old services ran it, which keeps its leases in a file.
type oldServer struct {
	leases string
	said   lockedBuffer
	cmd    *exec.Cmd
}

// startOldServer gives out .200 to .219, where berth's range is not. It begins with these leases.
func startOldServer(t *testing.T, leases string) *oldServer {
	t.Helper()
	old := &oldServer{leases: filepath.Join(t.TempDir(), "dnsmasq."+bridge+".leases")}
	write(t, old.leases, leases)
	old.cmd = exec.Command("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--user=root", "--bind-interfaces",
		"--pid-file=", "--port=0", "--interface="+bridge, "--except-interface=lo", "--dhcp-authoritative", "--dhcp-no-override", "--no-ping",
		"--dhcp-range=10.64.177.200,10.64.177.219", "--dhcp-leasefile="+old.leases)
	old.cmd.Stderr = &old.said
	if err := old.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.stop)
	await(t, "dnsmasq to start", func() bool { return strings.Contains(old.said.String(), "DHCP, sockets bound") })
	return old
}

func (old *oldServer) stop() {
	if old.cmd.ProcessState == nil {
		_ = old.cmd.Process.Kill()
		_ = old.cmd.Wait()
	}
}

// restart ends the box's DHCP client and starts another, which remembers nothing.
func (b *box) restart(t *testing.T) {
	t.Helper()
	args := b.cmd.Args
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.Run(t, "ip", "-4", "addr", "flush", "dev", "eth0")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = b.cmd.Env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.cmd = cmd
}

// imported runs berth import and reads what it prints.
func (s *server) imported(args ...string) control.Import {
	s.t.Helper()
	var done control.Import
	if err := json.Unmarshal([]byte(s.must(append([]string{"import", "--json"}, args...)...)), &done); err != nil {
		s.t.Fatal(err)
	}
	return done
}

// TestImportFromDnsmasq goes over from a dnsmasq to berth under running guests. The old addresses lie outside
// berth's range, so that nobody keeps one by chance.
func TestImportFromDnsmasq(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "busybox", "ip")
	netnstest.Bridge(t, bridge, gateway+"/24")
	old := startOldServer(t, "")
	boxes := []*box{addBox(t, "web", importMAC(1), "-x", "hostname:web"), addBox(t, "db", importMAC(2))}
	before := make(map[string]string)
	for _, b := range boxes {
		await(t, b.Name+" to have an address", func() bool { return len(b.addresses(t)) == 1 })
		before[b.Name] = b.addresses(t)[0]
	}
	old.stop()
	text, err := os.ReadFile(old.leases)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody who is gone, somebody who is elsewhere, and half a line.
	write(t, old.leases, string(text)+"0 "+importMAC(3)+" 10.64.177.77 gone *\n0 "+importMAC(4)+" 192.0.2.7 far *\n0 "+importMAC(5)+" 10.64.17")

	s := serve(t, baseConfig, "")
	plan := s.imported("dnsmasq", "--leases", old.leases, "--dry-run")
	if leases := leaseCount(t, s); leases != 0 {
		t.Errorf("%d leases after a dry run", leases)
	}
	done := s.imported("dnsmasq", "--leases", old.leases)
	if !plan.DryRun || done.DryRun || describe(plan) != describe(done) {
		t.Errorf("planned:\n%s\ndone:\n%s", describe(plan), describe(done))
	}
	want := []string{"db " + before["db"], "web " + before["web"], importMAC(3) + " 10.64.177.77/24"}
	slices.Sort(want)
	if have := takenOver(done); !slices.Equal(have, want) {
		t.Errorf("took over %v, want %v", have, want)
	}
	lines := strings.Count(string(text), "\n")
	for i, want := range []string{fmt.Sprintf("%s:%d:1: the file ends in the middle", old.leases, lines+3), fmt.Sprintf("%s:%d: 192.0.2.7 lies in no network", old.leases, lines+2)} {
		if i >= len(done.LeftOut) || !strings.Contains(done.LeftOut[i].Error(), want) || done.LeftOut[i].Hint == "" {
			t.Errorf("left out: %s\nwant in place %d: %s", describe(done), i, want)
		}
	}
	if again := s.imported("dnsmasq", "--leases", old.leases); len(again.Imported) != 0 || again.Same != 3 {
		t.Errorf("a second time: %s, %d as before", describe(again), again.Same)
	}

	for _, b := range boxes {
		if err := b.cmd.Process.Signal(syscall.SIGUSR1); err != nil { // renew now
			t.Fatal(err)
		}
		bare := strings.TrimSuffix(before[b.Name], "/24")
		await(t, b.Name+" to renew", func() bool { return slices.Contains(b.told(), "renew="+bare) })
		b.restart(t)
		await(t, b.Name+" to have an address again", func() bool { return len(b.addresses(t)) == 1 })
		if have := b.addresses(t); have[0] != before[b.Name] {
			t.Errorf("%s has %v after its client was restarted, want %s", b.Name, have, before[b.Name])
		}
		if events := b.told(); slices.Contains(events, "nak") {
			t.Errorf("%s was refused: %v", b.Name, events)
		}
		g := s.awaitState(b.Name, control.Dynamic)
		if len(g.Leased) != 1 || g.Leased[0].String() != bare {
			t.Errorf("berth ls shows %+v, want a lease on %s", g, bare)
		}
	}

	// And back again: a dnsmasq goes on with the leases that berth keeps for it.
	s.stop()
	kept, err := os.ReadFile(filepath.Join(s.dir, "state", "dnsmasq."+bridge+".leases"))
	if err != nil {
		t.Fatal(err)
	}
	back := startOldServer(t, string(kept))
	for _, b := range boxes {
		bare := strings.TrimSuffix(before[b.Name], "/24")
		if err := b.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		await(t, "dnsmasq to renew "+b.Name, func() bool { return strings.Contains(back.said.String(), "DHCPACK("+bridge+") "+bare+" ") })
	}
	if log := back.said.String(); strings.Contains(log, "ignoring invalid line") || strings.Contains(log, "DHCPNAK") || strings.Contains(log, "DHCPDISCOVER") {
		t.Errorf("dnsmasq does not go on where berth ended:\n%s\nwith\n%s", log, kept)
	}
}

// takenOver lists who has what, with the length of the prefix.
func takenOver(done control.Import) []string {
	var list []string
	for _, l := range done.Imported {
		list = append(list, fmt.Sprintf("%s %s/24", l.Name, l.Addr))
	}
	slices.Sort(list)
	return list
}

// describe is all that is said of the leases.
func describe(done control.Import) string {
	text := strings.Join(takenOver(done), "\n")
	for _, p := range done.LeftOut {
		text += "\nleft out: " + p.Error()
	}
	return text
}

func leaseCount(t *testing.T, s *server) int {
	t.Helper()
	var st control.Status
	if err := json.Unmarshal([]byte(s.must("status", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	return st.Networks[0].Leases
}

// TestImportSaysWhatStandsInTheWay pins and serves before it imports.
func TestImportSaysWhatStandsInTheWay(t *testing.T) {
	netnstest.Require(t, "busybox", "ip")
	s := serve(t, baseConfig, "owner,10.64.177.50\nmine,10.64.177.51\n")
	b := addBox(t, "here", importMAC(1))
	await(t, "here to have an address", func() bool { return len(b.addresses(t)) == 1 })
	netnstest.AddGuest(t, bridge, "mine", importMAC(2))
	s.await("mine to be seen", func() bool { return s.guest("mine").MAC == importMAC(2) })
	has := strings.TrimSuffix(b.addresses(t)[0], "/24")
	leases := filepath.Join(t.TempDir(), "leases")
	write(t, leases, "0 "+importMAC(9)+" 10.64.177.50 * *\n"+
		"0 "+importMAC(2)+" 10.64.177.70 * *\n"+
		"0 "+importMAC(8)+" "+has+" * *\n"+
		"0 "+importMAC(1)+" 10.64.177.71 * *\n"+
		"0 "+importMAC(7)+" 10.64.177.1 * *\n"+
		"0 "+importMAC(6)+" 10.64.177.72 \x1b[31m *\n"+
		"duid 00:01\n"+
		"0 7 fd00::7 * *\n")
	out := s.must("import", "dnsmasq", "--leases", leases)
	for _, want := range []string{
		leases + ":1: 10.64.177.50 is leased to " + importMAC(9) + ", and pinned to owner (" + s.pins + ":1",
		leases + ":2: 10.64.177.70 is leased to mine, which is pinned to 10.64.177.51 (" + s.pins + ":2",
		leases + ":3: " + has + " belongs to here by now, not to " + importMAC(8),
		leases + ":4: here has " + has + " already, and keeps that instead of 10.64.177.71",
		leases + ":5: 10.64.177.1 is the gateway",
		leases + `:6:34: "\x1b[31m" is no host name`,
		leases + ":8: leases of DHCPv6 are not taken over; there are 1",
		"took over 0 leases, 0 as before, 7 not taken over",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %s\n%s", want, out)
		}
	}
	if out, err := s.run("import", "dnsmasq", "--leases", leases+".absent"); exitCode(err) != 1 || !strings.Contains(out, "there is no such file") || !strings.Contains(out, "hint: ") {
		t.Errorf("an absent file: %v\n%s", err, out)
	}
	if out, err := s.run("import", "lxc-net"); exitCode(err) != 1 || !strings.Contains(out, "/var/lib/misc/dnsmasq."+bridge+".leases") {
		t.Errorf("the default path: %v\n%s", err, out)
	}
}
