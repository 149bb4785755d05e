package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"
)

// skips is the list of skips that are allowed where a skip is otherwise a failure.
type skips []allowance

// allowance is one line of the list.
type allowance struct {
	suite, test string // patterns of path.Match; test without its subtests
	reason      string // the word before the colon
	why         string
}

// readSkips reads the list. Every line is PACKAGE TEST REASON WHY…; # starts a comment line.
func readSkips(file string) (skips, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list skips
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 {
			return nil, fmt.Errorf("%s:%d: want PACKAGE TEST REASON WHY, have %q", file, n, line)
		}
		for _, pattern := range fields[:2] {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, fmt.Errorf("%s:%d: pattern %q: %w", file, n, pattern, err)
			}
		}
		list = append(list, allowance{fields[0], fields[1], fields[2], strings.Join(fields[3:], " ")})
	}
	return list, lines.Err()
}

// allows returns why a skip is allowed.
func (s skips) allows(k skip) (why string, ok bool) {
	test, _, _ := strings.Cut(k.test, "/")
	word, _, _ := strings.Cut(k.reason, ":")
	for _, a := range s {
		suiteOK, _ := path.Match(a.suite, short(k.suite))
		testOK, _ := path.Match(a.test, test)
		if suiteOK && testOK && a.reason == word {
			return a.why, true
		}
	}
	return "", false
}
