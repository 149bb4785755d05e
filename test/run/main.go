// Command run runs the tests of berth, tells as it goes which packages passed, shows
// failures in full, and lists at the end what could not run here and why. With CI=true in
// the environment a skip that test/skips.txt does not allow is a failure.
//
// The last line it prints is always "N passed, N failed, N skipped"; it exits 1 when
// anything failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// The tests of whole stories, which a quick run leaves out.
const (
	storyPackage = "berth/test/e2e"
	labPackage   = "berth/test/lab" // wants the machine for itself, because it measures
)

// stage is one call of go test.
type stage struct {
	packages []string
	limit    time.Duration // for the whole stage; each package gets a little less
	args     []string
	verbose  bool // show each test as it ends
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, out, errw io.Writer) int {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(errw)
	quick := flags.Bool("quick", false, "only the tests that lie beside the code, and of these not what is marked as long")
	only := flags.String("run", "", "only tests whose name matches this `regexp`, as for go test")
	skipFile := flags.String("skips", "test/skips.txt", "the `file` with the skips that CI allows")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	allowed, err := readSkips(*skipFile)
	if err != nil {
		fmt.Fprintln(errw, "run:", err)
		return 2
	}
	packages, err := list(ctx, flags.Args())
	if err != nil {
		fmt.Fprintln(errw, "run:", err)
		return 1
	}
	r := newReport(out, allowed, os.Getenv("CI") == "true")
	for _, s := range plan(packages, *quick, *only) {
		if err := s.run(ctx, r); err != nil {
			r.broke(err)
			break
		}
	}
	return r.close()
}

// list expands package patterns; without any it lists all packages.
func list(ctx context.Context, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	// -e: a package that does not even parse is reported by go test, beside the others.
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-e"}, patterns...)...)
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	return strings.Fields(string(data)), nil
}

// plan puts the packages into stages.
func plan(packages []string, quick bool, only string) []stage {
	rest := stage{limit: 15 * time.Minute, args: []string{"-p", "2"}}
	if quick {
		rest.limit = 5 * time.Minute
	}
	lab := stage{limit: 12 * time.Minute, verbose: true}
	for _, p := range packages {
		switch {
		case quick && (p == labPackage || p == storyPackage):
		case p == labPackage:
			lab.packages = append(lab.packages, p)
		default:
			rest.packages = append(rest.packages, p)
		}
	}
	var stages []stage
	for _, s := range []stage{rest, lab} {
		if len(s.packages) == 0 {
			continue
		}
		if quick {
			s.args = append(s.args, "-short")
		}
		if only != "" {
			s.args = append(s.args, "-run", only)
		}
		stages = append(stages, s)
	}
	return stages
}

// run runs the stage and reports its events. It returns an error when go test
// itself was cut short; failing tests are the report's.
func (s stage) run(ctx context.Context, r *report) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	// -count=1: what the tests meet is not only in the source, so a remembered pass proves nothing.
	args := []string{"test", "-json", "-count=1", "-timeout", (s.limit - time.Minute).String()}
	args = append(append(args, s.args...), s.packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = r.out
	// A group of its own: when time is up, or on ^C, the test binaries go with it, and what they started dies with them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	r.verbose = s.verbose
	stopWatching := r.watch(time.Minute)
	readErr := r.read(events)
	stopWatching()
	err = cmd.Wait()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the tests did not end within %s", s.limit)
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case readErr != nil:
		return readErr
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && r.failed == 0 {
		return fmt.Errorf("go test: %w", err)
	}
	if err != nil && exit == nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}
