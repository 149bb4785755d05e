// Package filewatch reports, within milliseconds, that the content of one of several files
// has changed and that whoever saved it has finished. A folder that is watched has its list of names for
// content, without those that editors leave behind.
//
// It listens to the folders, by inotify: of the file, of every symbolic link on the way to
// it, and of all folders above, so that it does not matter how a file is saved: in place, by a rename
// over it, by deleting it and making it anew, by swapping a link or a whole folder, or in a folder that
// does not exist yet. The end of a save in place is IN_CLOSE_WRITE, which fsnotify does not pass on; that
// is why inotify is used directly. A look every two seconds finds what gives no event: file
// systems of other machines, mounts, events lost in an overflow.
//
// What counts is the file's identity (inode, times, size) and, where times are too coarse, its content.
// A file that was only touched is reported, too: between two equal looks the reader may have seen another
// content, and reading once more does no harm. The life of a file between two reports:
//
//	same ──event, look──▶ differs ──nobody writes it──▶ reported
//	                         │  ▲
//	                         ▼  │ closed, or quiet
//	                    being written
//
// A file that is absent or empty must have been so for a moment: some programs save by
// deleting or emptying it first.
package filewatch

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"
)

const (
	// pollEvery is how often everything is looked at without an event.
	pollEvery = 2 * time.Second
	// absence is for how long a file must be absent or empty to be taken for that.
	absence = 250 * time.Millisecond
	// quiet is for how long a file that somebody keeps open, after a save, must not change.
	quiet = 100 * time.Millisecond
	// unsure is the same for a change that came without the event that ends a save, on a file
	// system that does not tell whether somebody writes.
	unsure = 500 * time.Millisecond
)

// Watcher watches several files. Its zero value is of no use: see New.
type Watcher struct {
	log     *slog.Logger
	changed chan string
	wanted  chan []string // the paths to watch from now on; the last ones count
	poll    time.Duration
	listen  func() (*inotify, error)
}

// New makes a watcher of the files and folders at paths, each of which may not exist yet. Nothing is
// watched before Run.
func New(log *slog.Logger, paths ...string) *Watcher {
	w := &Watcher{log: log, changed: make(chan string), wanted: make(chan []string, 1), poll: pollEvery, listen: newInotify}
	w.Set(paths...)
	return w
}

// Set replaces the files that are watched, before Run or during it. One that is new is reported
// once, so that what was saved before is not missed; the others are watched as if nothing
// had happened. It does not wait.
func (w *Watcher) Set(paths ...string) {
	paths = slices.Clone(paths)
	for {
		select {
		case w.wanted <- paths:
			return
		case <-w.wanted: // which nobody has seen, and which counts no more
		}
	}
}

// String names the task.
func (w *Watcher) String() string { return "watch files" }

// Changed gives the path, as New or Set got it, of a file whose content has changed and settled. Each
// path comes once when it begins to be watched, so that what was saved before is not missed. Changes
// that nobody has received yet are one: whoever reads the file after receiving its path
// has the last content, or will receive the path again. The channel is never closed.
func (w *Watcher) Changed() <-chan string { return w.changed }

// Run watches until ctx is done, and returns nil. Without inotify (too many instances)
// it looks every two seconds, and says so in the log once.
func (w *Watcher) Run(ctx context.Context) error {
	r := run{Watcher: w}
	defer r.stop()
	r.start()
	r.loop(ctx)
	return nil
}

// run is one Run.
type run struct {
	*Watcher
	files   []*file
	in      *inotify // nil while it can not be had
	warned  bool
	pending []*file // to be reported, in order
}

func (r *run) loop(ctx context.Context) {
	ticks := time.NewTicker(r.poll)
	defer ticks.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		again.Reset(r.untilNextLook())
		var out chan<- string
		var next string
		if len(r.pending) > 0 {
			out, next = r.changed, r.pending[0].path
		}
		var events <-chan []event
		if r.in != nil {
			events = r.in.events
		}
		select {
		case <-ctx.Done():
			return
		case paths := <-r.wanted:
			r.set(paths)
		case out <- next:
			r.pending = r.pending[1:]
		case batch, ok := <-events:
			if !ok {
				r.stop() // and again at the next tick
				continue
			}
			r.handle(batch)
		case <-again.C:
			now := time.Now()
			for _, f := range r.files {
				if !f.due.IsZero() && !now.Before(f.due) {
					r.check(f)
				}
			}
		case <-ticks.C:
			r.start()
			for _, f := range r.files {
				r.follow(f)
				r.check(f)
			}
		}
	}
}

// set watches the files at paths, and those alone.
func (r *run) set(paths []string) {
	before := make(map[string]*file, len(r.files))
	for _, f := range r.files {
		before[f.path] = f
	}
	r.files = nil
	for _, path := range paths {
		if f := before[path]; f != nil {
			r.files = append(r.files, f)
			delete(before, path)
			continue
		}
		if slices.ContainsFunc(r.files, func(f *file) bool { return f.path == path }) {
			continue
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			r.log.Warn("file not watched", "name", path, "err", err) // nobody knows the folder that it is in
			continue
		}
		f := &file{path: path, abs: abs}
		r.files = append(r.files, f)
		r.follow(f)
		f.settle(look(f.abs, sight{}))
		r.pending = append(r.pending, f)
	}
	for _, f := range before {
		r.pending = slices.DeleteFunc(r.pending, func(p *file) bool { return p == f })
		r.forget(f.steps)
	}
}

// untilNextLook is how long the first of the files that are not settled yet can wait.
func (r *run) untilNextLook() time.Duration {
	wait := time.Hour
	for _, f := range r.files {
		if !f.due.IsZero() {
			wait = min(wait, max(0, time.Until(f.due)))
		}
	}
	return wait
}

// start makes the inotify instance if there is none.
func (r *run) start() {
	if r.in != nil {
		return
	}
	in, err := r.listen()
	if err != nil {
		if !r.warned {
			r.log.Warn("no file events, saved files are noticed late", "err", err)
		}
		r.warned = true
		return
	}
	r.in, r.warned = in, false
}

// stop ends the inotify instance and what reads it.
func (r *run) stop() {
	if r.in == nil {
		return
	}
	if err := r.in.close(); err != nil {
		r.log.Warn("file events ended", "err", err)
	}
	r.in = nil
	for _, f := range r.files {
		f.steps = nil
	}
}

// handle looks at the files that events are about.
func (r *run) handle(batch []event) {
	for _, f := range r.files {
		touched, closed := false, false
		for _, e := range batch {
			if e.overflow() {
				touched = true
				continue
			}
			if slices.ContainsFunc(f.steps, func(s step) bool { return s.isAbout(e) }) {
				touched = true
				closed = closed || e.endsSave()
			}
		}
		if !touched {
			continue
		}
		f.closed = f.closed || closed
		r.follow(f)
		r.check(f)
	}
}

// check looks at a file, and notes it for the report when it differs and has settled.
func (r *run) check(f *file) {
	if f.settled(look(f.abs, f.reported)) && !slices.Contains(r.pending, f) {
		r.log.Debug("file changed", "name", f.path)
		r.pending = append(r.pending, f)
	}
}
