package netnstest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const unavailable = "BERTH_NETNSTEST_UNAVAILABLE"

// Require skips the test unless it runs in a namespace of its own and the named
// programs are installed. The reason's first word is what the list of allowed skips goes by.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if reason := os.Getenv(unavailable); reason != "" {
		t.Skipf("no-namespace: %s", reason)
	}
	if os.Getenv(reexecuted) == "" {
		t.Fatal("netnstest.Require without netnstest.Main in TestMain")
	}
	RequirePrograms(t, programs...)
}

// RequirePrograms skips the test unless every program is installed.
func RequirePrograms(t testing.TB, programs ...string) {
	t.Helper()
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		t.Skipf("no-program: %s", strings.Join(missing, ", "))
	}
}

// RequireRealRoot skips the test in a user namespace: what it does needs root of the machine.
func RequireRealRoot(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if os.Geteuid() != 0 || err != nil || !strings.Contains(string(data), "4294967295") {
		t.Skip("no-root: needs root of the machine itself")
	}
}

// RequireCgroup skips the test unless it may make cgroups in a hierarchy that all
// processes are in; it returns that hierarchy's folder.
func RequireCgroup(t testing.TB) string {
	t.Helper()
	RequireRealRoot(t)
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
			continue
		}
		probe, err := os.MkdirTemp(root, "berth-probe-")
		if err == nil {
			os.Remove(probe)
			return root
		}
	}
	t.Skip("no-cgroup: no hierarchy can be written to")
	return ""
}

// Unavailable skips the test: what it needs can not be had here. The first word of the
// reason, up to a colon, is what the list of allowed skips goes by.
func Unavailable(t testing.TB, reason string) {
	t.Helper()
	t.Skip(reason)
}
