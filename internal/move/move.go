// Package move makes running guests take other addresses: it enters a guest's network namespace,
// changes addresses and routes there in one piece, announces the new address, verifies
// it from outside, and undoes everything when a step fails.
package move

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"berth/internal/guest"
)

// Step is a moment of a move: "entered", "given up" (in a cycle only), "added", "announced",
// "verified", "closed" (connections of an address without drain), or "undone".
type Step struct {
	Name string
	At   time.Time
}

// Request asks that a guest's NIC has To instead of From.
type Request struct {
	Guest   guest.Guest
	From    []netip.Addr // what it leaves; those it does not have are ignored, empty: it has none
	To      netip.Addr
	Bits    int           // prefix length of the network
	Gateway netip.Addr    // for a guest without address and default route; invalid: none
	Drain   time.Duration // for how long it keeps From for old connections, in whole seconds rounded up; 0: not
}

// Result is how a request ended. With Err the guest has what it had, as far as it is still there.
// Err is an *ipam.Problem with the code ipam.CodeMove, or what ctx ended with; it wraps guest.ErrGone when the
// guest or its NIC went away.
type Result struct {
	Steps []Step
	Lost  time.Duration // for how long the guest had neither address
	Err   error
}

// workers is how many units are moved at a time; most of a move is waiting for the kernel's locks.
const workers = 8

// DoAll carries out the requests as one step: nobody takes an address that another of them still has,
// whatever chains or cycles they form, and an address that another takes is not kept for
// a drain. It calls arrived(i), from several goroutines, at the instant at which request i's guest has its new
// address; what fails afterwards is undone. Results are in the order of the requests. When ctx ends, what was begun is
// finished (or undone), within a second, and the rest is not begun.
func DoAll(ctx context.Context, requests []Request, arrived func(i int)) []Result {
	results := make([]Result, len(requests))
	if len(requests) == 0 {
		return results
	}
	s := newSet(requests, arrived)
	defer s.close()
	s.survey(ctx)
	units := plan(s.wishes())
	done := make([]chan struct{}, len(units))
	slots := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for u := range units {
		done[u] = make(chan struct{})
		// Taken in the order of the plan: whoever waits holding one waits for others that have theirs.
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer close(done[u])
			for _, before := range units[u].after {
				<-done[before]
			}
			s.carryOut(ctx, units[u], units)
		})
	}
	wg.Wait()
	for i, m := range s.movers {
		results[i] = Result{Steps: m.steps, Lost: m.lost, Err: m.err}
	}
	return results
}
