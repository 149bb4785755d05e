// Package daemon wires the rooms together: it reads the files, puts them in force,
// keeps the tasks running, and answers the control API.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/control"
	"berth/internal/dhcp4/dnsmasqlog"
	"berth/internal/dns"
	"berth/internal/dns/resolved"
	"berth/internal/filewatch"
	"berth/internal/firewall"
	"berth/internal/guest"
	"berth/internal/host"
	"berth/internal/ipam"
	"berth/internal/ledger"
	"berth/internal/reconcile"
)

// Options is what Run needs. Config, Pins, State and Socket are required.
type Options struct {
	Config    string // path of berth.toml
	Search    bool   // without it, the files of lxd-bridge or lxc-net are read where they usually lie
	LXDBridge string // path of a file of lxd-bridge, in place of Config
	LXCNet    string // path of a file of lxc-net, in place of Config
	Pins      string // path of the pins file
	State     string // directory of the ledger and the footprint
	Socket    string // path of the control socket
	Version   string
	Log       *slog.Logger // nil: silent
	Lines     io.Writer    // where lines in dnsmasq's form go, when the configuration asks for them; nil: stderr
}

// Daemon is a running berth.
type Daemon struct {
	opts     Options
	log      *slog.Logger
	started  time.Time
	warnings warnings
	states   states

	ledger     *ledger.Ledger
	host       *host.Host
	firewall   *firewall.Firewall
	index      *guest.Index
	reconciler *reconcile.Reconciler
	dns        *dns.Server
	resolved   *resolved.Registrar
	dhcp       *dhcpServers
	files      *filewatch.Watcher
	mirror     *mirror
	form       *dnsmasqlog.Form

	takeover  bool                          // this start found what an earlier one had left
	changing  chan struct{}                 // holds a token while pins or networks are being changed
	inForce   atomic.Pointer[configuration] // nil until there is one
	given     []ipam.Pin                    // by files that are not berth's; changed with the token held
	givenFrom []string                      // these files, and those of earlier configurations whose pins are in force; in order
	nets      atomic.Pointer[ipam.Networks]
}

// Run is the daemon: it brings the networks up, serves until ctx ends, and leaves
// bridge, addresses, NAT and guests as they are. When it can not start it has
// changed nothing, and the error, made for a person, says why.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lines == nil {
		o.Lines = os.Stderr
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	d := &Daemon{opts: o, log: o.Log, started: time.Now(), changing: make(chan struct{}, 1)}
	d.nets.Store(&ipam.Networks{})
	d.form = dnsmasqlog.New(o.Lines)
	d.host = host.New(host.Options{Footprint: footprintPath(o.State), Log: o.Log})
	d.files = filewatch.New(o.Log)
	var err error
	if d.givenFrom, err = readGiven(o.State); err != nil {
		return err
	}
	cfg, err := d.loadConfig(ctx)
	if IsOff(err) {
		_ = notify("READY=1", "STATUS=switched off") // so that ending at once is no failure
	}
	if err != nil {
		return err
	}
	listener, err := control.Listen(o.Socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	if d.ledger, err = ledger.Open(ctx, ledger.Options{Dir: o.State, Log: o.Log}); err != nil {
		return err
	}
	defer func() {
		if err := d.ledger.Close(); err != nil {
			o.Log.Error("ledger not closed", "err", err)
		}
	}()
	d.firewall = firewall.New(o.Log)
	defer d.firewall.Close()
	d.index = guest.NewIndex(o.Log)
	d.reconciler = reconcile.New(d.ledger, d.index, d.networks, o.Log)
	d.ledger.SetRunning(d.reconciler.Running)
	d.dns = dns.New(dns.Options{Names: d.ledger, Log: o.Log})
	d.resolved = resolved.New(resolved.Options{Log: o.Log})
	d.mirror = newMirror(o.State, d.ledger, d.networks, func(ps ipam.Problems) { d.warnings.set("mirror", ps) }, o.Log)
	return d.run(ctx, cfg, listener)
}

