package resolved_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <listen>unix:path=PATH</listen>
 <auth>EXTERNAL</auth>
 <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
</busconfig>`

// testBus is a dbus-daemon of our own, which can be stopped and started again at its address.
type testBus struct {
	dir, address string
	cmd          *exec.Cmd
}

func newTestBus(t *testing.T) *testBus {
	t.Helper()
	netnstest.RequirePrograms(t, "dbus-daemon")
	dir := t.TempDir()
	b := &testBus{dir: dir, address: "unix:path=" + filepath.Join(dir, "bus")}
	config := strings.ReplaceAll(busConfig, "PATH", filepath.Join(dir, "bus"))
	if err := os.WriteFile(filepath.Join(dir, "bus.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// start returns when the bus takes connections.
func (b *testBus) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1", "--config-file="+filepath.Join(b.dir, "bus.conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.cmd = cmd
	t.Cleanup(func() { b.stopThis(cmd) })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("dbus-daemon prints no address: %v", err)
	}
}

func (b *testBus) stop() { b.stopThis(b.cmd) }

func (b *testBus) stopThis(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have been stopped before
	_ = cmd.Wait()
}

func (b *testBus) connect(ctx context.Context) (*dbus.Conn, error) {
	return dbus.Connect(b.address, dbus.WithContext(ctx))
}

// client is a connection that ends with the test.
func (b *testBus) client(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, err := b.connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// eventually polls for what another process or goroutine does in its own time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(15 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("after 15 s still not: %s", what)
		}
	}
}
