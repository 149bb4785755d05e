package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lines renders events as go test -json does.
func lines(t *testing.T, events ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func TestReport(t *testing.T) {
	const p = "berth/internal/x"
	skipped := []event{
		{Action: "run", Package: p, Test: "TestS"},
		{Action: "output", Package: p, Test: "TestS", Output: "=== RUN   TestS\n"},
		{Action: "output", Package: p, Test: "TestS", Output: "    x_test.go:7: no-program: dig\n"},
		{Action: "output", Package: p, Test: "TestS", Output: "--- SKIP: TestS (0.00s)\n"},
		{Action: "skip", Package: p, Test: "TestS"},
		{Action: "pass", Package: p, Elapsed: 1.26},
	}
	tests := []struct {
		name   string
		events []event
		raw    string
		strict bool
		skips  skips
		code   int
		want   []string
		absent []string
	}{
		{
			name: "subtests are counted in place of their parent",
			events: []event{
				{Action: "run", Package: p, Test: "TestA"}, {Action: "run", Package: p, Test: "TestA/one"}, {Action: "run", Package: p, Test: "TestA/two"},
				{Action: "pass", Package: p, Test: "TestA/one"}, {Action: "pass", Package: p, Test: "TestA/two"}, {Action: "pass", Package: p, Test: "TestA"},
				{Action: "pass", Package: p, Elapsed: 1},
			},
			want: []string{"ok   " + p, "1.0s  2 passed\n", "\n2 passed, 0 failed, 0 skipped\n"},
		},
		{
			name: "a parent that fails by itself counts once",
			events: []event{
				{Action: "run", Package: p, Test: "TestA"}, {Action: "run", Package: p, Test: "TestA/one"}, {Action: "pass", Package: p, Test: "TestA/one"},
				{Action: "output", Package: p, Test: "TestA", Output: "    x_test.go:3: after all that\n"}, {Action: "fail", Package: p, Test: "TestA"},
				{Action: "fail", Package: p},
			},
			code: 1, want: []string{"FAIL " + p, "after all that", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a failed subtest counts, its parents do not",
			events: []event{
				{Action: "run", Package: p, Test: "TestA"}, {Action: "run", Package: p, Test: "TestA/b"}, {Action: "run", Package: p, Test: "TestA/b/c"},
				{Action: "output", Package: p, Test: "TestA/b/c", Output: "        x_test.go:3: broken\n"},
				{Action: "fail", Package: p, Test: "TestA/b/c"}, {Action: "fail", Package: p, Test: "TestA/b"}, {Action: "fail", Package: p, Test: "TestA"},
				{Action: "fail", Package: p},
			},
			code: 1, want: []string{"broken", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "output of tests that passed is not shown",
			events: []event{
				{Action: "run", Package: p, Test: "TestA"}, {Action: "output", Package: p, Test: "TestA", Output: "    x_test.go:3: chatter\n"},
				{Action: "output", Package: p, Test: "TestA", Output: "    x_test.go:4: measured: 3 ms\n"},
				{Action: "pass", Package: p, Test: "TestA"}, {Action: "pass", Package: p},
			},
			want: []string{"\nmeasured: 3 ms\n"}, absent: []string{"chatter"},
		},
		{
			name: "what does not build fails",
			events: []event{
				{Action: "build-output", ImportPath: p + " [" + p + ".test]", Output: "x.go:1:1: syntax error\n"},
				{Action: "fail", Package: p, FailedBuild: p + " [" + p + ".test]"},
			},
			code: 1, want: []string{"x.go:1:1: syntax error", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a package that dies fails what was running",
			events: []event{
				{Action: "run", Package: p, Test: "TestA"}, {Action: "pass", Package: p, Test: "TestA"}, {Action: "run", Package: p, Test: "TestB"},
				{Action: "output", Package: p, Test: "TestB", Output: "panic: no\n"}, {Action: "fail", Package: p},
			},
			code: 1, want: []string{"panic: no", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name:   "events that stop in the middle fail",
			events: []event{{Action: "run", Package: p, Test: "TestA"}},
			code:   1, want: []string{"cut short", "\n0 passed, 1 failed, 0 skipped\n"},
		},
		{name: "a package without tests says nothing", events: []event{{Action: "output", Package: p, Output: "?  [no test files]\n"}, {Action: "skip", Package: p}},
			want: []string{"\n0 passed, 0 failed, 0 skipped\n"}, absent: []string{p}},
		{name: "text that is no event is passed on", raw: "go: no such tool\n", want: []string{"go: no such tool\n"}},
		{name: "a skip is listed with its reason", events: skipped,
			want: []string{"1 skipped\n", "skipped: internal/x TestS because no-program: dig\n", "\n0 passed, 0 failed, 1 skipped\n"}},
		{name: "a skip that is not allowed fails when that is asked for", events: skipped, strict: true,
			code: 1, want: []string{"because no-program: dig", "test/skips.txt", "\n0 passed, 1 failed, 0 skipped\n"}},
		{name: "a skip that is allowed does not", events: skipped, strict: true, skips: skips{{"internal/*", "TestS", "no-program", "there is none"}},
			want: []string{"allowed: there is none", "\n0 passed, 0 failed, 1 skipped\n"}},
		{name: "another reason is another skip", events: skipped, strict: true, skips: skips{{"internal/*", "TestS", "no-root", "no"}},
			code: 1, want: []string{"\n0 passed, 1 failed, 0 skipped\n"}},
		{name: "another package is another skip", events: skipped, strict: true, skips: skips{{"internal/y", "*", "no-program", "no"}},
			code: 1, want: []string{"\n0 passed, 1 failed, 0 skipped\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out, tt.skips, tt.strict)
			if err := r.read(strings.NewReader(tt.raw + lines(t, tt.events...))); err != nil {
				t.Fatal(err)
			}
			if code := r.close(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, out.String())
				}
			}
			for _, absent := range tt.absent {
				if strings.Contains(out.String(), absent) {
					t.Errorf("has %q:\n%s", absent, out.String())
				}
			}
		})
	}
}

func TestWhatRunsLongIsNamed(t *testing.T) {
	const p = "berth/internal/x"
	var out bytes.Buffer
	r := newReport(&out, nil, false)
	suites, builds := make(map[string]*suite), make(map[string][]string)
	for _, name := range []string{"TestLong", "TestOver"} {
		r.take(suites, builds, []byte(lines(t, event{Action: "run", Package: p, Test: name})))
	}
	r.take(suites, builds, []byte(lines(t, event{Action: "pass", Package: p, Test: "TestOver"})))
	r.sayRunning(time.Now().Add(time.Minute))
	if have := out.String(); !strings.Contains(have, "internal/x TestLong 60.0s") || strings.Contains(have, "TestOver") {
		t.Errorf("says %q", have)
	}
	r.take(suites, builds, []byte(lines(t, event{Action: "fail", Package: p})))
	out.Reset()
	r.sayRunning(time.Now().Add(time.Minute))
	if out.Len() > 0 {
		t.Errorf("says %q of a package that is over", out.String())
	}
}

func TestReadSkips(t *testing.T) {
	tests := []struct {
		name, text, wantErr string
		want                int
	}{
		{name: "comments and blank lines", text: "# why\n\n  # more\n"},
		{name: "one", text: "internal/x TestA no-root it needs the machine\n", want: 1},
		{name: "no why", text: "\ninternal/x TestA no-root\n", wantErr: "skips.txt:2:"},
		{name: "bad pattern", text: "internal/[ TestA no-root because\n", wantErr: "skips.txt:1:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "skips.txt")
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			list, err := readSkips(file)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want %s", err, tt.wantErr)
				}
				return
			}
			if err != nil || len(list) != tt.want {
				t.Errorf("%d lines, %v; want %d", len(list), err, tt.want)
			}
		})
	}
}

func TestTheListOfAllowedSkipsIsWellFormed(t *testing.T) {
	if _, err := readSkips("../skips.txt"); err != nil {
		t.Error(err)
	}
}

func TestPlan(t *testing.T) {
	all := []string{"berth/internal/x", labPackage, storyPackage}
	if have := plan(all, false, ""); len(have) != 2 || len(have[0].packages) != 2 || have[1].packages[0] != labPackage {
		t.Errorf("the LXD is not apart: %+v", have)
	}
	if have := plan(all, true, ""); len(have) != 1 || len(have[0].packages) != 1 || have[0].packages[0] != "berth/internal/x" {
		t.Errorf("the quick run is %+v", have)
	}
	if have := plan(all[1:2], false, "TestA"); len(have) != 1 || !strings.Contains(strings.Join(have[0].args, " "), "-run TestA") {
		t.Errorf("a single package is %+v", have)
	}
}
