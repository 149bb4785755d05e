package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"berth/internal/config"
	"berth/internal/control"
	"berth/internal/firewall"
	"berth/internal/host"
	"berth/internal/ipam"
	"berth/internal/ledger"
)

// indexPatience is how long the first look at who is plugged in may take.
const indexPatience = 10 * time.Second

// putInForce makes a checked configuration, its pins and the pins file the truth, in this order: the
// kernel, the ledger, the services. The moves that follow are the caller's to carry out. What fails
// before the ledger has it is taken back. The caller holds the token.
func (d *Daemon) putInForce(ctx context.Context, cfg *configuration, first bool) (ledger.Change, error) {
	before := d.networks()
	if err := d.applyHost(ctx, cfg.Networks); err != nil {
		d.restoreHost(ctx, before)
		return ledger.Change{}, err
	}
	d.nets.Store(&cfg.Networks)
	d.index.SetBridges(bridgesOf(cfg.Networks)...)
	if first {
		d.awaitIndex(ctx)
	}
	d.ledger.Configure(cfg.Networks)
	undo, err := d.adopt(cfg)
	var change ledger.Change
	if err == nil {
		change, err = d.setPinsFromFile(ctx)
	}
	if err != nil {
		undo()
		d.nets.Store(&before)
		d.index.SetBridges(bridgesOf(before)...)
		d.ledger.Configure(before)
		d.restoreHost(ctx, before)
		return change, err
	}
	d.inForce.Store(cfg)
	d.watch(nil)
	d.form.Set(cfg.Log == config.LogDnsmasq)
	err = d.dhcp.set(ctx, cfg.Networks)
	if err != nil && first {
		return change, err
	}
	d.dns.SetNetworks(cfg.Networks)
	if !first { // in force, but not served: whoever asked for it must hear of it, as status will say too
		change.Problems = slices.Concat(change.Problems, problemsOf(err), d.dns.Problems())
	}
	d.resolved.Set(d.links())
	d.mirror.nudge()
	d.warnings.set("config", cfg.Warnings)
	return change, nil
}

// applyHost makes bridges and table what the networks want.
func (d *Daemon) applyHost(ctx context.Context, nets ipam.Networks) error {
	changes, err := d.host.Apply(ctx, nets)
	if slices.ContainsFunc(changes, func(c host.Change) bool { return c.Action == host.ReclaimOwn }) {
		d.takeover = true
	}
	if err != nil {
		return err
	}
	if err := d.host.RecordTable(firewall.Table); err != nil {
		return err
	}
	_, err = d.firewall.Apply(ctx, firewall.Wanted(nets))
	return err
}

// restoreHost goes back to the networks in force after a failure.
func (d *Daemon) restoreHost(ctx context.Context, nets ipam.Networks) {
	if len(nets) == 0 {
		return // the first start: the caller takes back everything
	}
	if err := d.applyHost(context.WithoutCancel(ctx), nets); err != nil {
		d.log.Error("host not as it was", "err", err)
	}
}

// awaitIndex waits until the bridges were listed once, so that the pins are compared with
// what really runs; the index reports by itself why it can not.
func (d *Daemon) awaitIndex(ctx context.Context) {
	limit := time.NewTimer(indexPatience)
	defer limit.Stop()
	select {
	case <-d.index.Ready():
	case <-limit.C:
		d.log.Warn("guests not listed yet")
	case <-ctx.Done():
	}
}

// setPinsFromFile makes the ledger's pins those of the file; a file that can not be
// read leaves them as they are and is a warning.
func (d *Daemon) setPinsFromFile(ctx context.Context) (ledger.Change, error) {
	f, err := d.readPins()
	if err != nil {
		d.warnings.set("pins", problemsOf(err))
		// Compared all the same: the networks may have changed.
		return d.ledger.SetPins(ctx, d.wished(d.own()))
	}
	return d.setPins(ctx, f)
}

// setPins hands the wished pins to the ledger and remembers what is wrong with them.
func (d *Daemon) setPins(ctx context.Context, f *pinsFile) (ledger.Change, error) {
	change, err := d.ledger.SetPins(ctx, d.wished(f.pins))
	if err != nil {
		return change, err
	}
	d.warnings.set("pins", append(slices.Clip(f.problems), change.Problems...))
	return change, nil
}

// Reload reads all files again and applies them; with dryRun it only says what that
// would do.
func (d *Daemon) Reload(ctx context.Context, dryRun bool) (control.Outcome, error) {
	began := time.Now()
	whole := context.WithoutCancel(ctx) // half a change would be worse than an unread answer
	if err := d.token(ctx); err != nil {
		return control.Outcome{}, err
	}
	defer d.release()
	cfg, err := d.loadConfig(whole)
	if err != nil {
		d.warnings.set("config", problemsOf(err))
		return control.Outcome{}, err
	}
	if dryRun {
		return d.planReload(whole, cfg)
	}
	change, err := d.putInForce(whole, cfg, false)
	if err != nil {
		d.warnings.set("apply", problemsOf(err))
		return control.Outcome{}, err
	}
	d.warnings.set("apply", nil)
	d.warnings.set("saved pins", nil)
	out := d.outcome(whole, change, d.reconciler.Execute(whole, change.Moves), began)
	_, err = d.readPins() // what the caller saved may not be in force: a file that can not be read changes nothing
	return out, err
}

// planReload says what a reload would change.
func (d *Daemon) planReload(ctx context.Context, cfg *configuration) (control.Outcome, error) {
	out := control.Outcome{DryRun: true, Rev: d.ledger.Status().Rev, Results: []control.Result{}}
	say := func(network, text string) {
		out.Plan = append(out.Plan, control.PlannedMove{Network: network, Text: text})
	}
	for _, text := range config.Diff(d.networks(), cfg.Networks) {
		say("", "change "+text)
	}
	switch wanted := cfg.Log == config.LogDnsmasq; {
	case wanted && !d.form.IsOn():
		say("", "change log: format text → dnsmasq")
	case !wanted && d.form.IsOn():
		say("", "change log: format dnsmasq → text")
	}
	changes, err := d.host.Plan(ctx, cfg.Networks)
	if err != nil {
		return out, err
	}
	for _, c := range changes {
		say(c.Bridge, c.String())
	}
	lines, err := d.firewall.Plan(ctx, firewall.Wanted(cfg.Networks))
	if err != nil {
		return out, err
	}
	for _, text := range lines {
		say("", text)
	}
	f, err := d.readPins()
	if err != nil {
		return out, err
	}
	change := d.ledger.PlanPins(slices.Concat(d.givenBy(cfg), f.pins))
	out.Plan = append(out.Plan, d.planned(change)...)
	out.Warnings = append(out.Warnings, f.problems...)
	out.Warnings = append(out.Warnings, change.Problems...)
	return out, nil
}

// problemsOf is err as what a person reads.
func problemsOf(err error) ipam.Problems {
	if err == nil {
		return nil
	}
	var many ipam.Problems
	if errors.As(err, &many) {
		return many
	}
	var one *ipam.Problem
	if errors.As(err, &one) {
		return ipam.Problems{one}
	}
	return ipam.Problems{{Code: ipam.CodeHost, Text: err.Error(), Hint: "the daemon's log has more: journalctl -u berth", Err: err}}
}

func bridgesOf(nets ipam.Networks) []string {
	names := make([]string, len(nets))
	for i, n := range nets {
		names[i] = n.Name
	}
	return names
}
