// Package netnstest gives a test binary network namespaces of its own: it
// re-executes itself in a fresh one, and makes bridges and guests inside, so that a
// test touches nothing of the machine and leaves nothing behind when it dies.
package netnstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	reexecuted  = "BERTH_NETNSTEST"
	exitRefused = 77
)

// Main runs the tests of a package inside a new network, mount and process namespace, with
// an empty /run and the loopback up. The test binary is process 1 there: whatever it started ends with it. Call it from TestMain. Without root it tries a user namespace, where
// the caller is root; where neither can be had, the tests run where they are and those that call Require are skipped.
func Main(m *testing.M) {
	if os.Getenv(reexecuted) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "netnstest:", err)
			os.Exit(exitRefused)
		}
		os.Exit(m.Run())
	}
	code, err := reexec()
	if code == exitRefused {
		err = errors.New("the kernel gives namespaces, but not what is needed inside them")
	}
	if err != nil {
		os.Setenv(unavailable, err.Error())
		os.Exit(m.Run())
	}
	os.Exit(code)
}

// reexec runs this binary again in new namespaces and reports its exit code.
func reexec() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), reexecuted+"=1")
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("new network namespace: %w", err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.Exited() {
			return exit.ExitCode(), nil
		}
		return 2, nil
	}
	return 0, err
}

// enter finishes the namespaces from inside.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount an empty /run: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}
