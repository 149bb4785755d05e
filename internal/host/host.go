// Package host makes the bridges of this machine what the configuration wants:
// wanted, observed, the difference, and a footprint of exactly what berth changed,
// so that it can all be taken away again.
package host

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"berth/internal/ipam"
)

// Options are what a Host needs to know.
type Options struct {
	Footprint string       // path of the file that remembers what berth changed
	MachineID string       // makes the bridges' MACs this machine's own; "" reads /etc/machine-id
	Log       *slog.Logger // nil: silent
}

// Host is the network configuration of this machine as far as berth owns it. Its
// methods may be called from any goroutine; the network namespace is the caller's process's.
type Host struct {
	path      string
	machineID string
	log       *slog.Logger

	mu     sync.Mutex               // one change at a time; guards the footprint file
	wanted atomic.Pointer[[]Bridge] // of the last Apply: what Watch compares with
}

// New prepares a Host; it touches nothing.
func New(o Options) *Host {
	if o.MachineID == "" {
		o.MachineID = readMachineID()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Host{path: o.Footprint, machineID: o.MachineID, log: o.Log}
}

// readMachineID gives what is stable across restarts and differs between machines.
func readMachineID() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		return strings.TrimSpace(string(id))
	}
	name, _ := os.Hostname() // an empty one still gives a stable MAC
	return name
}

// Plan says what Apply would change, and changes nothing. The error is an
// ipam.Problem or ipam.Problems when something is in the way.
func (h *Host) Plan(ctx context.Context, nets ipam.Networks) ([]Change, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen, err := h.observe(ctx)
	if err != nil {
		return nil, err
	}
	return Plan(Wanted(nets, h.machineID), seen)
}

// Conflicts lists what else on this machine uses the networks' subnets, also when it
// appeared after the bridge was set up (a VPN, say).
func (h *Host) Conflicts(ctx context.Context, nets ipam.Networks) (ipam.Problems, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen, err := h.observe(ctx)
	if err != nil {
		return nil, err
	}
	var problems ipam.Problems
	for _, b := range Wanted(nets, h.machineID) {
		problems = append(problems, conflicts(b, seen)...)
	}
	return problems, nil
}

func (h *Host) observe(ctx context.Context) (Observed, error) {
	if err := ctx.Err(); err != nil {
		return Observed{}, err
	}
	record, err := ReadFootprint(h.path)
	if err != nil {
		return Observed{}, err
	}
	return observe(record)
}
