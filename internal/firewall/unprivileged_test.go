package firewall_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged runs f on a thread that has dropped all capabilities and dies afterwards.
func unprivileged(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: nobody inherits the thread
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error("drop capabilities:", err)
		}
		done <- f()
	}()
	return <-done
}
