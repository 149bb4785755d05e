package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/reconcile"
)

// outcome reports a change that was carried out.
func (d *Daemon) outcome(ctx context.Context, change ledger.Change, outcomes []reconcile.Outcome, began time.Time) control.Outcome {
	out := control.Outcome{Rev: change.Rev, Results: []control.Result{}, Warnings: change.Problems}
	for _, o := range outcomes {
		n := d.networks().Named(o.Network)
		if n == nil {
			continue
		}
		r := d.result(ctx, n, o.Holder)
		r.From, r.To = []netip.Addr{}, []netip.Addr{o.To}
		switch {
		case o.Running && len(o.Had) > 0:
			r.From = o.Had
		case !o.Running && o.From.IsValid():
			r.From = []netip.Addr{o.From}
		}
		if o.Running {
			r.TookUS, r.LostUS = time.Since(began).Microseconds(), o.Lost.Microseconds()
		}
		for _, s := range o.Steps {
			r.Steps = append(r.Steps, control.Step{Step: s.Name, AtUS: s.At.Sub(began).Microseconds()})
			r.TookUS = s.At.Sub(began).Microseconds()
		}
		if o.Err != nil {
			r.Error = o.Err.Error()
		}
		out.Results = append(out.Results, r)
	}
	return out
}

// result is how a holder is now, without what a move adds.
func (d *Daemon) result(ctx context.Context, n *ipam.Network, h ipam.Holder) control.Result {
	f := d.factsOf(ctx, n, h)
	r := control.Result{Name: h.String(), From: []netip.Addr{}, To: []netip.Addr{}, Client: f.client, Steps: []control.Step{}}
	r.State, _, r.Until = f.judge()
	switch {
	case f.view != nil && len(f.view.Addrs) > 0:
		r.From, r.To = f.view.Addrs, f.view.Addrs
	case f.pin != nil:
		r.To = []netip.Addr{f.pin.Addr}
	case f.lease != nil:
		r.To = []netip.Addr{f.lease.Addr}
	}
	return r
}

// factsOf gathers what is known of one holder.
func (d *Daemon) factsOf(ctx context.Context, n *ipam.Network, h ipam.Holder) *facts {
	f := &facts{net: n, holder: h, now: time.Now(), trouble: d.reconciler.Trouble(n.Name, h)}
	if l, ok := d.ledger.Lease(n.Name, h); ok {
		f.lease = &l
	}
	if v, ok := d.reconciler.Look(ctx, n, h); ok {
		f.view = &v
		f.client = d.reconciler.Client(ctx, v.Guest)
		if f.lease == nil {
			if l, ok := d.ledger.Lease(n.Name, v.Holder); ok {
				f.lease = &l
			}
		}
	} else if h.Guest != "" && !h.IsGuest() {
		if g, ok := d.index.ByName(n.Name, h.Guest); ok {
			f.behind = &g
		}
	}
	for _, p := range d.ledger.Pins() {
		if n.Subnet.Contains(p.Addr) && (p.Holder == h || f.pin == nil && f.view != nil && p.Holder == ipam.ByMAC(f.view.Guest.MAC)) {
			f.pin = &p
		}
	}
	return f
}

// lead puts the results of the command's subjects first; a subject that nothing moved is
// reported as it is.
func (d *Daemon) lead(ctx context.Context, out *control.Outcome, o changeOptions) {
	for i := len(o.subjects) - 1; i >= 0; i-- {
		s := o.subjects[i]
		at := slices.IndexFunc(out.Results, func(r control.Result) bool { return r.Name == s.holder.String() })
		var r control.Result
		if at >= 0 {
			r = out.Results[at]
			out.Results = slices.Delete(out.Results, at, at+1)
		} else {
			r = d.result(ctx, s.net, s.holder)
			r.TookUS = time.Since(o.began).Microseconds()
		}
		out.Results = slices.Insert(out.Results, 0, r)
	}
}

// failureOf is the error of a command one of whose subjects could not be moved.
func failureOf(out control.Outcome, subjects []subject) error {
	for _, r := range out.Results[:min(len(subjects), len(out.Results))] {
		if r.Error == "" && r.State == control.Drift {
			r.Error = "its DHCP client put another address in its place"
		}
		if r.Error != "" {
			return &ipam.Problem{
				Code: ipam.CodeMove,
				Text: fmt.Sprintf("%s is pinned to %s but could not be moved and is as it was: %s", r.Name, join(r.To), r.Error),
				Hint: fmt.Sprintf("berth tries again by itself; berth show %s; to give up: berth unpin %s", r.Name, r.Name),
			}
		}
	}
	return nil
}

