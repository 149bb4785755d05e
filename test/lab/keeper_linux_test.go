package lab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	stateVariable  = "BERTH_LAB_STATE" // folder of this run, gone afterwards
	imageVariable  = "BERTH_LAB_IMAGE" // folder with the containers' image
	binaryVariable = "BERTH_LAB_BINARY"
)

// keep is the outermost process. It returns the exit code of the tests; a negative
// one when there can be no lab here, with the reason noted for the tests.
func keep() (code int, err error) {
	if word, reason := lacks(); reason != nil {
		unavailable(word, reason)
		return -1, nil
	}
	cache := filepath.Join(cacheHome(), "berth-test")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		unavailable("no-root", err)
		return -1, nil
	}
	// One lab at a time: it measures, and it uses fixed names. The lock goes with the process, so
	// what lies there once it is held is what a killed run left.
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return 0, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	state := filepath.Join(cache, "lab")
	groups, err := cgroups()
	if err != nil {
		return 0, err
	}
	clean := func() error { return errors.Join(removeCgroups(groups), os.RemoveAll(state)) }
	if err := clean(); err != nil {
		return 0, fmt.Errorf("clean up after a run before: %w", err)
	}
	defer func() { err = errors.Join(err, clean()) }()
	if err := os.MkdirAll(state, 0o711); err != nil { // the containers' users pass through
		return 0, err
	}
	binary, err := buildBinary(state)
	if err != nil {
		return 0, err
	}
	image, err := buildImage(cache)
	if err != nil {
		unavailable("no-image", err)
		return -1, nil
	}
	if err := makeCgroups(groups); err != nil {
		unavailable("no-cgroup", err)
		return -1, nil
	}
	os.Setenv(stateVariable, state)
	os.Setenv(imageVariable, image)
	os.Setenv(binaryVariable, binary)
	return startInit()
}

// buildBinary builds the program under test, unless the variable names one.
func buildBinary(dir string) (string, error) {
	if binary := os.Getenv(binaryVariable); binary != "" {
		return binary, nil
	}
	binary := filepath.Join(dir, "berth")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "berth/cmd/berth")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build berth: %w\n%s", err, out)
	}
	return binary, nil
}

// lacks returns what the machine lacks for a lab.
func lacks() (word string, reason error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if os.Geteuid() != 0 || err != nil || !strings.Contains(string(data), "4294967295") {
		return "no-root", errors.New("needs root of the machine itself")
	}
	var missing []string
	for _, program := range []string{"lxd", "lxc", "lxcfs", "mmdebstrap", "mksquashfs", "newuidmap", "dnsmasq", "dig", "ping", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return "no-program", errors.New(strings.Join(missing, ", "))
	}
	return "", nil
}

// cacheHome is where the image outlives the run, outside the repository.
func cacheHome() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return "/var/cache"
}

// startInit runs this binary as process 1 of new namespaces and returns its exit code.
func startInit() (int, error) {
	// The kernel sends Pdeathsig when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(interrupted)
	if err := cmd.Start(); err != nil {
		unavailable("no-namespace", err)
		return -1, nil
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var err error
	select {
	case err = <-exited:
	case sig := <-interrupted:
		_ = cmd.Process.Kill()
		<-exited
		return 1, fmt.Errorf("%v", sig)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	default:
		return 1, err
	}
}
