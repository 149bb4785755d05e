// Package resolved makes the host itself resolve the names of the networks, through
// systemd-resolved where that runs.
package resolved

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Link is a network as systemd-resolved is to know it: the bridge, who to ask on it, and
// for which names.
type Link struct {
	Name    string // the network's, which is the bridge's
	Index   int    // the bridge's interface index; another one after it was made anew
	Gateway netip.Addr
	Domain  string // "" for none: only addresses are looked up there
	Subnet  netip.Prefix
}

// Options is what New needs; the zero value is good for a daemon.
type Options struct {
	Log        *slog.Logger                              // nil: silent
	Bus        func(context.Context) (*dbus.Conn, error) // nil: the system bus; the connection ends with the context
	Timeout    time.Duration                             // for one answer; 0: 5 s
	Every      time.Duration                             // how often what is told is compared; 0: 30 s
	ResolvConf string                                    // "": /etc/resolv.conf
	NSSwitch   string                                    // "": /etc/nsswitch.conf
}

// Registrar keeps systemd-resolved told about the networks.
//
// It takes nothing back when Run ends. A stopped berth leaves a closed port behind, so
// that a question for one of its names is refused at once, and no other name is asked
// there. Had resolved been told to forget, it would ask the Internet for the names of the
// guests, and remember for minutes after the next start that they do not exist.
type Registrar struct {
	o       Options
	changed chan struct{} // holds a token while wanted is news

	mu       sync.Mutex // guards what follows
	wanted   []Link
	outcomes map[string]outcome // by network
	told     map[int]Link       // what resolved may still know, by interface index
}

// outcome is what became of telling a network.
type outcome struct {
	link   Link
	absent bool  // resolved does not run
	told   bool  // resolved has it
	err    error // why resolved does not have it
}

// New makes a registrar that wants nothing yet.
func New(o Options) *Registrar {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Bus == nil {
		o.Bus = systemBus
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Every == 0 {
		o.Every = 30 * time.Second
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.NSSwitch == "" {
		o.NSSwitch = "/etc/nsswitch.conf"
	}
	return &Registrar{
		o: o, changed: make(chan struct{}, 1),
		outcomes: make(map[string]outcome), told: make(map[int]Link),
	}
}

// Set replaces the networks that resolved is to know. It does not wait: Run tells
// them. A network that is left out is taken back.
func (r *Registrar) Set(links []Link) {
	r.mu.Lock()
	r.wanted = slices.Clone(links)
	before := r.outcomes
	r.outcomes = make(map[string]outcome, len(links))
	for _, l := range links {
		o := before[l.Name]
		if o.link != l {
			o = outcome{absent: o.absent}
		}
		o.link = l
		r.outcomes[l.Name] = o
	}
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default: // the token there stands for this change too
	}
}

// String names the task in logs.
func (r *Registrar) String() string { return "resolved" }

// How long to wait before trying again, doubled each time.
const (
	firstPause   = 100 * time.Millisecond // resolved hears of a new bridge a moment after we do
	longestPause = 30 * time.Second
)

// Run keeps resolved told until ctx ends: after Set, when resolved starts again, and when
// it has been told something else. No bus and no resolved are no errors: it waits for them.
func (r *Registrar) Run(ctx context.Context) error {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		began := time.Now()
		if err := r.attend(ctx); err != nil && ctx.Err() == nil {
			r.o.Log.Debug("message bus not available", "err", err)
			r.noteAbsent()
		}
		if time.Since(began) > longestPause {
			pause = firstPause // it was a good connection
		}
		wait(ctx, pause)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// attend connects to the bus, and does all there is to do until the connection ends.
func (r *Registrar) attend(ctx context.Context) error {
	b, err := openBus(ctx, r.o)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.subscribe(ctx); err != nil {
		return err
	}
	pause := firstPause
	for {
		found, err := r.look(ctx, b)
		if err != nil {
			return err
		}
		next := r.o.Every
		if found != inOrder {
			// Looked at again soon. Somebody may undo at once what is told: the pause grows,
			// so that neither of us runs hot.
			next = min(pause, r.o.Every)
			pause = min(2*pause, longestPause)
		}
		why, err := r.await(ctx, b, next, found == inOrder)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if why == asked || found == inOrder && why == idle {
			pause = firstPause
		}
	}
}

// reason says why it is time to look.
type reason int

const (
	idle    reason = iota // the time is up
	asked                 // there is something new to tell, or somebody new to tell it to
	touched               // resolved has been told something by somebody, perhaps by us
)

// await returns when it is time to look again. It passes touches over unless they matter.
func (r *Registrar) await(ctx context.Context, b *bus, limit time.Duration, touches bool) (reason, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return idle, nil
		case <-timer.C:
			return idle, nil
		case <-r.changed:
			return asked, nil
		case s, ok := <-b.signals:
			switch {
			case !ok:
				return idle, dbus.ErrClosed
			case s.Name == busName+".NameOwnerChanged":
				return asked, nil
			case touches:
				return touched, nil
			}
		}
	}
}
