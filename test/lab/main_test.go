// Package lab_test runs the real binary against a real LXD: unprivileged containers that
// boot systemd, on a bridge, in a small machine of their own. The test binary runs itself
// twice again on the way in:
//
//	keeper   builds the image and the program, makes the cgroups, and cleans up after the others
//	init     process 1 of new PID, mount and network namespaces: when it ends, all ends
//	tests    a new cgroup namespace besides; starts LXD and berth
//
// So nothing here meets an LXD of the machine's, its network or its containers, and whatever kills
// the keeper kills the rest.
package lab_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"berth/internal/netnstest"
)

const (
	roleVariable        = "BERTH_LAB_ROLE"        // which of the three this process is
	unavailableVariable = "BERTH_LAB_UNAVAILABLE" // why there is no lab: "WORD: reason"
	roleInit            = "init"
	roleTests           = "tests"
)

func TestMain(m *testing.M) {
	flag.Parse()
	switch os.Getenv(roleVariable) {
	case roleInit:
		os.Exit(runInit())
	case roleTests:
		if err := enterMachine(); err != nil {
			unavailable("no-namespace", err)
		}
		os.Exit(m.Run())
	}
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		os.Exit(m.Run())
	}
	code, err := keep()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		code = 1
	}
	if code >= 0 {
		os.Exit(code)
	}
	os.Exit(m.Run()) // every test is skipped and says why
}

// unavailable makes every test skip.
func unavailable(word string, reason error) {
	text := strings.ReplaceAll(reason.Error(), "\n", "; ")
	os.Setenv(unavailableVariable, word+": "+text)
}

// requireMachine skips the test unless it runs inside the machine.
func requireMachine(t testing.TB) {
	t.Helper()
	if reason := os.Getenv(unavailableVariable); reason != "" {
		netnstest.Unavailable(t, reason)
	}
}
