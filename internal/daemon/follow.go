package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/control"
	"berth/internal/dns/resolved"
	"berth/internal/firewall"
	"berth/internal/ipam"
	"berth/internal/ledger"
)

// prefix shortens a signature.
type prefix = netip.Prefix

// follow applies files as they are saved, and all of them at SIGHUP, until ctx ends.
func (d *Daemon) follow(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case path := <-d.files.Changed():
			if path == d.opts.Pins {
				d.savedPins(ctx)
			} else {
				d.gather(ctx)
				d.reloadAndTell(ctx)
			}
		case <-hup:
			d.reloadAndTell(ctx)
		}
	}
}

// One save may concern several files, and each file is reported once when it begins to be watched.
const (
	gatherFor  = 5 * time.Millisecond // without a report
	gatherMost = 50 * time.Millisecond
)

// gather takes the reports that come together, for one reload. What the pins file says is part of it.
func (d *Daemon) gather(ctx context.Context) {
	most := time.NewTimer(gatherMost)
	defer most.Stop()
	for {
		quiet := time.NewTimer(gatherFor)
		select {
		case <-ctx.Done():
		case <-quiet.C:
		case <-most.C:
		case <-d.files.Changed():
			quiet.Stop()
			continue
		}
		quiet.Stop()
		return
	}
}

// reloadAndTell reloads, and tells the service manager before and after.
func (d *Daemon) reloadAndTell(ctx context.Context) {
	if err := notify(reloading()...); err != nil {
		d.log.Warn("service manager not told", "err", err)
	}
	if _, err := d.Reload(ctx, false); err != nil {
		d.log.Error("files not applied; the last good state stays in force", "err", err)
	}
	if err := notify("READY=1", "STATUS="+d.networkNames()); err != nil {
		d.log.Warn("service manager not told", "err", err)
	}
}

// savedPins applies the pins file.
func (d *Daemon) savedPins(ctx context.Context) {
	began := time.Now()
	if d.token(ctx) != nil {
		return
	}
	defer d.release()
	change, err := d.setPinsFromFile(ctx)
	if err != nil {
		d.warnings.set("saved pins", problemsOf(err))
		d.log.Error("pins not applied; those from before stay in force", "err", err)
		return
	}
	d.warnings.set("saved pins", nil)
	d.outcome(ctx, change, d.reconciler.Execute(ctx, change.Moves), began)
}

// recheck has guests looked at after their DHCP clients were told something, until ctx ends.
func (d *Daemon) recheck(ctx context.Context) {
	events, stop := d.ledger.Watch()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.Kind == ledger.KindLease || e.Kind == ledger.KindRenew {
				d.reconciler.Recheck(e.Network, e.Holder)
			}
		}
	}
}

// How often what cannot be heard of is looked at.
const lookAround = 10 * time.Second

// guard keeps bridges and table as they were made, and looks out for what is in their way.
func (d *Daemon) guard(ctx context.Context) error {
	drifted := make(chan struct{}, 1)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return d.host.Watch(ctx, drifted) })
	tasks.Go(func() error { return d.firewall.Watch(ctx, drifted) })
	tasks.Go(func() error {
		tick := time.NewTicker(lookAround)
		defer tick.Stop()
		d.inspect(ctx)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-drifted:
				d.heal(ctx)
			case <-tick.C:
				d.inspect(ctx)
			}
		}
	})
	return tasks.Wait()
}

// heal makes the host again what the networks in force want.
func (d *Daemon) heal(ctx context.Context) {
	if d.token(ctx) != nil {
		return
	}
	defer d.release()
	err := d.applyHost(ctx, d.networks())
	if ctx.Err() != nil {
		return
	}
	d.warnings.set("host", problemsOf(err))
	if err != nil {
		d.log.Error("host not as the networks want it", "err", err)
		return
	}
	// A bridge made anew is another interface: what is bound to it must be bound again.
	d.index.SetBridges(bridgesOf(d.networks())...)
	d.dhcp.refresh(d.networks())
	d.resolved.Set(d.links())
}

// inspect looks for what other programs do against the networks.
func (d *Daemon) inspect(ctx context.Context) {
	nets := d.networks()
	obstacles, err := d.firewall.Obstacles(ctx, firewall.Wanted(nets))
	if err != nil && ctx.Err() == nil {
		d.log.Warn("other firewalls not read", "err", err)
	}
	conflicts, err := d.host.Conflicts(ctx, nets)
	if err != nil && ctx.Err() == nil {
		d.log.Warn("other networks not read", "err", err)
	}
	guests, err := d.Guests(ctx) // also notes since when each is as it is
	if err != nil && ctx.Err() == nil {
		d.log.Warn("guests not looked at", "err", err)
	}
	if ctx.Err() == nil {
		d.warnings.set("others", append(ipam.Problems(obstacles), conflicts...))
		d.warnings.set("squatters", squatters(guests))
	}
}

// links are the networks as the host's resolver is to know them.
func (d *Daemon) links() []resolved.Link {
	var links []resolved.Link
	for _, n := range d.networks() {
		nic, err := net.InterfaceByName(n.Name)
		if err != nil {
			continue // it is being made anew: heal comes by
		}
		links = append(links, resolved.Link{Name: n.Name, Index: nic.Index, Gateway: n.Gateway, Domain: n.Domain, Subnet: n.Subnet})
	}
	return links
}

var _ control.Daemon = (*Daemon)(nil)
