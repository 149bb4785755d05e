package client

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// renewer is busybox's udhcpc, which renews its lease at once when it gets SIGUSR1.
type renewer struct {
	process   guest.Process
	namespace uint64
}

// udhcpc is recognised by its arguments, as a program of its own or a part of busybox.
func udhcpc(s *scene) (Client, claim) {
	for _, p := range s.processes {
		if nic, ok := udhcpcNIC(p.Argv); ok && nic == s.guest.NIC {
			return &renewer{p, s.guest.Namespace.Inode}, claimed
		}
	}
	return nil, absent
}

// udhcpcNIC reads the interface from the arguments; ok is false when it is another program.
func udhcpcNIC(argv []string) (nic string, ok bool) {
	if len(argv) > 1 && path.Base(argv[0]) == "busybox" {
		argv = argv[1:]
	}
	if len(argv) == 0 || path.Base(argv[0]) != "udhcpc" {
		return "", false
	}
	nic = "eth0" // its own default
	for i, arg := range argv[1:] {
		next := func() string {
			if i+2 < len(argv) {
				return argv[i+2]
			}
			return ""
		}
		switch {
		case arg == "--interface":
			nic = next()
		case strings.HasPrefix(arg, "--interface="):
			nic = strings.TrimPrefix(arg, "--interface=")
		case strings.HasPrefix(arg, "--") || !strings.HasPrefix(arg, "-"):
		default:
			if value, has := shortOption(arg[1:], 'i'); has {
				nic = value
				if nic == "" {
					nic = next()
				}
			}
		}
	}
	return nic, true
}

// shortOption looks for an option in a bundle like "fnqi" or "ieth0".
func shortOption(bundle string, option byte) (value string, has bool) {
	const withValue = "pstTArFxHVO" // what follows one of these in a bundle is its value
	for i := range len(bundle) {
		if bundle[i] == option {
			return bundle[i+1:], true
		}
		if strings.IndexByte(withValue, bundle[i]) >= 0 {
			return "", false
		}
	}
	return "", false
}

// Name implements Client.
func (r *renewer) Name() string { return "udhcpc" }

// Settle implements Client. The process is held by a handle before it is looked at once more, so that
// the signal reaches it or nobody.
func (r *renewer) Settle(context.Context) error {
	handle, err := unix.PidfdOpen(r.process.PID, 0)
	if err != nil {
		return fmt.Errorf("udhcpc: %w: %w", guest.ErrGone, err)
	}
	defer unix.Close(handle)
	if err := isStill(r.process, r.namespace); err != nil {
		return fmt.Errorf("udhcpc: %w", err)
	}
	err = unix.PidfdSendSignal(handle, unix.SIGUSR1, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("udhcpc: %w: %w", guest.ErrGone, err)
	}
	if err != nil {
		return fmt.Errorf("tell udhcpc: %w", err)
	}
	return nil
}
