package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// measured begins a line that a passing test wants to be seen.
const measured = "measured: "

// report counts and prints. Tests with subtests are not counted themselves, unless they
// failed while all their subtests passed.
type report struct {
	mu      sync.Mutex // held while an event is taken
	running map[string]time.Time
	out     io.Writer
	allowed skips
	strict  bool // a skip that is not allowed is a failure
	verbose bool

	passed, failed, skipped int
	unlisted                []skip
	listed                  []skip
	figures                 []string
	broken                  error
}

// skip is a test that did not run.
type skip struct {
	suite, test, reason string
	why                 string // from the list of allowed skips
}

func newReport(out io.Writer, allowed skips, strict bool) *report {
	return &report{out: out, allowed: allowed, strict: strict, running: make(map[string]time.Time)}
}

// watch says now and then what is still running, until the returned function is called.
func (r *report) watch(every time.Duration) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				r.sayRunning(now)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// sayRunning names the tests that have been running for long.
func (r *report) sayRunning(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range sortedKeys(r.running) {
		if took := now.Sub(r.running[name]); took > 30*time.Second {
			r.printf("     still running: %s %s\n", name, seconds(took))
		}
	}
}

func (r *report) printf(format string, args ...any) { fmt.Fprintf(r.out, format, args...) }

// broke notes that the tests could not be run to their end.
func (r *report) broke(err error) {
	r.broken = err
	r.failed++
}

// endPackage counts and prints a package that is over.
func (r *report) endPackage(s *suite, outcome string, elapsed time.Duration) {
	var passed, failed, skipped int
	failing := make(map[string]bool) // has a failed subtest
	for i := len(s.order) - 1; i >= 0; i-- {
		t := s.tests[s.order[i]]
		if t.outcome == "" && outcome == "fail" {
			t.outcome = "fail" // it ran when the package was cut short
		}
		switch {
		case t.outcome == "fail" && failing[t.name]:
		case t.outcome == "fail":
			failed++
		case t.parent:
		case t.outcome == "skip":
			skipped++
			r.skip(s.name, t)
		case t.outcome == "pass":
			passed++
		}
		if t.outcome == "fail" {
			for j := strings.LastIndexByte(t.name, '/'); j > 0; j = strings.LastIndexByte(t.name[:j], '/') {
				failing[t.name[:j]] = true
			}
		}
	}
	for _, name := range s.order {
		for _, line := range s.tests[name].said() {
			if figure, ok := strings.CutPrefix(line, measured); ok && s.tests[name].outcome == "pass" {
				r.figures = append(r.figures, figure)
			}
		}
	}
	if outcome == "fail" && failed == 0 {
		failed = 1 // it does not build, or its TestMain failed
	}
	r.passed += passed
	r.failed += failed
	r.skipped += skipped
	if len(s.tests) == 0 && outcome != "fail" {
		return // no test files
	}
	word := "ok  "
	if outcome == "fail" {
		word = "FAIL"
	}
	r.printf("%s %-36s %8s  %d passed", word, s.name, seconds(elapsed), passed)
	if failed > 0 {
		r.printf(", %d failed", failed)
	}
	if skipped > 0 {
		r.printf(", %d skipped", skipped)
	}
	r.printf("\n")
	if outcome == "fail" {
		r.explain(s)
	}
}

// explain prints all that the failed tests of a package said, and the package itself.
func (r *report) explain(s *suite) {
	for _, name := range s.order {
		if t := s.tests[name]; t.outcome == "fail" {
			r.printf("%s", indent(t.output))
		}
	}
	r.printf("%s", indent(s.output))
}

func (r *report) skip(suite string, t *test) {
	k := skip{suite: suite, test: t.name, reason: t.reason()}
	if why, ok := r.allowed.allows(k); ok {
		k.why = why
		r.listed = append(r.listed, k)
		return
	}
	r.unlisted = append(r.unlisted, k)
}

// close prints what is left to say and returns the exit code.
func (r *report) close() int {
	if len(r.figures) > 0 {
		r.printf("\n")
	}
	for _, figure := range r.figures {
		r.printf("%s%s\n", measured, figure)
	}
	if len(r.listed)+len(r.unlisted) > 0 {
		r.printf("\n")
	}
	for _, k := range r.listed {
		r.printf("skipped: %s %s because %s (allowed: %s)\n", short(k.suite), k.test, k.reason, k.why)
	}
	for _, k := range r.unlisted {
		r.printf("skipped: %s %s because %s\n", short(k.suite), k.test, k.reason)
	}
	if r.strict && len(r.unlisted) > 0 {
		r.printf("these count as failed: with CI=true only the skips listed in test/skips.txt are allowed, and %d above are not\n", len(r.unlisted))
		r.failed += len(r.unlisted)
		r.skipped -= len(r.unlisted)
	}
	if r.broken != nil {
		r.printf("\nFAIL %v\n", r.broken)
	}
	r.printf("\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 {
		return 1
	}
	return 0
}

func short(suite string) string { return strings.TrimPrefix(suite, "berth/") }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

func indent(output []string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Join(output, "")) {
		if strings.HasPrefix(line, "=== ") || line == "FAIL\n" {
			continue
		}
		b.WriteString("     ")
		b.WriteString(strings.TrimSuffix(line, "\n"))
		b.WriteByte('\n')
	}
	return b.String()
}
