package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"berth/internal/ipam"
)

// A given pin comes from a file that is not berth's: a dhcp-host line. It counts like any other, but no
// command changes it.

// adopt makes the given pins those of a configuration, and returns what takes that back. Which files give pins
// is remembered before the ledger has them: its pins must not be taken for those of a pins file when the
// daemon starts again with another configuration. The caller holds the token.
func (d *Daemon) adopt(c *configuration) (undo func(), err error) {
	pins, from := d.given, d.givenFrom
	undo = func() { d.given, d.givenFrom = pins, from }
	d.given = d.givenBy(c)
	var files []string
	note := func(file string) {
		if file != d.opts.Pins && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for _, p := range d.given {
		note(p.Source.File)
	}
	for _, p := range d.ledger.Pins() {
		if slices.Contains(from, p.Source.File) {
			note(p.Source.File)
		}
	}
	slices.Sort(files)
	d.givenFrom = files
	if slices.Equal(files, from) {
		return undo, nil
	}
	if err := writeJSON(givenPath(d.opts.State), files); err != nil {
		undo()
		return undo, err
	}
	return undo, nil
}

func givenPath(state string) string { return filepath.Join(state, "given.json") }

// readGiven are the files that gave pins when the daemon ran last.
func readGiven(state string) ([]string, error) {
	var files []string
	data, err := os.ReadFile(givenPath(state))
	if err == nil {
		err = json.Unmarshal(data, &files)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ipam.Problem{
			Code: ipam.CodeHost, Source: ipam.Source{File: givenPath(state)}, Err: err,
			Text: "what berth noted about pins can not be read: " + err.Error(), Hint: "rm " + givenPath(state),
		}
	}
	return files, nil
}

// givenBy are the pins that a configuration gives. dnsmasq may have been told to read the pins file
// too; what it says is berth's.
func (d *Daemon) givenBy(c *configuration) []ipam.Pin {
	return slices.DeleteFunc(slices.Clone(c.Pins), func(p ipam.Pin) bool { return p.Source.File == d.opts.Pins })
}

// isGiven reports whether a pin in force stands in a file that is not berth's.
func (d *Daemon) isGiven(p ipam.Pin) bool {
	return p.Source.File != d.opts.Pins && slices.Contains(d.givenFrom, p.Source.File)
}

// own are the pins in force that are not given.
func (d *Daemon) own() []ipam.Pin { return slices.DeleteFunc(d.ledger.Pins(), d.isGiven) }

// wished are the given pins with those of the pins file. These come last, and so win where both are
// about one guest.
func (d *Daemon) wished(own []ipam.Pin) []ipam.Pin { return slices.Concat(d.given, own) }

// notOurs refuses to change a given pin.
func notOurs(p ipam.Pin) error {
	return &ipam.Problem{
		Code: ipam.CodeConflict, Text: fmt.Sprintf("%s is pinned to %s by %s, where berth does not write", p.Holder, p.Addr, p.Source),
		Hint: fmt.Sprintf("change the line in %s: it applies when the file is saved", p.Source.File),
	}
}
