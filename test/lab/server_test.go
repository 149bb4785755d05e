package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// network is the configuration that the tests vary.
const network = `[network.` + bridge + `]
ipv4 = "` + gateway + `/24"
dhcp-range = "10.64.177.10-10.64.177.99"
lease-time = "1h"
domain = "lxd"
drain = "30s"
upstream = []
`

// server is a running berth serve on LXD's bridge.
type server struct {
	t            testing.TB
	dir          string
	config, pins string
	socket       string
	cmd          *exec.Cmd
	exited       chan error
	log          *lockedBuffer
}

// serve starts berth, boots the containers, so that none has an address from a test before, and waits until
// each has one from this server.
func serve(t testing.TB, config, pins string) *server {
	t.Helper()
	requireLXD(t)
	s := prepare(t, config, pins)
	s.start()
	boot(t, containers...)
	for _, name := range containers {
		s.await(name+" to have an address", func() bool {
			g := s.look(name)
			return g.State == control.Dynamic || g.State == control.Settled
		})
	}
	return s
}

// prepare writes the files of a server; what it does is undone with the test.
func prepare(t testing.TB, config, pins string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{
		t: t, dir: dir, log: &lockedBuffer{},
		config: filepath.Join(dir, "berth.toml"), pins: filepath.Join(dir, "pins"), socket: filepath.Join(dir, "sock"),
	}
	write(t, s.config, config)
	write(t, s.pins, pins)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the daemon said:\n%s", s.log)
			for _, name := range containers {
				t.Logf("networkd inside %s said:\n%s", name, inside(t, name, "journalctl", "--boot", "--no-pager", "--output=short-precise", "--unit=systemd-networkd"))
			}
		}
		if out, err := s.run("down", "--state", filepath.Join(dir, "state")); err != nil {
			t.Errorf("berth down: %v\n%s", err, out)
		}
	})
	return s
}

// start starts the daemon and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(os.Getenv(binaryVariable), "serve", "--config", s.config, "--pins", s.pins,
		"--state", filepath.Join(s.dir, "state"), "--socket", s.socket, "--log-level", "debug")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	s.await("the daemon to answer", func() bool {
		select {
		case err := <-s.exited:
			s.cmd = nil
			s.t.Fatalf("the daemon ended: %v", err)
		default:
		}
		_, err := control.NewClient(s.socket).Status(context.Background())
		return err == nil
	})
}

// stop ends the daemon as a service manager would.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-s.exited
		s.t.Error("the daemon did not stop in 10 s")
	}
	s.cmd = nil
}

// run runs a verb against this server and returns what it printed.
func (s *server) run(args ...string) (string, error) {
	cmd := exec.Command(os.Getenv(binaryVariable), args...)
	cmd.Env = append(os.Environ(), "BERTH_SOCKET="+s.socket)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a verb that has to succeed.
func (s *server) must(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("berth %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// look is what berth knows of a guest; the zero Guest when it knows none.
func (s *server) look(name string) control.Guest {
	guests, err := control.NewClient(s.socket).Guests(context.Background(), name)
	if err != nil || len(guests) == 0 {
		return control.Guest{}
	}
	return guests[0]
}

// awaitState waits until the guest is in the state.
func (s *server) awaitState(name string, want control.State) control.Guest {
	s.t.Helper()
	var g control.Guest
	if !s.poll(func() bool { g = s.look(name); return g.State == want }) {
		s.t.Fatalf("waited %s for %s to be %s; it is %+v", patience, name, want, g)
	}
	return g
}

// mustHave asserts that the guest is settled at addr alone: for berth, in its own eyes, and for DNS.
func (s *server) mustHave(name, addr string) {
	s.t.Helper()
	g := s.awaitState(name, control.Settled)
	if want := []netip.Addr{netip.MustParseAddr(addr)}; !slices.Equal(g.Configured, want) {
		s.t.Errorf("%s has %v, want %v", name, g.Configured, want)
	}
	if have := addresses(s.t, guestOf(s.t, name)); !slices.Contains(have, addr+"/24") {
		s.t.Errorf("inside %s there is %v, want %s/24", name, have, addr)
	}
	if have := lookup(s.t, name+".lxd"); have != addr {
		s.t.Errorf("DNS answers %q for %s, want %s", have, name, addr)
	}
}

// patience is how long a test waits for something that happens by itself.
const patience = 30 * time.Second

func (s *server) await(what string, done func() bool) {
	s.t.Helper()
	if !s.poll(done) {
		s.t.Fatalf("waited %s for %s\n%s", patience, what, s.log)
	}
}

func (s *server) poll(done func() bool) bool { return poll(done) }

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !poll(done) {
		t.Fatalf("waited %s for %s", patience, what)
	}
}

func poll(done func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			return false
		}
	}
	return true
}

// addresses lists the IPv4 addresses on a guest's eth0, with prefix length.
func addresses(t testing.TB, g *netnstest.Guest) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(g.Run(t, "ip", "-4", "-o", "addr", "show", "dev", g.NIC)) {
		if f := strings.Fields(line); len(f) > 3 {
			list = append(list, f[3])
		}
	}
	return list
}

// lookup asks berth's DNS and returns the one address it answers, "" for none.
func lookup(t testing.TB, name string) string {
	t.Helper()
	return strings.TrimSpace(netnstest.Run(t, "dig", "+short", "+tries=1", "+time=2", "@"+gateway, name))
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer is a buffer that a process writes and a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func pinLine(name, addr string) string { return fmt.Sprintf("%s,%s\n", name, addr) }
