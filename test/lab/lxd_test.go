package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/netnstest"
)

const (
	bridge  = "lxdbr0"
	gateway = "10.64.177.1"
)

// preseed is LXD's configuration: a bridge that is not its own.
const preseed = `
storage_pools:
- name: default
  driver: dir
profiles:
- name: default
  devices:
    root: {type: disk, path: /, pool: default}
    eth0: {type: nic, nictype: bridged, parent: ` + bridge + `, name: eth0}
`

// containers are launched once and serve all tests.
var containers = []string{"cent01", "cent02", "cent03"}

// startLXD starts LXD and the containers, once.
var startLXD = sync.OnceValue(func() error {
	state := os.Getenv(stateVariable)
	os.Setenv("LXD_DIR", filepath.Join(state, "lxd"))
	os.Setenv("LXD_CONF", filepath.Join(state, "client"))
	if err := os.MkdirAll(os.Getenv("LXD_DIR"), 0o711); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "add", bridge, "type", "bridge", "forward_delay", "0"},
		{"link", "set", bridge, "up"},
	} {
		if err := command("ip", args...); err != nil {
			return err
		}
	}
	// Daemons of the machine inside: they live until its process 1 ends.
	if err := daemon("lxcfs", "/var/lib/lxcfs"); err != nil {
		return err
	}
	if err := daemon("lxd", "--group", "root"); err != nil {
		return err
	}
	if err := command("lxd", "waitready", "--timeout", "60"); err != nil {
		return errors.Join(err, logOf("lxd"))
	}
	init := exec.Command("lxd", "init", "--preseed")
	init.Stdin = strings.NewReader(preseed)
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("lxd init: %w: %s", err, lastLines(out, 5))
	}
	image := os.Getenv(imageVariable)
	if err := command("lxc", "image", "import", image+"/meta.tar.gz", image+"/rootfs.squashfs", "--alias", "deb"); err != nil {
		return err
	}
	for _, name := range containers {
		if err := command("lxc", "launch", "deb", name); err != nil {
			return errors.Join(err, logOf("lxd"))
		}
	}
	return nil
})

// daemon starts a program that writes its log into the state folder.
func daemon(name string, args ...string) error {
	log, err := os.Create(logFile(name))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd.Start() // process 1 waits for it
}

func logFile(name string) string { return filepath.Join(os.Getenv(stateVariable), name+".log") }

// logOf is the end of a daemon's log, as an error.
func logOf(name string) error {
	out, err := os.ReadFile(logFile(name))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s said: %s", name, lastLines(out, 5))
}

// command runs a program to its end; the error holds the end of what it said.
func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(out, 5))
	}
	return nil
}

// requireLXD skips the test unless LXD runs here.
func requireLXD(t testing.TB) {
	t.Helper()
	requireMachine(t)
	if err := startLXD(); err != nil {
		netnstest.Unavailable(t, "no-lxd: "+err.Error())
	}
}

// boot restarts containers, all at the same time: they come back with nothing but what is on their disks.
func boot(t testing.TB, names ...string) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	for i, name := range names {
		wg.Go(func() { errs[i] = command("lxc", "restart", "--force", name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// inside runs a command in a container, as its root.
func inside(t testing.TB, name string, args ...string) string {
	t.Helper()
	return netnstest.Run(t, "lxc", append([]string{"exec", name, "--"}, args...)...)
}

// put writes a file of a running container.
func put(t testing.TB, name, path, text string) {
	t.Helper()
	inside(t, name, "sh", "-c", `mkdir -p "${1%/*}" && printf %s "$2" >"$1"`, "sh", path, text)
}

// guestOf is a container's network namespace, as seen from the host.
func guestOf(t testing.TB, name string) *netnstest.Guest {
	t.Helper()
	for line := range strings.Lines(netnstest.Run(t, "lxc", "info", name)) {
		value, ok := strings.CutPrefix(line, "PID: ")
		if !ok {
			continue
		}
		if _, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
			return &netnstest.Guest{Name: name, NIC: "eth0", Path: "/proc/" + strings.TrimSpace(value) + "/ns/net"}
		}
	}
	t.Fatalf("%s does not run", name)
	return nil
}
