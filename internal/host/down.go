package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"berth/internal/firewall"
)

// RecordTable writes down that berth is about to make an nftables table of the inet
// family, so that Down takes it away again.
func (h *Host) RecordTable(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	record, err := ReadFootprint(h.path)
	if err != nil || slices.Contains(record.Tables, name) {
		return err
	}
	record.Tables = append(record.Tables, name)
	return record.write(h.path)
}

// step is one thing to take away: what a person reads, and the doing of it.
type step struct {
	text string
	do   func() error // nil: nothing is done, the text says why
}

// Down takes away exactly what the footprint at path says berth put on this machine,
// whatever the configuration is by now, and returns what it did, a line each. What is
// already gone is passed over. With dryRun it only says what it would do. After a failure
// the rest is still taken away, and the footprint is kept for another try. No daemon may be running: it
// would put everything back.
func Down(ctx context.Context, path string, dryRun bool) ([]string, error) {
	record, err := ReadFootprint(path)
	if err != nil {
		return nil, err
	}
	seen, err := observe(record)
	if err != nil {
		return nil, err
	}
	steps, err := downTables(ctx, record)
	if err != nil {
		return nil, err
	}
	for _, b := range record.Bridges {
		steps = append(steps, downBridge(b, seen)...)
	}
	for _, s := range record.Sysctls {
		steps = append(steps, downSysctl(s, seen)...)
	}
	var done []string
	var errs error
	for _, s := range steps {
		if s.do != nil && !dryRun {
			if err := ctx.Err(); err != nil {
				return done, errors.Join(errs, err)
			}
			if err := s.do(); err != nil {
				errs = errors.Join(errs, problem(s.text, err))
				continue
			}
		}
		done = append(done, s.text)
	}
	if errs != nil || dryRun {
		return done, errs
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, problem("remove the footprint", err)
	}
	return done, nil
}

func downTables(ctx context.Context, record Footprint) ([]step, error) {
	var steps []step
	for _, name := range record.Tables {
		there, err := firewall.Present(ctx, name)
		if err != nil {
			return nil, err
		}
		if there {
			steps = append(steps, step{"delete table inet " + name, func() error { return firewall.Remove(ctx, name) }})
		}
	}
	return steps, nil
}

// TakeBack takes away the bridges called names and forgets them: those that a start made which
// then failed. Everything else of the footprint at path stays.
func TakeBack(path string, names []string) error {
	record, err := ReadFootprint(path)
	if err != nil {
		return err
	}
	seen, err := observe(record)
	if err != nil {
		return err
	}
	var kept []BridgeFootprint
	var errs error
	for _, b := range record.Bridges {
		if !b.Created || !slices.Contains(names, b.Name) {
			kept = append(kept, b)
			continue
		}
		for _, s := range downBridge(b, seen) {
			if s.do != nil {
				errs = errors.Join(errs, problem(s.text, s.do()))
			}
		}
	}
	record.Bridges = kept
	return errors.Join(errs, record.write(path))
}

func downBridge(b BridgeFootprint, seen Observed) []step {
	link, exists := seen.Links[b.Name]
	if !exists {
		return nil
	}
	if _, same := (Footprint{Bridges: []BridgeFootprint{b}}).of(link); !same {
		return []step{{text: fmt.Sprintf("leave %s: somebody else made it since", b.Name)}}
	}
	if b.Created {
		text := "delete bridge " + b.Name
		if len(link.Ports) > 0 {
			slices.Sort(link.Ports)
			text += ", which unplugs " + strings.Join(link.Ports, ", ")
		}
		return []step{{text, func() error { return deleteLink(b.Name) }}}
	}
	var steps []step
	for _, a := range b.Addrs {
		if slices.Contains(link.Addrs, a) {
			steps = append(steps, step{fmt.Sprintf("remove %s from %s", a, b.Name), func() error { return dropAddr(b.Name, a) }})
		}
	}
	for _, s := range b.Sysctls {
		steps = append(steps, downSysctl(s, seen)...)
	}
	if b.Raised && link.Up && len(link.Ports) == 0 { // with ports it would cut somebody off
		steps = append(steps, step{fmt.Sprintf("bring %s down", b.Name), func() error { return lower(b.Name) }})
	}
	return append(steps, step{text: fmt.Sprintf("leave bridge %s with its ports: berth only adopted it", b.Name)})
}

func dropAddr(bridge string, a netip.Prefix) error {
	return withLink(bridge, func(l netlink.Link) error { return delAddr(l, a) })
}

func lower(bridge string) error { return withLink(bridge, netlink.LinkSetDown) }

// withLink does nothing to a link that is gone.
func withLink(name string, f func(netlink.Link) error) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = f(link)
	}
	if isGone(err) {
		return nil
	}
	return err
}

// downSysctl gives a parameter its old value back if it still has ours, and nobody
// who came later seems to rely on it.
func downSysctl(s SysctlFootprint, seen Observed) []step {
	if s.Was == s.Set || seen.Sysctls[s.Key] != s.Set {
		return nil
	}
	if s.Key != forwardKey {
		return []step{{fmt.Sprintf("set %s = %s", sysctlName(s.Key), s.Was), func() error { return ignoreGone(writeSysctl(s.Key, s.Was)) }}}
	}
	ours := slices.Clone(s.Besides)
	for _, b := range seen.Record.Bridges {
		ours = append(ours, b.Name)
	}
	for _, name := range seen.addressed() {
		if !slices.Contains(ours, name) {
			return []step{{text: fmt.Sprintf("leave %s = %s: %s came later and may need it", sysctlName(s.Key), s.Set, name)}}
		}
	}
	return []step{{fmt.Sprintf("set %s = %s", sysctlName(s.Key), s.Was), func() error {
		if err := writeSysctl(s.Key, s.Was); err != nil {
			return err
		}
		return restoreForwarding(s.Forwarding)
	}}}
}

// restoreForwarding switches forwarding back on where it was before ip_forward,
// which resets all interfaces.
func restoreForwarding(names []string) error {
	for _, name := range names {
		if err := ignoreGone(writeSysctl(forwardingKey(name), "1")); err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
