package guest

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrGone means that the namespace is not the one it was: its processes have ended, or
// the PID or file belongs to another one by now. Ask the Index again.
var ErrGone = errors.New("the guest's namespace is gone")

// Open opens the namespace and makes sure that it still is the one described; otherwise
// the error wraps ErrGone. Close the file soon: as long as it is open the guest's
// interfaces outlive the guest.
func (ns Namespace) Open() (*os.File, error) {
	fd, err := ns.open()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), ns.Path), nil
}

func (ns Namespace) open() (int, error) {
	if ns.IsZero() {
		return -1, fmt.Errorf("%w: none is known", ErrGone)
	}
	fd, err := openNamespace(ns.Path)
	if err != nil {
		return -1, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err := ns.check(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// check compares after opening: what happens to the PID from here on no longer matters.
func (ns Namespace) check(fd int) error {
	inode, err := inodeOf(fd)
	if err != nil {
		return err
	}
	if inode != ns.Inode {
		return fmt.Errorf("%w: %s is net:[%d], was net:[%d]", ErrGone, ns.Path, inode, ns.Inode)
	}
	if ns.PID == 0 {
		return nil
	}
	if st, err := readStat(ns.PID); err != nil || st.start != ns.Start {
		return fmt.Errorf("%w: process %d has ended", ErrGone, ns.PID)
	}
	return nil
}

// openNamespace opens a namespace file; anything else found at path is an error.
func openNamespace(path string) (int, error) {
	// O_NONBLOCK: a FIFO put in the place of a namespace must not stop us.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		unix.Close(fd)
		return -1, fmt.Errorf("open %s: not a namespace", path)
	}
	return fd, nil
}

func inodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("stat a namespace: %w", err)
	}
	return st.Ino, nil
}

// Do runs f inside the namespace, on a thread of its own that ends afterwards. f must use
// direct system calls only: goroutines it starts run outside, and so does what they do (a
// dialer with several addresses, a resolver, a timer). A socket made by f stays in
// the namespace and keeps it alive until it is closed. Do returns f's error, or one that wraps ErrGone.
func Do(ns Namespace, f func() error) error {
	done := make(chan error, 1)
	go onOwnThread(func() {
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }()
		err = enter(ns, f)
	})
	return <-done
}

// onOwnThread runs f on a thread that is never used again and is not the process's
// first one: that one can not end, so it would stay in the namespace for ever and
// /proc/PID/ns/net would show every tool the wrong one.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return // still locked: the thread ends here
	}
	// While this goroutine holds the first thread, the next one gets another.
	done := make(chan struct{})
	go func() {
		defer close(done)
		onOwnThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}

func enter(ns Namespace, f func() error) error {
	fd, err := ns.open()
	if err != nil {
		return err
	}
	err = unix.Setns(fd, unix.CLONE_NEWNET)
	unix.Close(fd)
	if err != nil {
		return fmt.Errorf("enter namespace %s: %w", ns.Path, err)
	}
	return f()
}
