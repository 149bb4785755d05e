package guest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// starter makes the test binary start one container and wait, in the place of an LXC monitor.
const starter = "BERTH_GUEST_STARTER"

func TestMain(m *testing.M) {
	if payload := os.Getenv(starter); payload != "" {
		if err := startContainer(payload); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	netnstest.Main(m)
}

// cgroupRoot makes an empty folder in a cgroup hierarchy.
func cgroupRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(netnstest.RequireCgroup(t), fmt.Sprintf("berth-test-%d", os.Getpid()))
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(t, root) })
	return root
}

// removeCgroup removes the folders from the inside out. A process that has just been
// killed may still be in one: cgroup.procs is empty as soon as it is reaped.
func removeCgroup(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			removeCgroup(t, filepath.Join(dir, e.Name()))
		}
	}
	eventually(t, "cgroup "+dir+" can be removed", func() bool { return unix.Rmdir(dir) == nil })
}

// eventually polls for what the kernel does in its own time and gives no event for.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s still not: %s", what)
		}
		runtime.Gosched()
	}
}

// newTestIndex runs an Index over the bridges; tune changes it before.
func newTestIndex(t *testing.T, tune func(*Index), bridges ...string) *Index {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	x := NewIndex(log)
	if tune != nil {
		tune(x)
	}
	x.SetBridges(bridges...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-x.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("not ready after 10 s")
	}
	return x
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// await waits, by events, until the index shows what is wanted.
func await(t *testing.T, x *Index, what string, is func([]Guest) bool) {
	t.Helper()
	events, stop := x.Watch()
	defer stop()
	timeout := time.After(10 * time.Second)
	for !is(x.Snapshot()) {
		select {
		case <-events:
		case <-timeout:
			t.Fatalf("after 10 s still not: %s; have %+v", what, x.Snapshot())
		}
	}
}

func awaitNames(t *testing.T, x *Index, want ...string) {
	t.Helper()
	await(t, x, fmt.Sprintf("names %q", want), func(guests []Guest) bool {
		return slices.Equal(namesOf(guests), want)
	})
}

func namesOf(guests []Guest) []string {
	names := []string{}
	for _, g := range guests {
		names = append(names, g.Name)
	}
	return names
}

func mustMAC(t *testing.T, s string) ipam.MAC {
	t.Helper()
	mac, err := ipam.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

func indexOf(t *testing.T, name string) int {
	t.Helper()
	data, err := os.ReadFile("/sys/class/net/" + name + "/ifindex")
	if err != nil {
		// /sys shows the namespace it was mounted in: ask ip.
		out := netnstest.Run(t, "ip", "-o", "link", "show", name)
		data = []byte(out[:strings.IndexByte(out, ':')])
	}
	index, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return index
}
