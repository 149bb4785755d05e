package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Run runs a command and fails the test with its output when it fails; it returns the output.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Bridge creates a bridge that is up and is removed with the test. cidr may be empty.
func Bridge(t testing.TB, name, cidr string) {
	t.Helper()
	Run(t, "ip", "link", "add", name, "type", "bridge", "forward_delay", "0")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	if cidr != "" {
		Run(t, "ip", "addr", "add", cidr, "dev", name)
	}
	Run(t, "ip", "link", "set", name, "up")
}

// Guest is a network namespace plugged into a bridge, known as /run/netns/NAME.
type Guest struct {
	Name string
	Port string // the host end of its veth
	NIC  string // the guest's end
	Path string // /run/netns/NAME
}

// AddGuest creates a namespace called name with an interface eth0 of the given
// hardware address ("" for a random one), plugged into bridge as the port "v"+name.
func AddGuest(t testing.TB, bridge, name, mac string) *Guest {
	t.Helper()
	g := &Guest{Name: name, Port: "v" + name, NIC: "eth0", Path: "/run/netns/" + name}
	Run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	g.Plug(t, bridge, g.Port, g.NIC, mac)
	return g
}

// Plug adds one more interface of the guest to bridge.
func (g *Guest) Plug(t testing.TB, bridge, port, nic, mac string) {
	t.Helper()
	Run(t, "ip", "link", "add", port, "type", "veth", "peer", "name", nic, "netns", g.Name)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", port).Run() })
	if mac != "" {
		g.Run(t, "ip", "link", "set", nic, "address", mac)
	}
	Run(t, "ip", "link", "set", port, "master", bridge)
	Run(t, "ip", "link", "set", port, "up")
	g.Run(t, "ip", "link", "set", "lo", "up")
	g.Run(t, "ip", "link", "set", nic, "up")
}

// Command is a command that will run inside the guest's network namespace. It
// dies with the test binary, as everything in its process namespace does.
func (g *Guest) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + g.Path, "--", name}, args...)...)
}

// Run runs a command inside the guest and fails the test when it fails.
func (g *Guest) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := g.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("in %s: %s %s: %v\n%s", g.Name, name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Do runs f on a thread that is inside the guest's network namespace and dies
// afterwards; sockets that f opens stay there.
func (g *Guest) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine and nobody inherits its namespace.
		runtime.LockOSThread()
		ns, err := os.Open(g.Path)
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter namespace %s: %w", g.Name, err)
			return
		}
		done <- f()
	}()
	return <-done
}
