package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// busSocket is where the system bus listens (D-Bus specification, "System message bus").
const busSocket = "run/dbus/system_bus_socket"

// dialBus connects to the guest's system bus as its root, who may be an ordinary user of the host. The bus is
// the guest's: every answer is bounded in time and size.
func dialBus(ctx context.Context, r *root, ns guest.Namespace) (*bus, error) {
	name, err := r.socket(busSocket)
	if err != nil {
		return nil, fmt.Errorf("find the system bus: %w", err)
	}
	defer unix.Close(name)
	uid, err := rootUser(r.pid)
	if err != nil {
		return nil, err
	}
	fd, err := connectAs(ns, uid, name)
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	if err := isOwnBus(fd, ns.Inode); err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), busSocket)
	conn, err := net.FileConn(f) // a duplicate
	f.Close()
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	b := &bus{conn: conn, in: bufio.NewReaderSize(conn, 4096)}
	if err := b.begin(); err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

// rootUser is who on the host the guest's root is (user_namespaces(7)).
func rootUser(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", guest.ErrGone, err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "0" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, errors.New("the guest has no root user")
}

// connectAs connects to a socket whose name is open, as another user of the host. The bus asks the kernel who
// connected, and that is the thread: a thread of its own, that ends afterwards. The name had to be opened before,
// since that user may not walk through /proc.
func connectAs(ns guest.Namespace, uid, name int) (fd int, err error) {
	err = guest.Do(ns, func() error {
		fd, err = connect(uid, name)
		return err
	})
	return fd, err
}

func connect(uid, name int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// A listener that accepts nothing must not stop us.
	timeout := unix.NsecToTimeval((200 * time.Millisecond).Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	if err == nil && uid != 0 {
		err = becomeUser(uid)
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/thread-self/fd/%d", name)})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// becomeUser changes the effective user of this thread alone; the library's function would change all of
// them. It makes the process undumpable, which makes /proc/self root's own: not so afterwards if it was not before.
func becomeUser(uid int) error {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return fmt.Errorf("become user %d: %w", uid, errno)
	}
	if dumpable == 1 {
		return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
	return nil
}

// isOwnBus makes sure that who listens lives in the guest: a container may have been given the host's own
// bus, where the same interface number is another interface.
func isOwnBus(fd int, namespace uint64) error {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if inode, err := namespaceOf(int(peer.Pid)); err != nil || inode != namespace {
		return fmt.Errorf("the system bus in the guest is another's: %w", ErrWait)
	}
	return nil
}
