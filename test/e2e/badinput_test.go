package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// TestBadConfigurationIsRefusedWithAHint starts the daemon on broken files: it must
// say what is wrong and where, and must have changed nothing.
func TestBadConfigurationIsRefusedWithAHint(t *testing.T) {
	tests := []struct {
		name   string
		config string
		setup  func(t *testing.T)
		want   []string
	}{
		{name: "unknown key", config: "[network.br0]\nipv4 = \"10.64.177.1/24\"\ncolour = \"blue\"\n", want: []string{"berth.toml:3:", "colour"}},
		{name: "bad address", config: "[network.br0]\nipv4 = \"10.64.177.300/24\"\n", want: []string{"berth.toml:2:", "10.64.177.300"}},
		{name: "range outside the subnet", config: "[network.br0]\nipv4 = \"10.64.177.1/24\"\ndhcp-range = \"10.64.178.2-10.64.178.9\"\n", want: []string{"berth.toml:3:", "10.64.178.2"}},
		{name: "two problems are both shown", config: "[network.br0]\nipv4 = \"10.64.177.1/24\"\ncolour = 1\nlease-time = \"soon\"\n", want: []string{"berth.toml:3:", "berth.toml:4:"}},
		{name: "no network", config: "", want: []string{"network"}},
		{name: "not TOML", config: "[network.br0\n", want: []string{"berth.toml:1:"}},
		{name: "the bridge's name is taken by something else", config: baseConfig, setup: func(t *testing.T) {
			netnstest.Run(t, "ip", "link", "add", "br0", "type", "veth", "peer", "name", "other")
			t.Cleanup(func() { netnstest.Run(t, "ip", "link", "del", "br0") })
		}, want: []string{"br0", "not a bridge"}},
		{name: "port 67 is taken", config: baseConfig, setup: func(t *testing.T) {
			netnstest.RequirePrograms(t, "dnsmasq")
			netnstest.Bridge(t, "br0", "10.64.177.1/24")
			startDnsmasq(t, "--port=0", "--interface=br0", "--dhcp-range=10.64.177.200,10.64.177.220")
		}, want: []string{"port 67", "dnsmasq"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := prepare(t, tt.config, "")
			if tt.setup != nil {
				tt.setup(t)
			}
			before := netnstest.Run(t, "ip", "addr") + netnstest.Run(t, "nft", "list", "ruleset")
			out, err := s.run("serve", "--config", s.config, "--pins", s.pins, "--state", s.dir+"/state", "--socket", s.socket)
			if err == nil {
				t.Fatalf("the daemon started: %s", out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("the message lacks %q:\n%s", want, out)
				}
			}
			if !strings.Contains(out, "hint: ") {
				t.Errorf("no hint:\n%s", out)
			}
			if after := netnstest.Run(t, "ip", "addr") + netnstest.Run(t, "nft", "list", "ruleset"); after != before {
				t.Errorf("something was left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// TestFailedStartLeavesAnEarlierBerthsWork loses the record of what an earlier berth put there, and then can not start.
func TestFailedStartLeavesAnEarlierBerthsWork(t *testing.T) {
	netnstest.RequirePrograms(t, "dnsmasq", "nft")
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	state := func() string { return netnstest.Run(t, "nft", "list", "ruleset") + netnstest.Run(t, "bridge", "link") }
	before := state()
	for name, with := range map[string][]string{
		"beside the running one": {"--state", s.dir + "/other", "--socket", s.dir + "/othersock"},
		"in its place":           {"--state", s.dir + "/other", "--socket", s.socket},
	} {
		if name == "in its place" {
			s.stop()
			startDnsmasq(t, "--port=0", "--interface="+bridge, "--dhcp-range=10.64.177.200,10.64.177.220")
		}
		out, err := s.run(append([]string{"serve", "--config", s.config, "--pins", s.pins}, with...)...)
		if err == nil || !strings.Contains(out, "port 67") {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if after := state(); after != before {
			t.Errorf("%s: it took away\n%s\nleaving\n%s", name, before, after)
		}
		if !b.ping(gateway) {
			t.Errorf("%s: the guest is cut off", name)
		}
	}
	if out, err := s.run("down", "--state", s.dir+"/nowhere"); err == nil || !strings.Contains(out, "hint: ") {
		t.Errorf("down without the record: %v, %s", err, out)
	}
}

func TestDownBesideADaemonOnAnotherSocket(t *testing.T) {
	s := serve(t, baseConfig, "")
	other := *s
	other.socket = s.dir + "/elsewhere"
	out, err := other.run("down", "--state", s.dir+"/state")
	if err == nil || !strings.Contains(out, "hint: ") {
		t.Errorf("down: %v, %s", err, out)
	}
	netnstest.Run(t, "ip", "link", "show", bridge)
}

func TestDanglingLinkKeepsThePins(t *testing.T) {
	s := prepare(t, baseConfig, "")
	real := filepath.Join(s.dir, "mnt")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, real+"/pins", "web,10.64.177.50\n")
	if err := os.Remove(s.pins); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real+"/pins", s.pins); err != nil {
		t.Fatal(err)
	}
	s.start()
	if have := s.guest("web").Pinned; len(have) != 1 {
		t.Fatalf("pinned %v", have)
	}
	if err := os.Rename(real, real+".gone"); err != nil {
		t.Fatal(err)
	}
	s.await("the warning", func() bool { return strings.Contains(s.must("status"), "the file is gone") })
	if have := s.guest("web").Pinned; len(have) != 1 {
		t.Errorf("a link that leads nowhere took the pins away: %v", have)
	}
}

func TestReloadSaysWhatIsNotServed(t *testing.T) {
	s := serve(t, baseConfig, "")
	netnstest.Bridge(t, "br1", "10.64.178.1/24")
	another := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "br1")
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := another.ListenPacket(t.Context(), "udp4", ":67")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	write(t, s.config, baseConfig+"[network.br1]\nipv4 = \"10.64.178.1/24\"\nupstream = []\n")
	s.await("the network", func() bool { return strings.Contains(s.must("status"), "10.64.178.1/24") })
	if out := s.must("status"); !strings.Contains(out, "port 67 on br1") || !strings.Contains(out, "not healthy") {
		t.Errorf("status:\n%s", out)
	}
	write(t, s.pins, "web,10.64.177.50\n")
	s.await("the pin", func() bool { return s.guest("web").Name != "" })
	if out := s.must("status"); !strings.Contains(out, "port 67 on br1") {
		t.Errorf("a save of the pins hid the warning:\n%s", out)
	}
}

// TestFailedStartOfANewNetworkLeavesNoBridge adds a network to a configuration that served before; port 67 is taken
// by then.
func TestFailedStartOfANewNetworkLeavesNoBridge(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	s.stop()
	startDnsmasq(t, "--port=0", "--interface="+bridge, "--dhcp-range=10.64.177.200,10.64.177.220")
	out, err := func() (string, error) {
		write(t, s.config, baseConfig+"[network.br3]\nipv4 = \"10.64.179.1/24\"\nupstream = []\n")
		return s.run("serve", "--config", s.config, "--pins", s.pins, "--state", s.dir+"/state", "--socket", s.socket)
	}()
	if err == nil || !strings.Contains(out, "port 67") {
		t.Errorf("serve: %v, %s", err, out)
	}
	if links := netnstest.Run(t, "ip", "-br", "link"); strings.Contains(links, "br3") || !strings.Contains(links, bridge) {
		t.Errorf("links after the failed start:\n%s", links)
	}
	if !b.ping(gateway) {
		t.Error("the guest is cut off")
	}
}

func TestServeLeavesAFileThatIsNoSocket(t *testing.T) {
	s := prepare(t, baseConfig, "")
	write(t, s.socket, "precious")
	out, err := s.run("serve", "--config", s.config, "--pins", s.pins, "--state", s.dir+"/state", "--socket", s.socket)
	if err == nil || !strings.Contains(out, "is no socket") || read(t, s.socket) != "precious" {
		t.Errorf("serve: %v, %s", err, out)
	}
}

func TestPort53TakenLeavesDHCPAtWork(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "ip")
	netnstest.Bridge(t, "br0", "10.64.177.1/24")
	stop := startDnsmasq(t, "--port=53", "--listen-address=10.64.177.1", "--no-resolv")
	s := serve(t, baseConfig, "")
	addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	if out := s.must("status"); !strings.Contains(out, "53") || !strings.Contains(out, "dnsmasq") || !strings.Contains(out, "not healthy") {
		t.Errorf("status does not name who has port 53:\n%s", out)
	}
	stop()
	s.await("DNS to answer once the port is free", func() bool {
		out := s.must("status", "--json")
		return strings.Contains(out, `"healthy": true`)
	})
	if have := lookup(t, "cent01.lxd"); have == "" {
		t.Error("DNS does not answer")
	}
}

// TestBadPinsAreRefusedAlone saves pins files with bad lines: their neighbours apply.
func TestBadPinsAreRefusedAlone(t *testing.T) {
	s := serve(t, baseConfig, "good,10.64.177.50\n")
	addBox(t, "good", "")
	s.awaitState("good", control.Settled)
	write(t, s.pins, strings.Join([]string{
		"good,10.64.177.51",       // 1
		"gw,10.64.177.1",          // 2: the gateway
		"far,192.0.2.7",           // 3: outside
		"a,10.64.177.60",          // 4
		"b,10.64.177.60",          // 5: second owner
		"id:01:02,10.64.177.61",   // 6: not served
		"bad name,10.64.177.62",   // 7
		"c,10.64.177.300",         // 8
		"net,10.64.177.0",         // 9
		"c6,[fd00::1]",            // 10
		"last,10.64.177.70 # end", // 11
	}, "\n")+"\n")
	s.await("the good line to apply", func() bool { return s.guest("good").Configured[0].String() == "10.64.177.51" })
	status := s.must("status")
	for _, line := range []string{"2", "3", "5", "6", "7", "8", "9", "10"} {
		if !strings.Contains(status, "warning: "+s.pins+":"+line+":") {
			t.Errorf("status does not name line %s:\n%s", line, status)
		}
	}
	for _, line := range []string{"1", "4", "11"} {
		if strings.Contains(status, "warning: "+s.pins+":"+line+":") {
			t.Errorf("status complains of line %s:\n%s", line, status)
		}
	}
	if have := s.guest("last").Pinned; len(have) != 1 {
		t.Error("the last line did not apply")
	}
	if !strings.Contains(status, "both a and b") {
		t.Errorf("the two owners are not both named:\n%s", status)
	}
	write(t, s.pins, "good,10.64.177.51\n")
	s.await("the warnings to go", func() bool { return strings.Contains(s.must("status", "--json"), `"healthy": true`) })
}

func TestBadSaveKeepsTheLastGoodState(t *testing.T) {
	s := serve(t, baseConfig, "good,10.64.177.50\n")
	addBox(t, "good", "")
	s.awaitState("good", control.Settled)
	write(t, s.config, baseConfig+"nonsense = 1\n")
	s.await("the warning", func() bool { return strings.Contains(s.must("status"), "nonsense") })
	if _, err := s.run("reload"); err == nil {
		t.Error("reload of a bad file succeeded")
	}
	if g := s.guest("good"); g.State != control.Settled || lookup(t, "good.lxd") != "10.64.177.50" {
		t.Errorf("the last good state is not in force: %+v", g)
	}
	if err := os.Remove(s.pins); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.pins, 0o755); err != nil { // unreadable, also for root
		t.Fatal(err)
	}
	s.await("the warning", func() bool { return strings.Contains(s.must("status"), s.pins) })
	if have := s.guest("good").Pinned; len(have) != 1 {
		t.Errorf("an unreadable pins file took the pins away: %v", have)
	}
	s.stop()
	write(t, s.config, baseConfig)
	s.start() // the pins come from the ledger now
	if have := s.guest("good").Pinned; len(have) != 1 {
		t.Errorf("after a start with an unreadable pins file: %v", have)
	}
	if err := os.Remove(s.pins); err != nil {
		t.Fatal(err)
	}
	write(t, s.pins, "good,10.64.177.50\n")
	s.await("health", func() bool { return strings.Contains(s.must("status", "--json"), `"healthy": true`) })
}

// TestRefusedCommands checks exit codes and hints of what a user can type wrong.
func TestRefusedCommands(t *testing.T) {
	s := serve(t, baseConfig, "a,10.64.177.50\n")
	tests := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"pin", "b", "10.64.177.50"}, 1, "pinned to a ("},
		{[]string{"pin", "b", "10.64.177.1"}, 1, "gateway"},
		{[]string{"pin", "b", "10.64.178.1"}, 1, "outside"},
		{[]string{"pin", "b", "10.64.177.255"}, 1, "broadcast"},
		{[]string{"pin", "b!", "10.64.177.60"}, 1, "b!"},
		{[]string{"pin", "b"}, 2, "missing ADDRESS"},
		{[]string{"pin", "b", "nowhere"}, 2, "no address"},
		{[]string{"pin", "b", "10.64.177.60", "--wait", "long"}, 2, "--wait"},
		{[]string{"pin", "b", "10.64.177.60", "--frobnicate"}, 2, "frobnicate"},
		{[]string{"unpin", "nobody"}, 1, "nobody"},
		{[]string{"swap", "a", "nobody"}, 1, "nobody"},
		{[]string{"show", "nobody"}, 1, "nobody"},
		{[]string{"pim", "a"}, 2, "berth pin"},
	}
	before := read(t, s.pins)
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			out, err := s.run(tt.args...)
			if err == nil || exitCode(err) != tt.code {
				t.Errorf("exit %v, want %d", err, tt.code)
			}
			if !strings.Contains(out, tt.want) || !strings.Contains(out, "hint: ") {
				t.Errorf("printed %q, want %q and a hint", out, tt.want)
			}
			jsonOut, _ := s.run(append(tt.args, "--json")...)
			var problem struct{ Code, Message, Hint string }
			if err := json.Unmarshal([]byte(strings.SplitN(jsonOut, "\n", 2)[0]), &problem); err != nil || problem.Code == "" || problem.Message == "" {
				t.Errorf("--json printed %q", jsonOut)
			}
		})
	}
	if after := read(t, s.pins); after != before {
		t.Errorf("the pins file changed:\n%s", after)
	}
}

