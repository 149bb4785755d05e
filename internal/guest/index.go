package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

// Index knows what is plugged into the bridges it follows. Its answers come from memory;
// Run keeps them true.
type Index struct {
	log    *slog.Logger
	now    func() time.Time
	buffer int           // bytes of the event socket's receive buffer
	period time.Duration // between two complete lists

	view   atomic.Pointer[view]
	follow atomic.Pointer[map[int]string] // the bridges that exist, by ifindex: whose events matter
	ready  chan struct{}                  // closed after the first complete list
	wake   chan struct{}                  // something is to be done

	mu       sync.Mutex
	bridges  []string
	todo     todo
	budgets  map[int]*budget // of Refresh, by port
	watchers map[*watcher]struct{}
}

// todo is what Run's goroutine has to look at.
type todo struct {
	relist bool
	ports  map[int]bool // interfaces to read anew
	asked  []request
}

// request is somebody waiting for a port to be looked at.
type request struct {
	port int
	done chan struct{}
}

const (
	eventBuffer  = 8 << 20
	relistPeriod = time.Minute
)

// NewIndex makes an Index that follows no bridge yet.
func NewIndex(log *slog.Logger) *Index {
	x := &Index{
		log:      log,
		now:      time.Now,
		buffer:   eventBuffer,
		period:   relistPeriod,
		ready:    make(chan struct{}),
		wake:     make(chan struct{}, 1),
		todo:     todo{relist: true},
		budgets:  make(map[int]*budget),
		watchers: make(map[*watcher]struct{}),
	}
	x.view.Store(newView())
	x.follow.Store(&map[int]string{})
	return x
}

// SetBridges says which bridges to follow, by name; they need not exist yet.
func (x *Index) SetBridges(names ...string) {
	x.mu.Lock()
	x.bridges = slices.Clone(names)
	x.todo.relist = true
	x.mu.Unlock()
	x.nudge()
}

// Ready is closed when the bridges have been listed once.
func (x *Index) Ready() <-chan struct{} { return x.ready }

// String names the task.
func (x *Index) String() string { return "guest index" }

// Snapshot lists all ports in order of bridge and name, unnamed ones last. The caller must not change it.
func (x *Index) Snapshot() []Guest { return x.view.Load().guests }

// ByName finds the guest of that name ("name" or "name:nic", lower-case) on a bridge.
func (x *Index) ByName(bridge, name string) (Guest, bool) {
	g, ok := x.view.Load().byName[nameKey{bridge, name}]
	return g, ok
}

// ByPort finds what is plugged into the port with that ifindex, as last known.
func (x *Index) ByPort(index int) (Guest, bool) {
	g, ok := x.view.Load().byPort[index]
	return g, ok
}

// ElsewhereMAC reports whether mac is the address of a guest's own NIC on another port of
// the bridge that portIndex is a port of.
func (x *Index) ElsewhereMAC(mac ipam.MAC, portIndex int) bool {
	v := x.view.Load()
	own, ok := v.byPort[portIndex]
	n := v.byMAC[macKey{own.Bridge, mac}]
	if own.MAC == mac {
		n--
	}
	return ok && n > 0
}

// Warnings lists what keeps guests from having a name.
func (x *Index) Warnings() ipam.Problems { return x.view.Load().warnings }

// ErrNoPort means that the interface is no port of a bridge that is followed.
var ErrNoPort = errors.New("not a port of a bridge berth serves")

// Resolve says who is plugged into a port, for when a frame came in on it. A known guest
// comes from memory; otherwise Run looks, and Resolve waits for that as long as ctx lives. A guest that can not be
// named has an empty Name, which is no error; looking is tried again at most once a second.
func (x *Index) Resolve(ctx context.Context, portIndex int) (Guest, error) {
	if g, ok := x.Known(portIndex); ok {
		return g, nil
	}
	return x.look(ctx, portIndex)
}

// Known is Resolve from memory alone; false: Resolve would have to look.
func (x *Index) Known(portIndex int) (Guest, bool) {
	v := x.view.Load()
	g, ok := v.byPort[portIndex]
	return g, ok && !v.unsettled[portIndex]
}

// Refresh is Resolve for when the guest's NIC seems to have changed, as when a frame
// carries another source address: the NIC is read anew. How often is bounded for each port; beyond
// that the answer is what was known.
func (x *Index) Refresh(ctx context.Context, portIndex int) (Guest, error) {
	return x.look(ctx, portIndex)
}

func (x *Index) look(ctx context.Context, portIndex int) (Guest, error) {
	if done := x.ask(portIndex); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			g, _ := x.ByPort(portIndex)
			return g, fmt.Errorf("find the guest on port %d: %w", portIndex, ctx.Err())
		}
	}
	g, ok := x.ByPort(portIndex)
	if !ok {
		return Guest{}, ErrNoPort
	}
	return g, nil
}

// ask has a port looked at; it returns nil when that was done often enough lately.
func (x *Index) ask(portIndex int) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.todo.asked {
		if r.port == portIndex {
			return r.done
		}
	}
	b := x.budgets[portIndex]
	if b == nil {
		b = &budget{}
		x.budgets[portIndex] = b
	}
	if !b.take(x.now()) {
		return nil
	}
	r := request{port: portIndex, done: make(chan struct{})}
	x.todo.asked = append(x.todo.asked, r)
	x.todo.mark(portIndex)
	x.nudge()
	return r.done
}

func (t *todo) mark(index int) {
	if t.ports == nil {
		t.ports = make(map[int]bool)
	}
	t.ports[index] = true
}

func (x *Index) nudge() {
	select {
	case x.wake <- struct{}{}:
	default: // already awake
	}
}

// publish shows what the survey knows and tells the watchers what is new.
func (x *Index) publish(v *view) {
	events := v.changesFrom(x.view.Load())
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view.Store(v)
	for index := range x.budgets {
		if _, ok := v.byPort[index]; !ok {
			delete(x.budgets, index)
		}
	}
	for _, e := range events {
		for w := range x.watchers {
			w.send(e)
		}
	}
}
