package ledger

import (
	"net/netip"
	"sync"
	"time"

	"berth/internal/ipam"
)

// Kind says what happened.
type Kind string

// The kinds of events.
const (
	KindPin     Kind = "pin"     // Holder is pinned to Addr
	KindUnpin   Kind = "unpin"   // Holder is not pinned to From any more
	KindLease   Kind = "lease"   // Holder's client was given Addr; From is what it was told before
	KindRenew   Kind = "renew"   // Holder's client was given Addr once more
	KindRelease Kind = "release" // Holder's client gave Addr back
	KindDecline Kind = "decline" // Holder found Addr in use by somebody else
	KindEvict   Kind = "evict"   // Holder had to leave From; Addr is its new one, invalid when it has none
	KindMove    Kind = "move"    // Holder is to have Addr instead of From
	KindLost    Kind = "lost"    // events were dropped: read everything again
)

// Event says that something has changed; what it says can be seen by the time it arrives.
type Event struct {
	Rev     uint64      `json:"rev,omitempty"`
	Kind    Kind        `json:"kind"`
	Network string      `json:"network,omitempty"`
	Holder  ipam.Holder `json:"holder,omitzero"`
	Addr    netip.Addr  `json:"addr,omitzero"`
	From    netip.Addr  `json:"from,omitzero"`
	At      time.Time   `json:"at,omitzero"`
}

// watchQueue is how many events wait for a slow watcher before some are dropped.
const watchQueue = 256

type watchers struct {
	mu     sync.Mutex
	all    map[*watcher]struct{}
	closed bool
}

type watcher struct {
	events chan Event
	lost   bool // the last event in the channel is the marker
}

// Watch gives the events from now on, until stop is called or the ledger is closed, when the channel is closed. A
// watcher that does not keep up gets KindLost in place of what it missed.
func (l *Ledger) Watch() (events <-chan Event, stop func()) {
	w := &watcher{events: make(chan Event, watchQueue)}
	ws := &l.watchers
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		close(w.events)
		return w.events, func() {}
	}
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
	return w.events, func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if _, ok := ws.all[w]; ok {
			delete(ws.all, w)
			close(w.events)
		}
	}
}

// send never blocks. It is called after what the events say can be seen.
func (ws *watchers) send(events []Event) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		for _, e := range events {
			w.send(e)
		}
	}
}

func (w *watcher) send(e Event) {
	// Nobody else sends, so there is at least as much room as len says. While the marker is
	// unread nothing follows it: who reads it will read everything anyway.
	if w.lost = w.lost && len(w.events) > 0; w.lost {
		return
	}
	if len(w.events) == cap(w.events)-1 {
		e = Event{Kind: KindLost, At: e.At}
		w.lost = true
	}
	w.events <- e
}

func (ws *watchers) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for w := range ws.all {
		close(w.events)
	}
	clear(ws.all)
}
