package daemon

import (
	"fmt"
	"slices"

	"berth/internal/ipam"
)

// A given pin comes from a file that is not berth's: a dhcp-host line. It counts like any other, but no
// command changes it.

// adopt makes the given pins those of a configuration, and returns what takes that back.
// The caller holds the token.
func (d *Daemon) adopt(c *configuration) (undo func()) {
	pins, from := d.given, d.givenFrom
	d.given = d.givenBy(c)
	// What an earlier configuration gave is known by its file for as long as it may be in the ledger.
	d.givenFrom = slices.Clone(from)
	for _, file := range c.Files {
		if file != d.opts.Pins && !slices.Contains(d.givenFrom, file) {
			d.givenFrom = append(d.givenFrom, file)
		}
	}
	return func() { d.given, d.givenFrom = pins, from }
}

// givenBy are the pins that a configuration gives. dnsmasq may have been told to read the pins file
// too; what it says is berth's.
func (d *Daemon) givenBy(c *configuration) []ipam.Pin {
	return slices.DeleteFunc(slices.Clone(c.Pins), func(p ipam.Pin) bool { return p.Source.File == d.opts.Pins })
}

// isGiven reports whether a pin in force stands in a file that is not berth's.
func (d *Daemon) isGiven(p ipam.Pin) bool { return slices.Contains(d.givenFrom, p.Source.File) }

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
