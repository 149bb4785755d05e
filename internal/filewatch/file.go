package filewatch

import (
	"crypto/sha256"
	"time"
)

// file is one watched file, and what is known of it.
type file struct {
	path  string // as the caller has it
	abs   string
	steps []step // where an event may concern it

	reported sight     // what the last report was about
	closed   bool      // a save has ended since then
	seen     sight     // the last look, while it has not settled
	since    time.Time // when the file was first seen like that; zero: it is as reported
	due      time.Time // when to look again; zero: when there is an event
}

// state is what a reader of a file would find. Two equal states are the same content.
type state struct {
	kind kind
	size int64             // of a folder: how many names are in it
	sum  [sha256.Size]byte // of the content, unless it is very large; of a folder's names
	err  string
}

type kind uint8

const (
	absent kind = iota
	regular
	folder
	other // a pipe, a device: nothing that can be read
	failed
)

// stamp changes with every write to a file, and when another takes its place.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns
}

// writing says whether somebody has a file open for writing.
type writing uint8

const (
	nobody writing = iota
	somebody
	unknown // the file system does not tell
)

// sight is one look at a file.
type sight struct {
	state   state
	stamp   stamp
	writing writing
	at      time.Time
}

// sameAs reports whether nothing has happened to the file between two looks.
func (s sight) sameAs(t sight) bool { return s.state == t.state && s.stamp == t.stamp }

// tick is longer than the steps in which file systems write down times.
const tick = 50 * time.Millisecond

// isDoubtful reports whether a write after s could have left what was seen as it is: there
// are no times, or they are too fresh.
func (s sight) isDoubtful() bool {
	if s.state.kind == folder {
		return false // a save in it concerns a file, not its name
	}
	return s.state.kind != regular || s.at.UnixNano()-s.stamp.mtime < int64(tick)
}

// settled takes in a look at the file and reports whether it is another than reported, and
// finished. Otherwise due says when to look again.
func (f *file) settled(s sight) bool {
	// A save that ended in the same tick may have left times and content as they were, and yet
	// the caller may have read something else in between.
	if s.sameAs(f.reported) && !(f.closed && f.reported.isDoubtful()) {
		f.settle(s)
		return false
	}
	if f.since.IsZero() || !s.sameAs(f.seen) {
		f.since = s.at
	}
	f.seen = s
	var wait time.Duration
	switch {
	case s.writing == somebody && !f.closed:
		f.due = time.Time{} // the end of the save is an event
		return false
	case s.writing == somebody:
		wait = quiet
	case s.state.isNothing():
		wait = absence
	case s.writing == unknown && !f.closed:
		wait = unsure
	}
	if due := f.since.Add(wait); s.at.Before(due) {
		f.due = due
		return false
	}
	f.settle(s)
	return true
}

func (f *file) settle(s sight) {
	f.reported, f.closed = s, false
	f.seen, f.since, f.due = sight{}, time.Time{}, time.Time{}
}

// isNothing reports whether a reader would find no content.
func (s state) isNothing() bool { return s.kind == absent || s.kind == regular && s.size == 0 }