// run brings everything up and waits for the end.
func (d *Daemon) run(ctx context.Context, cfg *configuration, listener net.Listener) error {
	footprint, err := host.ReadFootprint(footprintPath(d.opts.State))
	if err != nil {
		return err
	}
	present, err := firewall.Present(ctx, firewall.Table)
	if err != nil {
		return err
	}
	d.takeover = !footprint.IsZero() || present
	absent := absentBridges(cfg.Networks)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks, ctx := errgroup.WithContext(ctx)
	if err := d.bringUp(ctx, tasks, cfg); err != nil {
		cancel()
		_ = tasks.Wait() // ended by cancel; why it could not start is in err
		if !d.takeover { // what guests rely on already stays, as after any stop
			err = d.takeBack(err)
		} else if len(absent) > 0 {
			err = errors.Join(err, host.TakeBack(footprintPath(d.opts.State), absent))
		}
		return err
	}
	tasks.Go(func() error { return control.Serve(ctx, listener, d, d.log) })
	d.log.Info("serving", "network", d.networkNames())
	if err := notify("READY=1", "STATUS="+d.networkNames()); err != nil {
		d.log.Warn("service manager not told", "err", err)
	}
	err = tasks.Wait()
	_ = notify("STOPPING=1") // nobody is there to hear that it failed
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// bringUp puts the configuration in force and starts the tasks. DHCP is served
// before the guests' pins are carried out: what they ask meanwhile is answered by the new pins.
func (d *Daemon) bringUp(ctx context.Context, tasks *errgroup.Group, cfg *configuration) error {
	d.dhcp = newDHCPServers(ctx, d.ledger, d.index, slog.New(d.form.Wrap(d.log.Handler())))
	tasks.Go(func() error { d.dhcp.wait(); return nil })
	tasks.Go(func() error { return d.index.Run(ctx) })
	if err := d.token(ctx); err != nil {
		return err
	}
	defer d.release()
	// The names first: a guest that asks at once must be known by its own.
	change, err := d.putInForce(ctx, cfg, true)
	if err != nil {
		return err
	}
	for _, task := range []interface {
		Run(ctx context.Context) error
		String() string
	}{d.dns, d.resolved, d.reconciler, d.files, d.mirror} {
		tasks.Go(func() error {
			if err := task.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", task, err)
			}
			return nil
		})
	}
	tasks.Go(func() error { d.dhcp.follow(ctx); return nil })
	tasks.Go(func() error { d.follow(ctx); return nil })
	tasks.Go(func() error { d.recheck(ctx); return nil })
	tasks.Go(func() error { return d.guard(ctx) })
	tasks.Go(func() error {
		d.reconciler.Execute(ctx, change.Moves)
		return nil
	})
	return nil
}

// absentBridges are the networks whose bridge does not exist yet: nobody can be plugged into one.
func absentBridges(nets ipam.Networks) []string {
	var names []string
	for _, n := range nets {
		if _, err := net.InterfaceByName(n.Name); err != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// takeBack undoes what a first start did before it failed.
func (d *Daemon) takeBack(cause error) error {
	if _, err := host.Down(context.Background(), footprintPath(d.opts.State), false); err != nil {
		return errors.Join(cause, fmt.Errorf("take back what was done: %w", err))
	}
	return cause
}

// networks are those in force.
func (d *Daemon) networks() ipam.Networks { return *d.nets.Load() }

func (d *Daemon) networkNames() string {
	text := ""
	for _, n := range d.networks() {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", n.Name, n.Subnet)
	}
	return text
}

// token waits until no other change is under way; give it back with release.
func (d *Daemon) token(ctx context.Context) error {
	select {
	case d.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier change: %w", ctx.Err())
	}
}

func (d *Daemon) release() { <-d.changing }

func footprintPath(state string) string { return filepath.Join(state, "footprint.json") }
