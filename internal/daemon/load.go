package daemon

import (
	"fmt"
	"os"

	"berth/internal/ipam"
	"berth/internal/pinfile"
)

// pinsFile is the pins file as it was read.
type pinsFile struct {
	text     []byte
	pins     []ipam.Pin
	problems ipam.Problems
	absent   bool // it is not there: text stands for the pins in force that are not given
}

// readPins reads the pins file. One that is not there, while there are pins in force, is
// one that somebody is about to save, or deleted by mistake: the pins stay, and the text is
// what the file would have to say.
func (d *Daemon) readPins() (*pinsFile, error) {
	text, err := pinfile.Read(d.opts.Pins)
	if err != nil {
		return nil, err
	}
	f := &pinsFile{text: text}
	if len(text) == 0 {
		if _, err := os.Stat(d.opts.Pins); os.IsNotExist(err) { // a link that leads nowhere, too
			f.absent = true
			f.text = pinfile.Format(d.own())
		}
	}
	f.pins, f.problems = pinfile.Parse(d.opts.Pins, f.text)
	if f.absent && len(f.pins) > 0 {
		f.problems = append(f.problems, &ipam.Problem{
			Code: ipam.CodeConfig, Source: ipam.Source{File: d.opts.Pins},
			Text: fmt.Sprintf("the file is gone; the %d pins in force stay", len(f.pins)),
			Hint: fmt.Sprintf("to let go of all of them: touch %s; to have them in the file again: berth pin any one of them", d.opts.Pins),
		})
	}
	return f, nil
}
