package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// inside makes this binary one of the programs that run in a guest; its value says which.
const inside = "BERTH_TEST_INSIDE"

func TestMain(m *testing.M) {
	if role := os.Getenv(inside); role != "" {
		if err := play(role); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	netnstest.Main(m)
}

// plug makes a guest on a bridge, and describes it as the guest package does.
func plug(t *testing.T) (*netnstest.Guest, guest.Guest) {
	t.Helper()
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "10.9.0.1/24")
	g := netnstest.AddGuest(t, "br0", "web", "")
	var st unix.Stat_t
	if err := unix.Stat(g.Path, &st); err != nil {
		t.Fatal(err)
	}
	known := guest.Guest{
		Name: g.Name, NIC: g.NIC, Port: g.Port, Bridge: "br0", Runtime: guest.RuntimeNetns,
		Namespace: guest.Namespace{Inode: st.Ino, Path: g.Path},
	}
	err := g.Do(func() error {
		nic, err := net.InterfaceByName(g.NIC)
		if err == nil {
			known.NICIndex, known.MAC = nic.Index, ipam.MACFrom(nic.HardwareAddr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return g, known
}

// program is one that runs in a guest.
type program struct {
	cmd   *exec.Cmd
	lines chan string // what it says
}

// start runs cmd in the guest, or on the host for a nil guest, until the test ends. With a user namespace its root is an ordinary user of the host.
func start(t *testing.T, g *netnstest.Guest, cmd *exec.Cmd, user bool) *program {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, in, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if user {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostRoot, Size: 65536}}
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
		cmd.SysProcAttr.Credential = &syscall.Credential{}
	}
	// The thread that starts it is there until the test ends: a program is killed with its starter.
	started, stop := make(chan error), make(chan struct{})
	do := func(f func() error) error { runtime.LockOSThread(); return f() }
	if g != nil {
		do = g.Do
	}
	go func() {
		_ = do(func() error {
			started <- cmd.Start()
			<-stop
			return nil
		})
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	in.Close()
	stdin.Close()
	p := &program{cmd: cmd, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		hold.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
		close(stop)
	})
	return p
}

// hostRoot is who the root of a user namespace is on the host.
const hostRoot = 1200000

// says waits for a line that contains text, and returns it.
func (p *program) says(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended without saying %q", p.cmd.Path, text)
			}
			if strings.Contains(line, text) {
				return line
			}
			t.Logf("%s: %s", filepath.Base(p.cmd.Path), line)
		case <-timeout:
			t.Fatalf("%s does not say %q", p.cmd.Path, text)
		}
	}
}

// daemon runs a script under a name of its own inside the guest; it does nothing.
func daemon(t *testing.T, g *netnstest.Guest, name string, args ...string) *program {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho up\nread x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, g, exec.Command(path, args...), false)
	p.says(t, "up")
	return p
}

// self is this test binary, inside the guest, in a role; name is what the kernel calls it.
func self(t *testing.T, g *netnstest.Guest, name, role string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("/run/bin", name)
	if err := os.MkdirAll("/run/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	// A copy: the root of a user namespace may not be allowed to walk to the original.
	from, err := os.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	to.Close()
	t.Cleanup(func() { os.Remove(path) })
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), inside+"="+role)
	return cmd
}

// write makes a file below /run, which the guests of the test share.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}
