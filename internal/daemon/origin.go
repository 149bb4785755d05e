package daemon

import (
	"context"
	"errors"
	"os"

	"berth/internal/config"
	"berth/internal/config/bridgevars"
	"berth/internal/config/lxcnet"
	"berth/internal/config/lxdbridge"
)

// origin is the file that the networks are read from.
type origin struct {
	kind originKind
	path string
}

type originKind uint8

const (
	berthTOML originKind = iota
	lxdBridge
	lxcNet
)

// configuration is what was read, and from where. Of one that could not be read Files alone is set.
type configuration struct {
	config.File
	from origin
}

// candidates are the files that the networks may be read from, the best first; there is one at
// least. now is what they come from; nil at the start. A file that was named is the only one. When none was, the
// choice stays for as long as the daemon runs, so that a file that is missing for a moment, or deleted by
// mistake, does not put another in force that lies there from older days; but berth.toml, once there is one,
// is what somebody wrote for berth.
func (o Options) candidates(now *origin, exists func(path string) bool) []origin {
	toml := origin{berthTOML, o.Config}
	switch {
	case o.LXDBridge != "":
		return []origin{{lxdBridge, o.LXDBridge}}
	case o.LXCNet != "":
		return []origin{{lxcNet, o.LXCNet}}
	case !o.Search || exists(o.Config):
		return []origin{toml}
	case now != nil:
		return []origin{*now}
	}
	var found []origin
	for _, older := range []origin{{lxdBridge, lxdbridge.Path}, {lxcNet, lxcnet.Path}} {
		if exists(older.path) {
			found = append(found, older)
		}
	}
	if found == nil {
		return []origin{toml} // which says that there is none
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// loadConfig reads and checks the networks. From now on the files that were read, or looked for, are watched beside those in
// force. The error has the cause config.ErrOff when all that there is says that it is switched off.
func (d *Daemon) loadConfig(ctx context.Context) (*configuration, error) {
	var now *origin
	if inForce := d.inForce.Load(); inForce != nil {
		now = &inForce.from
	}
	var off error
	var files []string
	for _, from := range d.opts.candidates(now, exists) {
		c, err := d.loadFrom(ctx, from)
		files = append(files, c.Files...)
		d.watch(files)
		if !errors.Is(err, config.ErrOff) {
			return c, err
		}
		if off == nil {
			off = err
		}
	}
	return nil, off
}

// loadFrom reads one file. The configuration is never nil.
func (d *Daemon) loadFrom(ctx context.Context, from origin) (*configuration, error) {
	c := &configuration{from: from}
	c.Files = []string{from.path}
	var bridge *bridgevars.Bridge
	var err error
	switch from.kind {
	case lxdBridge:
		bridge, err = lxdbridge.Load(from.path, bridgevars.LoadDnsmasq)
	case lxcNet:
		bridge, err = lxcnet.Load(from.path, bridgevars.LoadDnsmasq)
	default:
		file, err := config.Load(from.path, config.Env{Auto: func(network string) (prefix, error) {
			return d.autoSubnet(ctx, network)
		}})
		if err == nil {
			c.File = *file
		}
		return c, err
	}
	c.File = bridge.File
	return c, err
}

// watch has files watched, those in force, and where a better one may appear.
func (d *Daemon) watch(files []string) {
	all := []string{d.opts.Pins}
	if d.opts.Search {
		all = append(all, d.opts.Config)
	}
	if inForce := d.inForce.Load(); inForce != nil {
		all = append(all, inForce.Files...)
	}
	d.files.Set(append(all, files...)...)
}

// configPath is the file that the networks in force come from.
func (d *Daemon) configPath() string {
	if inForce := d.inForce.Load(); inForce != nil {
		return inForce.from.path
	}
	return d.opts.Config
}

// IsOff reports whether Run ended because the files say that there is no network to serve: then nothing is
// wrong.
func IsOff(err error) bool { return errors.Is(err, config.ErrOff) }
