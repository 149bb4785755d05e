package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// inside marks the process that already runs in the demo's namespaces.
const inside = "BERTH_DEMO_INSIDE"

// Inside reports whether this process runs in the demo's own namespaces.
// It is process 1 there; a variable alone, set by whoever, must not make it mount anything here.
func Inside() bool { return os.Getenv(inside) != "" && os.Getpid() == 1 }

// Enter runs this program again with the same arguments in network, mount and
// process namespaces of its own (and, for an ordinary user, a user namespace) and returns
// its exit code. Whatever it starts inside dies with it: it is process 1 there.
// Where the kernel forbids that, the problem says why and what to type.
func Enter(ctx context.Context, self string, args []string, out, errw io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", inside, os.Geteuid()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, errw
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	attr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, refused(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// refused explains why the namespaces could not be had.
func refused(err error) error {
	if user := os.Getenv(inside); user == "0" || user == "" && os.Geteuid() == 0 {
		return &ipam.Problem{
			Code: ipam.CodeDenied, Err: err,
			Text: fmt.Sprintf("the kernel gives this root no network namespace (%v): a container without CAP_SYS_ADMIN?", err),
			Hint: "run it on the host itself, or give the container that capability",
		}
	}
	return &ipam.Problem{
		Code: ipam.CodeDenied, Err: err,
		Text: fmt.Sprintf("ordinary users get no user namespace on this machine (%v)", err),
		Hint: "sudo berth demo",
	}
}

// settle finishes the namespaces from inside: mounts private, an empty /run, /proc of
// the new process namespace, the loopback up.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return refused(fmt.Errorf("make mounts private: %w", err))
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return refused(fmt.Errorf("mount /proc: %w", err))
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return refused(fmt.Errorf("mount /run: %w", err))
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return fmt.Errorf("make /run/netns: %w", err)
	}
	return up("lo")
}

// up sets an interface of the present namespace up.
func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// guest is a network namespace with an interface on the bridge and a DHCP client.
type guest struct {
	name   string
	path   string
	client *exec.Cmd
	echo   net.Listener
}

// plug makes the namespace /run/netns/NAME, plugs it into the bridge, and starts an
// echo service and a DHCP client inside.
func plug(ctx context.Context, p *play, name string) (*guest, error) {
	g := &guest{name: name, path: "/run/netns/" + name}
	if err := inNewNamespace(g.path); err != nil {
		return nil, fmt.Errorf("namespace for %s: %w", name, err)
	}
	ns, err := os.Open(g.path)
	if err != nil {
		return nil, fmt.Errorf("namespace for %s: %w", name, err)
	}
	defer ns.Close()
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = "v"+name, master.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(ns.Fd()))}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("plug %s in: %w", name, err)
	}
	if err := up(attrs.Name); err != nil {
		return nil, err
	}
	err = g.do(func() error {
		for _, link := range []string{"lo", "eth0"} {
			if err := up(link); err != nil {
				return err
			}
		}
		if g.echo, err = net.Listen("tcp4", fmt.Sprintf(":%d", streamPort)); err != nil {
			return err
		}
		g.client, p.clients, err = startClient(ctx, p.Self, p.dir)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go echo(g.echo)
	return g, nil
}

// stop ends what runs in the guest.
func (g *guest) stop() {
	if g.echo != nil {
		g.echo.Close()
	}
	if g.client != nil {
		_ = g.client.Process.Kill()
		_ = g.client.Wait()
	}
}

// do runs f on a thread inside the guest's network namespace. The thread is never
// unlocked, so it ends with the goroutine and nobody inherits its namespace.
func (g *guest) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open(g.path)
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter its namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// inNewNamespace makes a network namespace that lives on as the file path.
func inNewNamespace(path string) error {
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("unshare: %w", err)
			return
		}
		done <- unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "none", unix.MS_BIND, "")
	}()
	return <-done
}
