package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is one line of go test -json (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output, in place of Package
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// test is a test or subtest that is under way or over.
type test struct {
	name    string
	output  []string
	parent  bool   // it has subtests
	outcome string // "pass", "fail", "skip"; "" while it runs
	elapsed time.Duration
}

// suite is the tests of one package.
type suite struct {
	name   string
	output []string // of the package itself
	order  []string
	tests  map[string]*test
}

func (s *suite) test(name string) *test {
	t := s.tests[name]
	if t != nil {
		return t
	}
	t = &test{name: name}
	s.tests[name] = t
	s.order = append(s.order, name)
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		if parent := s.tests[name[:i]]; parent != nil {
			parent.parent = true
			break
		}
	}
	return t
}

// read takes the events of one go test until it ends.
func (r *report) read(in io.Reader) error {
	suites := make(map[string]*suite)
	builds := make(map[string][]string)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.mu.Lock()
			r.take(suites, builds, line)
			r.mu.Unlock()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.running)
	for _, name := range sortedKeys(suites) {
		s := suites[name]
		if len(s.tests) > 0 || len(s.output) > 0 {
			s.output = append(s.output, "the package was cut short\n")
			r.endPackage(s, "fail", 0)
		}
	}
	return nil
}

func (r *report) take(suites map[string]*suite, builds map[string][]string, line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		r.printf("%s", line) // go test speaks plainly when something is badly wrong
		return
	}
	if e.Action == "build-output" {
		builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	s := suites[e.Package]
	if s == nil {
		s = &suite{name: e.Package, tests: make(map[string]*test)}
		suites[e.Package] = s
	}
	switch e.Action {
	case "output":
		if e.Test == "" {
			s.output = append(s.output, e.Output)
			return
		}
		t := s.test(e.Test)
		t.output = append(t.output, e.Output)
	case "run":
		s.test(e.Test)
		if !strings.Contains(e.Test, "/") {
			r.running[short(e.Package)+" "+e.Test] = time.Now()
		}
	case "pass", "fail", "skip":
		elapsed := time.Duration(e.Elapsed * float64(time.Second))
		if e.Test == "" {
			s.output = append(s.output, builds[e.FailedBuild]...)
			r.endPackage(s, e.Action, elapsed)
			delete(suites, e.Package)
			for name := range r.running { // what a dead package left open
				if strings.HasPrefix(name, short(e.Package)+" ") {
					delete(r.running, name)
				}
			}
			return
		}
		t := s.test(e.Test)
		t.outcome, t.elapsed = e.Action, elapsed
		delete(r.running, short(e.Package)+" "+e.Test)
		if r.verbose && !strings.Contains(t.name, "/") {
			r.printf("     %s %s %s\n", map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "skip"}[t.outcome], t.name, seconds(t.elapsed))
		}
	}
}

var position = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// said is what the test printed by itself, without the lines that go test adds; the text of
// t.Log, t.Skip and so on is without its position.
func (t *test) said() []string {
	var said []string
	for _, line := range strings.Split(strings.Join(t.output, ""), "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "=== ") || strings.HasPrefix(trimmed, "--- ") {
			continue
		}
		said = append(said, strings.TrimSpace(position.ReplaceAllString(line, "")))
	}
	return said
}

// reason is why a test was skipped.
func (t *test) reason() string {
	said := t.said()
	if len(said) == 0 {
		return "it does not say why"
	}
	return said[len(said)-1]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
