package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/pinfile"
)

// defaultWait is how long a command waits for a guest that just starts to have its address.
const defaultWait = 10 * time.Second

// Pin implements control.Daemon. ctx bounds the waiting only: what was begun is finished.
func (d *Daemon) Pin(ctx context.Context, req control.PinRequest) (control.Outcome, error) {
	began := time.Now()
	h, err := parseHolder(req.Name)
	if err != nil {
		return control.Outcome{}, err
	}
	n, err := d.placeFor(req.Addr)
	if err != nil {
		return control.Outcome{}, err
	}
	edit := func() ([]pinfile.Edit, error) {
		if err := d.ownedByAnother(h, req.Addr); err != nil {
			return nil, err
		}
		return []pinfile.Edit{{Holder: h, Addr: req.Addr}}, nil
	}
	out, settled, err := d.changePins(ctx, edit, changeOptions{
		dryRun: req.DryRun, drain: req.Drain, began: began, subjects: []subject{{n, h}},
	})
	if err != nil || req.DryRun {
		return out, err
	}
	return d.awaitGuest(ctx, out, n, h, settled, req)
}

// Unpin implements control.Daemon.
func (d *Daemon) Unpin(ctx context.Context, req control.UnpinRequest) (control.Outcome, error) {
	began := time.Now()
	h, err := parseHolder(req.Name)
	if err != nil {
		return control.Outcome{}, err
	}
	var subjects []subject
	for _, p := range d.pinsOf(h) {
		subjects = append(subjects, subject{d.networks().Containing(p.Addr), h})
	}
	edit := func() ([]pinfile.Edit, error) {
		if len(d.pinsOf(h)) == 0 {
			return nil, notPinned(h)
		}
		return []pinfile.Edit{{Holder: h}}, nil
	}
	out, _, err := d.changePins(ctx, edit, changeOptions{dryRun: req.DryRun, began: began, subjects: subjects})
	return out, err
}

// Swap implements control.Daemon.
func (d *Daemon) Swap(ctx context.Context, req control.SwapRequest) (control.Outcome, error) {
	began := time.Now()
	var holders [2]ipam.Holder
	for i, name := range req.Names {
		h, err := parseHolder(name)
		if err != nil {
			return control.Outcome{}, err
		}
		holders[i] = h
	}
	if holders[0] == holders[1] {
		return control.Outcome{}, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s can not be swapped with itself", holders[0]), Hint: "berth swap NAME OTHER"}
	}
	var subjects []subject
	for _, h := range holders {
		for _, p := range d.pinsOf(h) {
			subjects = append(subjects, subject{d.networks().Containing(p.Addr), h})
		}
	}
	edit := func() ([]pinfile.Edit, error) {
		a, err := d.onePin(holders[0])
		if err != nil {
			return nil, err
		}
		b, err := d.onePin(holders[1])
		if err != nil {
			return nil, err
		}
		return []pinfile.Edit{{Holder: holders[0], Addr: b.Addr}, {Holder: holders[1], Addr: a.Addr}}, nil
	}
	out, _, err := d.changePins(ctx, edit, changeOptions{dryRun: req.DryRun, drain: req.Drain, began: began, subjects: subjects})
	return out, err
}

// subject is whom a command is about.
type subject struct {
	net    *ipam.Network
	holder ipam.Holder
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
// with the token held and may refuse. The channel is closed when the first subject's DHCP client knows;
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
			return control.Outcome{DryRun: true, Rev: change.Rev, Plan: d.planned(change), Results: []control.Result{}, Warnings: change.Problems}, nil, nil
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
	was, err := d.readPins()
	if err != nil {
		return change, false, err
	}
	now := &pinsFile{text: pinfile.Apply(was.text, edits...)}
	now.pins, now.problems = pinfile.Parse(d.opts.Pins, now.text)
	plan := d.ledger.PlanPins(now.pins)
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
	if err := pinfile.Replace(d.opts.Pins, before, now.text); err != nil {
		return change, false, err
	}
	if change, err = d.setPins(ctx, now); err != nil {
		if back := pinfile.Replace(d.opts.Pins, now.text, was.text); back != nil {
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

// parseHolder reads a guest's name or hardware address.
func parseHolder(name string) (ipam.Holder, error) {
	if mac, err := ipam.ParseMAC(name); err == nil {
		return ipam.ByMAC(mac), nil
	}
	if err := ipam.CheckName(name); err != nil {
		return ipam.Holder{}, &ipam.Problem{
			Code: ipam.CodeUsage, Err: err, Text: fmt.Sprintf("%q is no guest's name: %v", name, err),
			Hint: "letters, digits, hyphens and underscores; a second interface is NAME:NIC; or a hardware address",
		}
	}
	return ipam.ByName(name), nil
}

// placeFor is the network where a guest may have the address.
func (d *Daemon) placeFor(a netip.Addr) (*ipam.Network, error) {
	if !a.Is4() {
		return nil, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s: only IPv4 addresses can be pinned by this version", a), Hint: "berth pin NAME 10.64.177.101"}
	}
	n := d.networks().Containing(a)
	if n == nil {
		_, problems := ipam.ResolvePins([]ipam.Pin{{Addr: a}}, d.networks(), func(string, netip.Addr) ipam.Holder { return ipam.Holder{} })
		return nil, problems
	}
	if refused := n.Refuse(a); refused != nil {
		return nil, refused
	}
	return n, nil
}

// pinsOf are the pins of a holder that are in force.
func (d *Daemon) pinsOf(h ipam.Holder) []ipam.Pin {
	return slices.DeleteFunc(d.ledger.Pins(), func(p ipam.Pin) bool { return p.Holder != h })
}

func (d *Daemon) onePin(h ipam.Holder) (ipam.Pin, error) {
	switch pins := d.pinsOf(h); len(pins) {
	case 0:
		return ipam.Pin{}, notPinned(h)
	case 1:
		return pins[0], nil
	default:
		return ipam.Pin{}, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("%s is pinned on %d networks", h, len(pins)), Hint: "berth pin each of the two to the other's address, in one save of the pins file"}
	}
}

func notPinned(h ipam.Holder) error {
	return &ipam.Problem{Code: ipam.CodeNotFound, Text: fmt.Sprintf("%s is not pinned", h), Hint: "berth ls shows who is"}
}

// ownedByAnother refuses an address that is pinned to somebody else, and names both owners.
func (d *Daemon) ownedByAnother(h ipam.Holder, a netip.Addr) error {
	for _, p := range d.ledger.Pins() {
		if p.Addr != a || p.Holder == h {
			continue
		}
		hint := fmt.Sprintf("berth unpin %s, or choose another address for %s", p.Holder, h)
		if len(d.pinsOf(h)) > 0 {
			hint = fmt.Sprintf("berth swap %s %s, or choose another address for %s", p.Holder, h, h)
		}
		return &ipam.Problem{Code: ipam.CodeConflict, Text: fmt.Sprintf("%s is pinned to %s (%s), so %s can not have it", a, p.Holder, p.Source, h), Hint: hint}
	}
	return nil
}
