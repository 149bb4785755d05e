package ipam

import (
	"fmt"
	"strings"
)

// Codes of the problems that scripts branch on.
const (
	CodeUsage    = "usage"       // the request itself is malformed
	CodeConfig   = "config"      // a file does not say what it should
	CodeConflict = "conflict"    // somebody else has what was asked for
	CodeRange    = "range"       // an address lies where no guest may have it
	CodeNotFound = "not-found"   // no such guest, pin or address
	CodeFull     = "full"        // the range or the disk is full
	CodeMove     = "move-failed" // the guest could not be made to take its address
	CodeHost     = "host"        // the kernel, or something else on this host, is in the way
	CodeDaemon   = "no-daemon"   // nobody answers at the socket
	CodeDenied   = "denied"      // permission
)

// Source is a place in a file; the zero Source is "nowhere".
type Source struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1
	Col  int    `json:"col,omitempty"`  // from 1, in bytes
}

// String is file:line:column, leaving out what is not known.
func (s Source) String() string {
	switch {
	case s.File == "":
		return ""
	case s.Line == 0:
		return s.File
	case s.Col == 0:
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	}
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Col)
}

// Problem is an error made for a person: what is wrong, and what to type.
type Problem struct {
	Code   string `json:"code"`
	Text   string `json:"message"`
	Hint   string `json:"hint,omitempty"`
	Source Source `json:"source,omitzero"`
	Err    error  `json:"-"` // the cause, for the log
}

// Error is the one line a user sees.
func (p *Problem) Error() string {
	if at := p.Source.String(); at != "" {
		return at + ": " + p.Text
	}
	return p.Text
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Problems is several problems reported together.
type Problems []*Problem

// Error lists them, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
