// Package e2e_test runs the real binary against real DHCP clients, in network
// namespaces of its own, and asserts what an operator would notice.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// binaryPath names the program under test across the re-execution into namespaces.
const binaryPath = "BERTH_E2E_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(binaryPath) == "" {
		bin := filepath.Join(os.TempDir(), fmt.Sprintf("berth-e2e-%d", os.Getuid()), "berth")
		build := exec.Command("go", "build", "-o", bin, "berth/cmd/berth")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build berth: %v\n%s", err, out)
			os.Exit(1)
		}
		os.Setenv(binaryPath, bin)
	}
	netnstest.Main(m)
}

// server is a running berth serve.
type server struct {
	t      testing.TB
	dir    string
	pins   string
	config string
	source []string // flags that name the networks, in place of --config
	socket string
	cmd    *exec.Cmd
	exited chan error
	log    *lockedBuffer
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

const (
	bridge  = "br0"
	gateway = "10.64.177.1"
)

// baseConfig is a network whose leases are short enough to see renewals.
const baseConfig = `[network.br0]
ipv4 = "10.64.177.1/24"
dhcp-range = "10.64.177.10-10.64.177.99"
lease-time = "1h"
domain = "lxd"
drain = "30s"
upstream = []
`

// prepare writes the files of a server without starting it.
func prepare(t testing.TB, config, pins string) *server {
	t.Helper()
	netnstest.Require(t, "ip", "nsenter")
	dir := t.TempDir()
	s := &server{
		t: t, dir: dir,
		pins: filepath.Join(dir, "pins"), config: filepath.Join(dir, "berth.toml"), socket: filepath.Join(dir, "sock"),
	}
	write(t, s.config, config)
	write(t, s.pins, pins)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() && s.log != nil {
			t.Logf("the daemon said:\n%s", s.log)
		}
		if out, err := s.run("down", "--state", filepath.Join(dir, "state")); err != nil {
			t.Errorf("berth down: %v\n%s", err, out)
		}
	})
	return s
}

// serve prepares and starts a server, and waits until it answers.
func serve(t testing.TB, config, pins string) *server {
	t.Helper()
	s := prepare(t, config, pins)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.spawn()
	s.awaitReady()
}

func (s *server) spawn() {
	s.t.Helper()
	s.log = &lockedBuffer{}
	source := s.source
	if source == nil {
		source = []string{"--config", s.config}
	}
	s.cmd = exec.Command(os.Getenv(binaryPath), append([]string{"serve", "--pins", s.pins,
		"--state", filepath.Join(s.dir, "state"), "--socket", s.socket, "--log-level", "debug"}, source...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
}

func (s *server) awaitReady() {
	s.t.Helper()
	s.await("the daemon to answer", func() bool {
		select {
		case err := <-s.exited:
			s.exited <- err
			s.t.Fatalf("the daemon ended: %v\n%s", err, s.log)
		default:
		}
		_, err := control.NewClient(s.socket).Status(context.Background())
		return err == nil
	})
}

// await polls for something the daemon or a guest does by itself.
func (s *server) await(what string, done func() bool) {
	s.t.Helper()
	await(s.t, what, done)
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	awaitLong(t, 20*time.Second, what, done)
}

func awaitLong(t testing.TB, patience time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
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
			s.t.Errorf("the daemon ended with %v\n%s", err, s.log)
		}
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-s.exited
		s.t.Errorf("the daemon did not stop in 10 s\n%s", s.log)
	}
	s.cmd = nil
}

// kill ends the daemon as a power cut would end the process.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// run runs a verb against this server and returns what it printed.
func (s *server) run(args ...string) (string, error) {
	cmd := exec.Command(os.Getenv(binaryPath), args...)
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

// guest is what berth ls knows of a guest.
func (s *server) guest(name string) control.Guest {
	s.t.Helper()
	var guests []control.Guest
	if err := json.Unmarshal([]byte(s.must("ls", "--json")), &guests); err != nil {
		s.t.Fatal(err)
	}
	for _, g := range guests {
		if g.Name == name {
			return g
		}
	}
	return control.Guest{}
}

// awaitState waits until berth ls shows the guest in the state.
func (s *server) awaitState(name string, want control.State) control.Guest {
	s.t.Helper()
	var g control.Guest
	s.await(fmt.Sprintf("%s to be %s (last seen: %+v)", name, want, g), func() bool {
		guests, err := control.NewClient(s.socket).Guests(context.Background(), name)
		if err != nil || len(guests) == 0 {
			return false
		}
		g = guests[0]
		return g.State == want
	})
	return g
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
