package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/internal/ipam"
)

// Footprint is what berth put on this machine, written down before it is done. All of
// it is kernel state, which a reboot takes away, so it is void in another boot.
type Footprint struct {
	Version int               `json:"version"`
	Boot    string            `json:"boot"`
	Bridges []BridgeFootprint `json:"bridges,omitempty"`
	Sysctls []SysctlFootprint `json:"sysctls,omitempty"` // of the whole machine
	Tables  []string          `json:"tables,omitempty"`  // nftables tables of the inet family
}

// IsZero reports whether berth put nothing on this machine.
func (f Footprint) IsZero() bool {
	return len(f.Bridges) == 0 && len(f.Sysctls) == 0 && len(f.Tables) == 0
}

// BridgeFootprint is what berth did to one bridge.
type BridgeFootprint struct {
	Name     string            `json:"name"`
	Index    int               `json:"index,omitempty"` // 0: about to be created
	MAC      ipam.MAC          `json:"mac"`
	Created  bool              `json:"created"`             // false: adopted
	FixedMAC bool              `json:"fixed_mac,omitempty"` // adopted, and its MAC made to stay
	Raised   bool              `json:"raised,omitempty"`    // adopted while it was down, and brought up
	Addrs    []netip.Prefix    `json:"addrs,omitempty"`     // added by berth
	Sysctls  []SysctlFootprint `json:"sysctls,omitempty"`
}

// SysctlFootprint is a kernel parameter that berth changed.
type SysctlFootprint struct {
	Key string `json:"key"` // path below /proc/sys
	Was string `json:"was"`
	Set string `json:"set"`
	// Of ip_forward alone, which resets the forwarding of every interface: those that
	// forwarded before, and the addressed bridges there were. A bridge that came later may be
	// somebody's who found forwarding on and relies on it.
	Forwarding []string `json:"forwarding,omitempty"`
	Besides    []string `json:"besides,omitempty"`
}

const footprintVersion = 1

// ReadFootprint reads the file at path. A missing file, or one of an earlier boot, is
// an empty footprint; a damaged one is an ipam.Problem.
func ReadFootprint(path string) (Footprint, error) {
	empty := Footprint{Version: footprintVersion, Boot: bootID()}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, problem("read the footprint "+path, err)
	}
	var f Footprint
	if err := json.Unmarshal(data, &f); err != nil || f.Version != footprintVersion {
		return empty, &ipam.Problem{
			Code: ipam.CodeHost, Err: err, Source: ipam.Source{File: path},
			Text: fmt.Sprintf("the record of what berth changed on this host is damaged or of another version (%d)", f.Version),
			Hint: "look into it, then move it away: berth then adopts what it finds, and berth down keeps it",
		}
	}
	if f.Boot != empty.Boot {
		return empty, nil
	}
	return f, nil
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without /proc nothing here works anyway
	return strings.TrimSpace(string(id))
}

// write replaces the file so that after a crash it is the old or the new one, whole.
func (f Footprint) write(path string) error {
	data, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	data = append(data, '\n')
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return problem("make the directory of the footprint", err)
	}
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return problem("write the footprint", err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return problem("write the footprint", errors.Join(err, os.Remove(tmp.Name())))
	}
	return problem("sync the footprint", syncDir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// of is the record that is about this very link: the same interface, or for a
// bridge of berth's own the MAC that nobody else gives.
func (f Footprint) of(link Link) (BridgeFootprint, bool) {
	for _, b := range f.Bridges {
		if link.Name != "" && b.Name == link.Name && (b.Index == link.Index || b.Created && b.MAC == link.MAC) {
			return b, true
		}
	}
	return BridgeFootprint{}, false
}

// after is the footprint once changes are made to what was seen. Nothing of f is
// shared with the result.
func (f Footprint) after(changes []Change, seen Observed) Footprint {
	next := f.clone()
	for _, c := range changes {
		link := seen.Links[c.Bridge]
		switch c.Action {
		case CreateBridge:
			next.setBridge(BridgeFootprint{Name: c.Bridge, MAC: c.MAC, Created: true})
		case ReclaimOwn:
			next.setBridge(BridgeFootprint{Name: c.Bridge, Index: link.Index, MAC: c.MAC, Created: true})
		case AdoptBridge:
			next.setBridge(BridgeFootprint{Name: c.Bridge, Index: link.Index, MAC: c.MAC, FixedMAC: true})
		case AddAddress:
			b := next.bridge(c.Bridge)
			if !slices.Contains(b.Addrs, c.Addr) {
				b.Addrs = append(b.Addrs, c.Addr)
			}
		case BringUp:
			if b := next.bridge(c.Bridge); !b.Created {
				b.Raised = true
			}
		case DropAddress:
			b := next.bridge(c.Bridge)
			b.Addrs = slices.DeleteFunc(b.Addrs, func(a netip.Prefix) bool { return a == c.Addr })
		case SetSysctl:
			next.addSysctl(c, seen)
		}
	}
	return next
}

// addSysctl keeps the first value ever seen: that is the one to go back to. What
// belongs to a bridge of berth's own goes with the bridge.
func (f *Footprint) addSysctl(c Change, seen Observed) {
	list, entry := &f.Sysctls, SysctlFootprint{Key: c.Key, Was: c.From, Set: c.To}
	switch {
	case c.Bridge != "":
		b := f.bridge(c.Bridge)
		if b.Created {
			return
		}
		list = &b.Sysctls
	case c.Key == forwardKey:
		entry.Besides = seen.addressed()
		for _, name := range append([]string{"default"}, sortedNames(seen.Links)...) {
			if seen.Sysctls[forwardingKey(name)] == "1" {
				entry.Forwarding = append(entry.Forwarding, name)
			}
		}
	}
	if !slices.ContainsFunc(*list, func(s SysctlFootprint) bool { return s.Key == c.Key }) {
		*list = append(*list, entry)
	}
}

func (f *Footprint) setBridge(b BridgeFootprint) {
	f.Bridges = slices.DeleteFunc(f.Bridges, func(o BridgeFootprint) bool { return o.Name == b.Name })
	f.Bridges = append(f.Bridges, b)
}

// bridge is the record called name; every planned change follows one that makes it.
func (f *Footprint) bridge(name string) *BridgeFootprint {
	i := slices.IndexFunc(f.Bridges, func(b BridgeFootprint) bool { return b.Name == name })
	if i < 0 {
		f.Bridges = append(f.Bridges, BridgeFootprint{Name: name})
		i = len(f.Bridges) - 1
	}
	return &f.Bridges[i]
}

func (f Footprint) clone() Footprint {
	f.Bridges, f.Sysctls, f.Tables = slices.Clone(f.Bridges), slices.Clone(f.Sysctls), slices.Clone(f.Tables)
	for i := range f.Bridges {
		b := &f.Bridges[i]
		b.Addrs, b.Sysctls = slices.Clone(b.Addrs), slices.Clone(b.Sysctls)
	}
	return f
}