func TestNoDaemonSaysHowToStartIt(t *testing.T) {
	s := prepare(t, baseConfig, "")
	out, err := s.run("ls")
	if exitCode(err) != 1 || !strings.Contains(out, "no berth daemon answers") || !strings.Contains(out, "berth serve") {
		t.Errorf("exit %v, printed %q", err, out)
	}
}

func TestFullRange(t *testing.T) {
	s := serve(t, strings.Replace(baseConfig, "10.64.177.10-10.64.177.99", "10.64.177.10-10.64.177.10", 1), "")
	addBox(t, "a", "")
	s.awaitState("a", control.Dynamic)
	addBox(t, "b", "")
	s.await("the warning", func() bool {
		return strings.Contains(s.must("status"), "range") && strings.Contains(s.must("status"), "full")
	})
	s.must("pin", "b", "10.64.177.200")
	s.awaitState("b", control.Settled)
}

func TestFullDisk(t *testing.T) {
	netnstest.Require(t, "ip", "mount")
	netnstest.RequireRealRoot(t)
	dir := t.TempDir()
	netnstest.Run(t, "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", dir)
	t.Cleanup(func() { netnstest.Run(t, "umount", "-l", dir) })
	s := prepare(t, baseConfig, "a,10.64.177.50\n")
	if err := os.Symlink(dir, filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	addBox(t, "a", "")
	s.awaitState("a", control.Settled)
	fill := filepath.Join(dir, "fill")
	_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=4k").Run() // ends when the disk is full
	var out, before string
	var err error
	for i := 0; err == nil && i < 500; i++ { // what is left of the last page still takes a few
		before = read(t, s.pins)
		out, err = s.run("pin", "b", fmt.Sprintf("10.64.177.%d", 60+i%2))
	}
	if err == nil || !strings.Contains(out, "hint: ") {
		t.Errorf("a pin on a full disk: %v, %s", err, out)
	}
	if have := read(t, s.pins); have != before {
		t.Errorf("the refused pin was left in the file: %q, was %q", have, before)
	}
	if g := s.guest("a"); g.State != control.Settled {
		t.Errorf("the disk took a's address: %+v", g)
	}
	if out := s.must("status"); !strings.Contains(out, "not healthy") {
		t.Errorf("status is quiet:\n%s", out)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	s.await("the ledger to try again", func() bool { _, err := s.run("pin", "b", "10.64.177.60"); return err == nil })
	s.await("health", func() bool { return strings.Contains(s.must("status", "--json"), `"healthy": true`) })
}
