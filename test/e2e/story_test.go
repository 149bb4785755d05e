package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/control"
	"berth/internal/netnstest"
)

func TestRunningGuestTakesItsPinAtOnce(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "02:00:00:00:00:01")
	other := addBox(t, "cent02", "02:00:00:00:00:02")
	old := s.awaitState("cent01", control.Dynamic).Configured[0].String()
	s.awaitState("cent02", control.Dynamic)
	bystander := startTrain(t, s.guest("cent02").Configured[0].String())
	conn := openTCP(t, b.Guest, old)

	var got control.Result
	if err := json.Unmarshal([]byte(s.must("pin", "cent01", "10.64.177.101", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if !ping("10.64.177.101") || !other.ping("10.64.177.101") {
		t.Error("the new address does not answer the host and another guest")
	}
	if have := lookup(t, "cent01.lxd"); have != "10.64.177.101" {
		t.Errorf("DNS answers %q after the command returned", have)
	}
	if have := lookup(t, "CENT01"); have != "10.64.177.101" {
		t.Errorf("DNS answers %q to the bare name in capitals", have)
	}
	if have := reverse(t, "10.64.177.101"); have != "cent01.lxd." {
		t.Errorf("PTR is %q", have)
	}
	if have := reverse(t, old); have != "" {
		t.Errorf("the old address still has the name %q", have)
	}
	if len(got.From) != 1 || got.From[0].String() != old || got.To[0].String() != "10.64.177.101" || got.TookUS <= 0 || len(got.Steps) == 0 {
		t.Errorf("result %+v", got)
	}
	s.awaitState("cent01", control.Settled)
	if g := s.guest("cent01"); len(g.Draining) != 1 || g.Draining[0].String() != old {
		t.Errorf("draining %v, want %s", g.Draining, old)
	}
	conn.mustLive(t, 50)
	if lost := bystander.stop(); lost > 0 {
		t.Errorf("another guest lost %d pings", lost)
	}
	if want := []string{"bound=" + old, "renew=10.64.177.101"}; !slices.Equal(b.told(), want) {
		t.Errorf("the client was told %v, want %v", b.told(), want)
	}
}

// TestQuickMoves changes a pin again while the client still asks about the change before.
func TestQuickMoves(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	c := control.NewClient(s.socket)
	for i := range 12 {
		if _, err := c.Pin(t.Context(), control.PinRequest{Name: "cent01", Addr: mustAddr(fmt.Sprintf("10.64.177.%d", 101+i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitState("cent01", control.Settled)
	if have := b.addresses(t); !slices.Contains(have, "10.64.177.112/24") {
		t.Errorf("addresses %v", have)
	}
	if slices.Contains(b.told(), "lost") || slices.Contains(b.told(), "nak") {
		t.Errorf("the client lost its address: %v", b.told())
	}
}

// TestDrainingAddressIsGivenUp pins an address that another guest has just left.
func TestDrainingAddressIsGivenUp(t *testing.T) {
	s := serve(t, baseConfig, "")
	a, b := addBox(t, "cent01", ""), addBox(t, "cent02", "")
	old := s.awaitState("cent01", control.Dynamic).Configured[0].String()
	s.awaitState("cent02", control.Dynamic)
	s.must("pin", "cent01", "10.64.177.101", "--wait", "settled")
	s.must("pin", "cent02", old, "--wait", "settled")
	if have := a.addresses(t); !slices.Equal(have, []string{"10.64.177.101/24"}) {
		t.Errorf("cent01 has %v: two guests answer at %s", have, old)
	}
	if have := b.addresses(t); !slices.Contains(have, old+"/24") {
		t.Errorf("cent02 has %v, want %s", have, old)
	}
}

func TestSquattersAreNamed(t *testing.T) {
	s := serve(t, baseConfig, "web,10.64.177.50\n")
	addBox(t, "web", "")
	s.awaitState("web", control.Settled)
	g := netnstest.AddGuest(t, bridge, "thief", "")
	g.Run(t, "ip", "addr", "add", "10.64.177.50/24", "dev", "eth0")
	g.Run(t, "ip", "addr", "add", "10.64.177.1/24", "dev", "eth0")
	s.await("the thief to be seen", func() bool { return s.guest("thief").State == control.Drift })
	if note := s.guest("thief").Note; !strings.Contains(note, "10.64.177.50, which is pinned to web") {
		t.Errorf("note %q", note)
	}
	s.await("the warning", func() bool { return strings.Contains(s.must("status"), "thief (port vthief of br0) uses 10.64.177.50") })
}

// TestAFailedMoveTellsNoLies has a guest that drops ARP for its pin, and then goes away.
func TestAFailedMoveTellsNoLies(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	old := s.awaitState("cent01", control.Dynamic).Configured[0].String()
	b.Run(t, "sh", "-c", "echo 8 >/proc/sys/net/ipv4/conf/eth0/arp_ignore")
	out, err := s.run("pin", "cent01", "10.64.177.101")
	if exitCode(err) != 1 || !strings.Contains(out, "could not be moved") || !strings.Contains(out, "hint: ") {
		t.Errorf("pin: %v, %s", err, out)
	}
	if have := lookup(t, "cent01.lxd"); have != old {
		t.Errorf("DNS answers %q, want %s, which it has", have, old)
	}
	if g := s.guest("cent01"); g.State != control.Drift || len(g.Draining) != 0 {
		t.Errorf("state %+v", g)
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	netnstest.Run(t, "ip", "link", "del", b.Port)
	s.awaitState("cent01", control.Stopped)
	await(t, "DNS to answer the pin of who does not run", func() bool { return lookup(t, "cent01.lxd") == "10.64.177.101" })
	if have := reverse(t, old); have != "" {
		t.Errorf("the address it left still has the name %q", have)
	}
}

// TestEvictionThatFailsMakesNoDuplicate pins the address of a guest that can not be moved away.
func TestEvictionThatFailsMakesNoDuplicate(t *testing.T) {
	s := serve(t, baseConfig, "")
	a, b := addBox(t, "a", ""), addBox(t, "b", "")
	wanted := s.awaitState("a", control.Dynamic).Configured[0].String()
	s.awaitState("b", control.Dynamic)
	// It neither answers at another address nor listens to its DHCP client's renewal.
	a.Run(t, "sh", "-c", "echo 8 >/proc/sys/net/ipv4/conf/eth0/arp_ignore")
	if out, err := s.run("pin", "b", wanted); err == nil {
		t.Errorf("the pin succeeded: %s", out)
	}
	for range 20 {
		_, _ = s.run("pin", "b", wanted) // as impatient people do
		if slices.Contains(a.addresses(t), wanted+"/24") && slices.Contains(b.addresses(t), wanted+"/24") {
			t.Fatalf("both have %s", wanted)
		}
	}
}

func TestDNSIsTrueWhileAGuestDrifts(t *testing.T) {
	s := serve(t, baseConfig, "web,10.64.177.70\n")
	g := netnstest.AddGuest(t, bridge, "web", "")
	s.await("it to be plugged in", func() bool { return s.guest("web").Port != "" })
	g.Run(t, "ip", "addr", "add", "10.64.177.71/24", "dev", "eth0")
	s.awaitState("web", control.Settled) // moved by the patrol, at once after it was plugged in
	if have := lookup(t, "web.lxd"); have != "10.64.177.70" {
		t.Errorf("DNS answers %q", have)
	}
}

func TestWaitEndsWhenTheGuestGoes(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		out, _ := s.run("pin", "cent01", "10.64.177.101", "--wait", "settled")
		done <- out
	}()
	s.await("the move", func() bool { return slices.Contains(b.addresses(t), "10.64.177.101/24") })
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	netnstest.Run(t, "ip", "link", "del", b.Port)
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Error("--wait settled still waits for a guest that is gone")
	}
}

func TestUnpinOfAMereNameLeavesNothing(t *testing.T) {
	s := serve(t, baseConfig, "")
	s.must("pin", "ghost", "10.64.177.60")
	if out := s.must("unpin", "ghost"); !strings.Contains(out, "never had") {
		t.Errorf("unpin printed %q", out)
	}
	if g := s.guest("ghost"); g.Name != "" {
		t.Errorf("a row is left: %+v", g)
	}
}

func TestDrainEnds(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "")
	old := s.awaitState("cent01", control.Dynamic).Configured[0].String()
	s.must("pin", "cent01", "10.64.177.101", "--drain", "2s", "--wait", "settled")
	if !ping(old) {
		t.Error("the old address does not answer while it drains")
	}
	await(t, "the old address to go", func() bool { return !slices.Contains(b.addresses(t), old+"/32") })
	if have := b.addresses(t); !slices.Equal(have, []string{"10.64.177.101/24"}) {
		t.Errorf("addresses %v after the drain", have)
	}
	if have := s.guest("cent01"); have.State != control.Settled {
		t.Errorf("state %s after the drain", have.State)
	}
}

func TestSwapBySavingTheFile(t *testing.T) {
	s := serve(t, baseConfig, "blue,10.64.177.50\ngreen,10.64.177.51\n")
	blue, green := addBox(t, "blue", ""), addBox(t, "green", "")
	other := addBox(t, "other", "")
	s.awaitState("blue", control.Settled)
	s.awaitState("green", control.Settled)
	bystander := startTrain(t, s.awaitState("other", control.Dynamic).Configured[0].String())
	saved := time.Now()
	write(t, s.pins, "blue,10.64.177.51\ngreen,10.64.177.50\n")
	await(t, "the swap", func() bool {
		return slices.Contains(blue.addresses(t), "10.64.177.51/24") && slices.Contains(green.addresses(t), "10.64.177.50/24")
	})
	if took := time.Since(saved); took > time.Second {
		t.Errorf("the swap took %s", took)
	}
	s.awaitState("blue", control.Settled)
	s.awaitState("green", control.Settled)
	for name, want := range map[string]string{"blue": "10.64.177.51", "green": "10.64.177.50"} {
		if have := lookup(t, name+".lxd"); have != want {
			t.Errorf("DNS answers %s for %s, want %s", have, name, want)
		}
	}
	if !other.ping("10.64.177.50") || !other.ping("10.64.177.51") {
		t.Error("a third guest does not reach the swapped addresses")
	}
	for name, b := range map[string]*box{"blue": blue, "green": green} {
		if have := b.addresses(t); len(have) != 1 {
			t.Errorf("%s has %v, want its new address alone", name, have)
		}
	}
	if lost := bystander.stop(); lost > 0 {
		t.Errorf("a third guest lost %d pings", lost)
	}
}

func TestSwapCommand(t *testing.T) {
	s := serve(t, baseConfig, "# mine\nblue,10.64.177.50 # b\n\ngreen,10.64.177.51\n")
	addBox(t, "blue", "")
	addBox(t, "green", "")
	s.awaitState("blue", control.Settled)
	s.awaitState("green", control.Settled)
	dry := s.must("swap", "blue", "green", "--dry-run")
	if !strings.Contains(dry, "blue") || s.guest("blue").Configured[0] != mustAddr("10.64.177.50") {
		t.Errorf("dry run printed %q, or did something", dry)
	}
	s.must("swap", "blue", "green")
	s.awaitState("blue", control.Settled)
	if have := s.guest("blue").Configured[0].String(); have != "10.64.177.51" {
		t.Errorf("blue has %s", have)
	}
	if have := read(t, s.pins); have != "# mine\nblue,10.64.177.51 # b\n\ngreen,10.64.177.50\n" {
		t.Errorf("the pins file is now\n%s", have)
	}
}

func TestPinEvictsADynamicHolder(t *testing.T) {
	s := serve(t, baseConfig, "")
	a, b := addBox(t, "a", ""), addBox(t, "b", "")
	wanted := s.awaitState("a", control.Dynamic).Configured[0].String()
	s.awaitState("b", control.Dynamic)
	s.must("pin", "b", wanted)
	if have := b.addresses(t); !slices.Contains(have, wanted+"/24") {
		t.Errorf("b has %v, want %s", have, wanted)
	}
	await(t, "a to have another address alone", func() bool {
		have := a.addresses(t)
		return len(have) == 1 && have[0] != wanted+"/24"
	})
	if !ping(strings.TrimSuffix(a.addresses(t)[0], "/24")) {
		t.Error("the evicted guest does not answer at its new address")
	}
	s.awaitState("b", control.Settled)
}

func TestPinnedBeforeItExists(t *testing.T) {
	s := serve(t, baseConfig, "")
	out := s.must("pin", "cent09", "10.64.177.109")
	if !strings.Contains(out, "gets it when it starts") {
		t.Errorf("pin printed %q", out)
	}
	if have := s.guest("cent09").State; have != control.Absent {
		t.Errorf("state %s, want absent", have)
	}
	if have := lookup(t, "cent09.lxd"); have != "10.64.177.109" {
		t.Errorf("DNS answers %q for a pinned guest that does not run", have)
	}
	addBox(t, "cent09", "")
	if g := s.awaitState("cent09", control.Settled); g.Configured[0].String() != "10.64.177.109" {
		t.Errorf("it got %v", g.Configured)
	}
}

func TestUnpinKeepsTheAddress(t *testing.T) {
	s := serve(t, baseConfig, "cent01,10.64.177.101\n")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Settled)
	s.must("unpin", "cent01")
	g := s.guest("cent01")
	if g.State != control.Dynamic || len(g.Leased) != 1 || g.Leased[0].String() != "10.64.177.101" {
		t.Errorf("after unpin: %+v", g)
	}
	if have := read(t, s.pins); strings.Contains(have, "cent01") {
		t.Errorf("the line is still there: %q", have)
	}
	if have := b.addresses(t); !slices.Equal(have, []string{"10.64.177.101/24"}) {
		t.Errorf("addresses %v", have)
	}
}

func TestIdentityIsThePort(t *testing.T) {
	s := serve(t, baseConfig, "a,10.64.177.50\nb,10.64.177.51\nc,10.64.177.52\n")
	addBox(t, "a", "")                                  // sends no host name
	addBox(t, "b", "", "-x", "hostname:a")              // claims another's
	addBox(t, "c", "", "-x", "0x3d:ff0102030405060708") // a cloned client-id …
	addBox(t, "d", "", "-x", "0x3d:ff0102030405060708") // … shared with this one
	for name, want := range map[string]string{"a": "10.64.177.50", "b": "10.64.177.51", "c": "10.64.177.52"} {
		if g := s.awaitState(name, control.Settled); g.Configured[0].String() != want {
			t.Errorf("%s got %v, want %s", name, g.Configured, want)
		}
	}
	if g := s.awaitState("d", control.Dynamic); g.Configured[0].String() == "10.64.177.52" {
		t.Error("the clone got the other's address")
	}
	if have := lookup(t, "a.lxd"); have != "10.64.177.50" {
		t.Errorf("a's name was claimed: %s", have)
	}
}

func TestRebootedGuestIsTheSameGuest(t *testing.T) {
	s := serve(t, baseConfig, "")
	b := addBox(t, "cent01", "02:00:00:00:00:01")
	old := s.awaitState("cent01", control.Dynamic).Configured[0]
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	netnstest.Run(t, "ip", "link", "del", b.Port)
	s.awaitState("cent01", control.Stopped)
	if have := lookup(t, "cent01.lxd"); have != old.String() {
		t.Errorf("DNS answers %q for a stopped guest with a lease, want %s", have, old)
	}
	b.Plug(t, bridge, "vreborn", "eth0", "02:00:00:00:00:99")
	client := b.Command("busybox", "udhcpc", "-f", "-i", "eth0", "-s", strings.TrimSuffix(b.events, "events")+"script")
	client.Env = append(os.Environ(), "EVENTS="+b.events)
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Process.Kill(); _ = client.Wait() })
	if g := s.awaitState("cent01", control.Dynamic); g.Configured[0] != old {
		t.Errorf("after the reboot it has %v, want %s as before", g.Configured, old)
	}
}

func TestThreeRenewalsAfterAMove(t *testing.T) {
	s := serve(t, strings.Replace(baseConfig, `"1h"`, `"10s"`, 1), "")
	b := addBox(t, "cent01", "")
	s.awaitState("cent01", control.Dynamic)
	s.must("pin", "cent01", "10.64.177.101", "--drain", "1s", "--wait", "settled")
	n := len(b.told())
	train := startTrain(t, "10.64.177.101")
	// udhcpc takes no lease for shorter than 30 s, and renews at half of it.
	awaitLong(t, 90*time.Second, "three renewals", func() bool { return len(b.told()) >= n+3 })
	for _, event := range b.told()[n:] {
		if event != "renew=10.64.177.101" {
			t.Errorf("after the move the client was told %q", event)
		}
	}
	if have := b.addresses(t); !slices.Equal(have, []string{"10.64.177.101/24"}) {
		t.Errorf("addresses %v after three renewals", have)
	}
	if lost := train.stop(); lost > 0 {
		t.Errorf("%d pings lost over three renewals", lost)
	}
}

func TestRestartTakesOver(t *testing.T) {
	s := serve(t, baseConfig, "cent01,10.64.177.101\n")
	b := addBox(t, "cent01", "")
	addBox(t, "cent02", "")
	s.awaitState("cent01", control.Settled)
	dynamic := s.awaitState("cent02", control.Dynamic).Configured[0]
	train := startTrain(t, "10.64.177.101")
	before := netnstest.Run(t, "ip", "addr", "show", "dev", bridge)
	s.stop()
	if !b.ping(gateway) {
		t.Error("stopping the daemon cut the guest off its gateway")
	}
	if after := netnstest.Run(t, "ip", "addr", "show", "dev", bridge); after != before {
		t.Errorf("stopping changed the bridge:\n%s\nbefore:\n%s", after, before)
	}
	if rules := netnstest.Run(t, "nft", "list", "ruleset"); !strings.Contains(rules, "masquerade") {
		t.Errorf("stopping took NAT away:\n%s", rules)
	}
	s.start()
	s.awaitState("cent01", control.Settled)
	if g := s.awaitState("cent02", control.Dynamic); g.Leased[0] != dynamic {
		t.Errorf("after the restart cent02's lease is %v, want %s", g.Leased, dynamic)
	}
	if lost := train.stop(); lost > 0 {
		t.Errorf("%d pings lost over stop and start", lost)
	}
}

func TestDownTakesAwayExactlyBerthsOwn(t *testing.T) {
	netnstest.Require(t, "ip", "nft")
	state := func() string {
		return netnstest.Run(t, "nft", "list", "ruleset") + netnstest.Run(t, "ip", "-br", "link") + netnstest.Run(t, "ip", "route") +
			read(t, "/proc/sys/net/ipv4/ip_forward")
	}
	before := state()
	s := serve(t, baseConfig, "")
	if state() == before {
		t.Fatal("the daemon changed nothing")
	}
	if out, err := s.run("down", "--state", s.dir+"/state"); err == nil {
		t.Errorf("down beside a running daemon succeeded: %s", out)
	}
	s.stop()
	dry := s.must("down", "--state", s.dir+"/state", "--dry-run")
	if !strings.Contains(dry, "br0") || state() == before {
		t.Errorf("dry run printed %q, or did something", dry)
	}
	write(t, s.config, strings.ReplaceAll(baseConfig, "br0", "other0")) // the configuration does not matter
	s.must("down", "--state", s.dir+"/state")
	if after := state(); after != before {
		t.Errorf("after down:\n%s\nbefore:\n%s", after, before)
	}
}

// train is a run of pings, one every 10 ms.
type train struct {
	cmd *exec.Cmd
	out *lockedBuffer
}

func startTrain(t testing.TB, addr string) *train {
	t.Helper()
	tr := &train{out: &lockedBuffer{}}
	tr.cmd = exec.Command("ping", "-i", "0.01", "-W", "1", addr)
	tr.cmd.Stdout = tr.out
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if tr.cmd.ProcessState == nil {
			_ = tr.cmd.Process.Kill()
			_ = tr.cmd.Wait()
		}
	})
	await(t, "the first ping", func() bool { return strings.Contains(tr.out.String(), "time=") })
	return tr
}

// stop ends the train and counts the pings that were not answered, but for the last,
// whose answer may be under way.
func (tr *train) stop() int {
	_ = tr.cmd.Process.Signal(os.Interrupt)
	_ = tr.cmd.Wait()
	var sent, received int
	for _, line := range strings.Split(tr.out.String(), "\n") {
		if strings.Contains(line, "packets transmitted") {
			_, _ = fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &received)
		}
	}
	if sent == 0 {
		return 1
	}
	return max(sent-received-1, 0)
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
