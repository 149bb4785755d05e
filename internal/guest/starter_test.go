package guest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

// container is how a test's container is to be.
type container struct {
	title  string // the monitor's command line
	cgroup string // a folder, made and entered
	user   bool   // with a user namespace
	shared bool   // no PID namespace of its own
	script string // what its init, a shell, does first
}

// startContainer starts an init in new namespaces, puts it into its cgroup before it does
// anything, prints its PID and waits for the end of standard input.
func startContainer(payload string) error {
	runtime.LockOSThread() // the death signal is tied to the thread
	fields := strings.SplitN(payload, "|", 3)
	cmd := exec.Command("sh", "-c", "read go; "+fields[2]+"\necho up; while read line; do eval \"$line\"; echo done; done")
	// Commands for the init come through the monitor's standard input, which is the test's.
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	flags, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flags), Pdeathsig: unix.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: 0, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: 0, Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if fields[0] != "" {
		if err := os.WriteFile(fields[0]+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			return err
		}
	}
	fmt.Println(cmd.Process.Pid)
	_, err = io.Copy(os.Stdout, out)
	return err
}

// running is a container that runs.
type running struct {
	pid     int
	in      io.WriteCloser
	out     *bufio.Reader
	monitor *exec.Cmd
}

func (c container) start(t *testing.T) *running {
	t.Helper()
	flags := uint64(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
	if c.user {
		flags |= unix.CLONE_NEWUSER
	}
	if !c.shared {
		flags |= unix.CLONE_NEWPID
	}
	if c.cgroup != "" {
		if err := os.MkdirAll(c.cgroup, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if c.title == "" {
		c.title = "starter"
	}
	r := &running{monitor: &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{c.title},
		Env:         append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s", starter, c.cgroup, flags, c.script)),
		Stderr:      os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL},
	}}
	var err error
	if r.in, err = r.monitor.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.monitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(out)
	if err := r.monitor.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop() })
	line := r.readLine(t)
	if r.pid, err = strconv.Atoi(line); err != nil {
		t.Fatalf("start a container: %s", line)
	}
	r.write(t, "go")
	if line := r.readLine(t); line != "up" {
		t.Fatalf("start a container: %s", line)
	}
	return r
}

func (r *running) readLine(t *testing.T) string {
	t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the container ended: %v", err)
	}
	return strings.TrimSpace(line)
}

func (r *running) write(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// run has the container's init evaluate a shell command.
func (r *running) run(t *testing.T, command string) {
	t.Helper()
	r.write(t, command)
	if line := r.readLine(t); line != "done" {
		t.Fatalf("in the container: %s: %s", command, line)
	}
}

// stop ends the container as a whole; it may be called twice.
func (r *running) stop() {
	r.in.Close()
	_ = r.monitor.Wait()
}

// plug gives the container an interface on the bridge.
func (r *running) plug(t *testing.T, bridge, port, nic string) {
	t.Helper()
	netnstest.Run(t, "ip", "link", "add", port, "type", "veth", "peer", "name", nic, "netns", strconv.Itoa(r.pid))
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", port).Run() })
	netnstest.Run(t, "ip", "link", "set", port, "master", bridge, "up")
}
