package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/pinfile"
)

// subject is whom a command is about.
type subject struct {
	net    *ipam.Network
	holder ipam.Holder
}

// subjects are the holders, once for each network on which they are pinned.
func (d *Daemon) subjects(holders ...ipam.Holder) []subject {
	var all []subject
	for _, h := range holders {
		for _, p := range d.pinsOf(h) {
			if n := d.networks().Containing(p.Addr); n != nil {
				all = append(all, subject{n, h})
			}
		}
	}
	return all
}

// changeOptions is how a change of the pins is to be carried out.
type changeOptions struct {
	dryRun   bool
	drain    *time.Duration // nil: the network's
	began    time.Time
	subjects []subject // reported in this order, before all others
}

// editTries is how often an edit is made anew because somebody saved the file meanwhile.
const editTries = 5

// changePins edits the pins file, puts it in force, and moves the guests. edit is called
// with the token held and may refuse, or find nothing to edit. The channel is closed when the first subject's DHCP client knows;
// it is nil when there is nothing to wait for.
func (d *Daemon) changePins(ctx context.Context, edit func() ([]pinfile.Edit, error), o changeOptions) (control.Outcome, <-chan struct{}, error) {
	if err := d.token(ctx); err != nil {
		return control.Outcome{}, nil, err
	}
	defer d.release()
	whole := context.WithoutCancel(ctx)
	edits, err := edit()
	if err != nil {
		return control.Outcome{}, nil, err
	}
	var change ledger.Change
	for try := 1; ; try++ {
		var planned bool
		change, planned, err = d.edit(whole, edits, o.dryRun)
		if planned {
			return control.Outcome{DryRun: true, Rev: d.ledger.Status().Rev, Plan: d.planned(change), Results: []control.Result{}, Warnings: change.Problems}, nil, nil
		}
		if !errors.Is(err, pinfile.ErrChanged) || try == editTries {
			break
		}
	}
	if err != nil {
		return control.Outcome{}, nil, err
	}
	stored := time.Now()
	moves := d.withDrifted(whole, change.Moves, o.subjects)
	if o.drain != nil {
		for i := range moves {
			moves[i].Drain = *o.drain
		}
	}
	outcomes := d.reconciler.Execute(whole, moves)
	out := d.outcome(whole, change, outcomes, o.began)
	for i := range out.Results {
		out.Results[i].Steps = append([]control.Step{{Step: "stored", AtUS: stored.Sub(o.began).Microseconds()}}, out.Results[i].Steps...)
	}
	d.lead(whole, &out, o)
	out.Warnings = append(out.Warnings, d.alsoUsed(whole, o.subjects)...)
	var settled <-chan struct{}
	for _, done := range outcomes {
		if len(o.subjects) > 0 && done.Network == o.subjects[0].net.Name && done.Holder == o.subjects[0].holder {
			settled = done.Settled
		}
	}
	return out, settled, failureOf(out, o.subjects)
}

// edit makes the edits in the file and hands the result to the ledger; planned says that it was
// a dry run. A refusal of the ledger is taken back in the file.
func (d *Daemon) edit(ctx context.Context, edits []pinfile.Edit, dryRun bool) (change ledger.Change, planned bool, err error) {
	for _, e := range edits {
		if err := e.Check(); err != nil {
			return change, false, err
		}
	}
	was, err := d.readPins()
	if err != nil {
		return change, false, err
	}
	now := &pinsFile{text: pinfile.Apply(was.text, edits...)}
	now.pins, now.problems = pinfile.Parse(d.opts.Pins, now.text)
	plan := d.ledger.PlanPins(d.wished(now.pins))
	if err := d.refusedEdit(now, plan, edits); err != nil {
		return change, false, err
	}
	if dryRun {
		return plan, true, nil
	}
	before := was.text
	if was.absent {
		before = nil
	}
	if len(edits) == 0 {
		change, err = d.setPins(ctx, was)
		return change, false, err
	}
	if err := pinfile.Replace(d.opts.Pins, before, now.text); err != nil {
		return change, false, err
	}
	if change, err = d.setPins(ctx, now); err != nil {
		back := pinfile.Replace(d.opts.Pins, now.text, before)
		if was.absent && back == nil {
			back = os.Remove(d.opts.Pins)
		}
		if back != nil {
			err = errors.Join(err, fmt.Errorf("take the refused pin back out of the file: %w", back))
		}
	}
	return change, false, err
}

// refusedEdit is why one of the edited pins would not be in force, or nil.
func (d *Daemon) refusedEdit(now *pinsFile, plan ledger.Change, edits []pinfile.Edit) error {
	for _, e := range edits {
		is := func(p ipam.Pin) bool { return p.Holder == e.Holder && p.Addr == e.Addr }
		if !e.Addr.IsValid() || slices.ContainsFunc(plan.Added, is) || slices.ContainsFunc(d.pinsOf(e.Holder), is) {
			continue
		}
		if i := slices.IndexFunc(now.pins, is); i >= 0 {
			for _, p := range plan.Problems {
				if p.Source.File == now.pins[i].Source.File && p.Source.Line == now.pins[i].Source.Line {
					return p
				}
			}
		}
		return &ipam.Problem{
			Code: ipam.CodeConflict, Text: fmt.Sprintf("%s,%s would not take effect beside the other lines of %s", e.Holder, e.Addr, d.opts.Pins),
			Hint: "berth status lists the lines that are refused",
		}
	}
	return nil
}

// withDrifted adds the subjects that have their pin already, but run with another address.
func (d *Daemon) withDrifted(ctx context.Context, moves []ipam.Reassignment, subjects []subject) []ipam.Reassignment {
	for _, s := range subjects {
		if slices.ContainsFunc(moves, func(m ipam.Reassignment) bool { return m.Network == s.net.Name && m.Holder == s.holder }) {
			continue
		}
		pins := d.pinsOf(s.holder)
		i := slices.IndexFunc(pins, func(p ipam.Pin) bool { return s.net.Subnet.Contains(p.Addr) })
		if i < 0 {
			continue
		}
		v, ok := d.reconciler.Look(ctx, s.net, s.holder)
		if ok && len(v.Addrs) > 0 && !slices.Contains(v.Addrs, pins[i].Addr) {
			moves = append(moves, ipam.Reassignment{
				Network: s.net.Name, Holder: s.holder, MAC: v.Guest.MAC, From: v.Addrs[0], To: pins[i].Addr, Drain: s.net.Drain,
			})
		}
	}
	return moves
}