// awaitGuest waits, when the pinned guest runs but has no address yet, until it has it; and
// with --wait settled until its DHCP client knows. ctx ends when the caller hangs up.
func (d *Daemon) awaitGuest(ctx context.Context, out control.Outcome, n *ipam.Network, h ipam.Holder, settled <-chan struct{}, req control.PinRequest) (control.Outcome, error) {
	first := &out.Results[0]
	starting := first.State == control.Settling && len(first.From) == 0
	if first.State != control.Settling || !starting && !req.Settle {
		return out, nil
	}
	wait := req.Wait
	if wait == 0 {
		wait = defaultWait
	}
	var expired <-chan time.Time // never, for --wait settled: until the caller hangs up
	if !req.Settle {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C
	}
	if settled == nil {
		// Nothing was to be told: it asks by itself, now that it starts or at its next renewal.
		acked := make(chan struct{})
		go func() {
			if d.ledger.WaitAcked(ctx, n.Name, h, req.Addr) == nil {
				close(acked)
			}
		}()
		settled = acked
	}
	select {
	case <-settled:
	case <-expired:
	case <-ctx.Done():
	}
	steps, took := first.Steps, first.TookUS
	from := first.From
	*first = d.result(ctx, n, h)
	first.From, first.To = from, []netip.Addr{req.Addr}
	first.Steps, first.TookUS = steps, took
	return out, nil
}

// planned says in words what a change would do.
func (d *Daemon) planned(change ledger.Change) []control.PlannedMove {
	var plan []control.PlannedMove
	told := make(map[ipam.Holder]bool)
	taken := make(map[netip.Addr]bool)
	for _, m := range change.Moves {
		taken[m.To] = true
	}
	for _, m := range change.Moves {
		told[m.Holder] = true
		_, running := d.reconciler.Running(m.Network, m.Holder)
		p := control.PlannedMove{Name: m.Holder.String(), Network: m.Network, From: m.From, To: m.To, Running: running, Evicted: m.Evicted}
		switch {
		case running && taken[m.From]:
			p.Text = fmt.Sprintf("move %s from %s to %s (another takes the old address at once)", m.Holder, m.From, m.To)
		case running:
			p.Text = fmt.Sprintf("move %s from %s to %s (old address draining for %s)", m.Holder, m.From, m.To, m.Drain)
		case m.From.IsValid():
			p.Text = fmt.Sprintf("reserve %s for %s instead of %s (it does not run)", m.To, m.Holder, m.From)
		default:
			p.Text = fmt.Sprintf("reserve %s for %s (it does not run)", m.To, m.Holder)
		}
		if m.Evicted {
			p.Text += ": its address is pinned to another"
		}
		plan = append(plan, p)
	}
	for _, pin := range change.Added {
		if !told[pin.Holder] {
			plan = append(plan, control.PlannedMove{Name: pin.Holder.String(), To: pin.Addr, Text: fmt.Sprintf("pin %s to %s", pin.Holder, pin.Addr)})
			told[pin.Holder] = true
		}
	}
	for _, pin := range change.Removed {
		if told[pin.Holder] {
			continue
		}
		p := control.PlannedMove{Name: pin.Holder.String(), From: pin.Addr, To: pin.Addr, Text: fmt.Sprintf("unpin %s; it keeps %s as a lease", pin.Holder, pin.Addr)}
		if n := d.networks().Containing(pin.Addr); n != nil {
			p.Network = n.Name
			_, p.Running = d.reconciler.Running(n.Name, pin.Holder)
			if _, leased := d.ledger.Lease(n.Name, pin.Holder); !leased && !p.Running {
				p.Text = fmt.Sprintf("unpin %s, which never had %s", pin.Holder, pin.Addr)
			}
		}
		plan = append(plan, p)
	}
	return plan
}

func join(addrs []netip.Addr) string {
	parts := make([]string, len(addrs))
	for i, a := range addrs {
		parts[i] = a.String()
	}
	return strings.Join(parts, " ")
}
