package guest

// Kind says what happened to a guest.
type Kind string

// The kinds of events. After Lost the watcher must take a new Snapshot: it was too slow
// and events between are missing.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
	Lost    Kind = "lost"
)

// Event is one change of what is plugged in. A guest that reboots is Removed and Added again under the same name.
type Event struct {
	Kind  Kind
	Guest Guest // as it is now; as it last was for Removed; zero for Lost
	Was   Guest // as it was before; for Changed only
}

// watchQueue is how many events a watcher may lag behind.
const watchQueue = 1024

type watcher struct {
	events chan Event
	lost   bool
}

// Watch gives the changes from now on; take a Snapshot after it, not before. The function
// it returns ends the watch and closes the channel; it may be called more than once.
func (x *Index) Watch() (<-chan Event, func()) {
	w := &watcher{events: make(chan Event, watchQueue)}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watchers[w] = struct{}{}
	return w.events, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if _, ok := x.watchers[w]; ok {
			delete(x.watchers, w)
			close(w.events)
		}
	}
}

// send never blocks. The queue's last place is kept for Lost; once that has been taken
// out the watcher is listening again.
func (w *watcher) send(e Event) {
	if w.lost && len(w.events) > 0 {
		return
	}
	w.lost = len(w.events) == cap(w.events)-1
	if w.lost {
		e = Event{Kind: Lost}
	}
	w.events <- e
}
