package dns

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a socket be bound to an address that the bridge does not have yet, or
// has lost for a moment: the socket outlives both.
func freebind(_, _ string, c syscall.RawConn) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	}); ctlErr != nil {
		return ctlErr
	}
	return err
}
