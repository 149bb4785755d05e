package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"berth/internal/control"
	"berth/internal/dns/resolved"
	"berth/internal/firewall"
	"berth/internal/host"
	"berth/internal/ipam"
	"berth/internal/ledger"
)

// DownOptions is what Down needs.
type DownOptions struct {
	State  string // the daemon's state directory
	Socket string // where a running daemon would answer
	DryRun bool
}

// Down takes away exactly what berth put on this host, and returns what it did, a line
// each. It refuses while a daemon runs, which would put everything back.
func Down(ctx context.Context, o DownOptions) ([]string, error) {
	st, err := control.NewClient(o.Socket).Status(ctx)
	var problem *ipam.Problem
	switch {
	case err == nil:
		return nil, &ipam.Problem{
			Code: ipam.CodeHost, Text: fmt.Sprintf("the daemon runs (process %d) and would put everything back", st.PID),
			Hint: "stop it first: systemctl stop berth; then: berth down",
		}
	case errors.As(err, &problem) && problem.Code == ipam.CodeDenied:
		return nil, err
	}
	lock, err := ledger.Lock(o.State) // a daemon may answer elsewhere, or hang
	switch {
	case err == nil:
		defer lock.Close()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	path := footprintPath(o.State)
	footprint, err := host.ReadFootprint(path)
	if err != nil {
		return nil, err
	}
	if footprint.IsZero() {
		present, err := firewall.Present(ctx, firewall.Table)
		if err == nil && present {
			err = &ipam.Problem{
				Code: ipam.CodeHost, Text: fmt.Sprintf("berth put things on this host (table inet %s is there), but their record is not in %s", firewall.Table, o.State),
				Hint: "name the daemon's state directory: berth down --state DIR; or start the daemon once, which makes a record of what is there",
			}
		}
		return nil, err
	}
	done, err := host.Down(ctx, path, o.DryRun)
	if err != nil || o.DryRun {
		return done, err
	}
	resolver := resolved.New(resolved.Options{})
	for _, b := range footprint.Bridges {
		if b.Created {
			continue // gone, and forgotten with it
		}
		if err := resolver.Revert(ctx, b.Index); err != nil {
			return done, fmt.Errorf("make the host's resolver forget %s: %w", b.Name, err)
		}
	}
	return done, nil
}
