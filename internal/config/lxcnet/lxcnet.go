// Package lxcnet reads /etc/default/lxc-net, with which classic LXC describes its bridge, and
// /etc/default/lxc, by way of which the script lxc-net reads it.
package lxcnet

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"berth/internal/config"
	"berth/internal/config/bridgevars"
	"berth/internal/config/shellvars"
	"berth/internal/ipam"
)

// Path is where the packages of LXC put the file.
const Path = "/etc/default/lxc-net"

const flag = "--lxc-net"

// script is lxc-net. It always translates addresses, and its dnsmasq reads nothing that it
// is not told to.
func script() bridgevars.Script {
	return bridgevars.Script{
		Name: "lxc-net",
		Use:  "USE_LXC_BRIDGE", Bridge: "LXC_BRIDGE", Confile: "LXC_DHCP_CONFILE", Domain: "LXC_DOMAIN",
		Addr: "LXC_ADDR", Netmask: "LXC_NETMASK", Network: "LXC_NETWORK", Range: "LXC_DHCP_RANGE", Max: "LXC_DHCP_MAX",
		Addr6: "LXC_IPV6_ADDR", Mask6: "LXC_IPV6_MASK", Network6: "LXC_IPV6_NETWORK", Enable6: "LXC_IPV6_ENABLE", NAT6: "LXC_IPV6_NAT",
		Defaults: map[string]string{
			"USE_LXC_BRIDGE": "true", "LXC_BRIDGE": "lxcbr0", "LXC_BRIDGE_MAC": "10:66:6a:00:00:00",
			"LXC_ADDR": "10.0.3.1", "LXC_NETMASK": "255.255.255.0", "LXC_NETWORK": "10.0.3.0/24",
			"LXC_DHCP_RANGE": "10.0.3.2,10.0.3.254", "LXC_DHCP_MAX": "253", "LXC_DHCP_CONFILE": "", "LXC_DHCP_PING": "true",
			"LXC_DOMAIN": "", "LXC_USE_NFT": "true",
			"LXC_IPV6_ENABLE": "true", "LXC_IPV6_ADDR": "", "LXC_IPV6_MASK": "", "LXC_IPV6_NETWORK": "", "LXC_IPV6_NAT": "true",
		},
		Moot: []string{
			"LXC_USE_NFT", "LXC_DHCP_PING",
			// Of /etc/default/lxc, about other things than the bridge.
			"LXC_AUTO", "BOOTGROUPS", "SHUTDOWNDELAY", "OPTIONS", "STOPOPTS", "LXC_SHUTDOWN_TIMEOUT", "MIRROR", "SECURITY_MIRROR",
		},
		Lost: []bridgevars.Lost{{
			Name: "LXC_BRIDGE_MAC", Why: "the bridge keeps the hardware address that it has",
			Hint: "delete it; a bridge that berth makes gets one of its own",
		}},
	}
}

// Load reads the file at path, by way of the file lxc beside it if there is one, and by read the
// configuration of dnsmasq that it names. The answer and the error are those of bridgevars.Check; a
// file that can not be read is an *ipam.Problem.
func Load(path string, read bridgevars.ReadDnsmasq) (*bridgevars.Bridge, error) {
	top := filepath.Join(filepath.Dir(path), "lxc")
	files := []string{path, top}
	unread := func(err error) (*bridgevars.Bridge, error) {
		return &bridgevars.Bridge{File: config.File{Files: files}}, err
	}
	data, err := config.ReadFile(path, flag)
	if err != nil {
		return unread(err)
	}
	s := script()
	parse := func(name string, text []byte, open func(string) ([]byte, error)) (*shellvars.Vars, ipam.Problems) {
		return shellvars.Parse(name, text, shellvars.Options{Preset: s.Defaults, Open: open})
	}
	above, err := config.ReadFile(top, flag)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		vars, problems := parse(path, data, nil)
		return bridgevars.Check(s, path, vars, problems, files, read)
	case err != nil:
		return unread(err)
	}
	isReached := false
	vars, problems := parse(top, above, func(name string) ([]byte, error) {
		if abs, err := filepath.Abs(path); err != nil || filepath.Clean(name) != abs {
			return nil, fmt.Errorf("only %s is read from here", path)
		}
		isReached = true
		return data, nil
	})
	if isReached || len(problems) > 0 {
		return bridgevars.Check(s, path, vars, problems, files, read)
	}
	// The script would not have come by the file, which is named here for a reason.
	vars, problems = parse(path, data, nil)
	b, err := bridgevars.Check(s, path, vars, problems, files, read)
	b.Warnings = append(ipam.Problems{{
		Code: ipam.CodeConfig, Source: ipam.Source{File: top},
		Text: fmt.Sprintf("%s is not read from here, so lxc-net never came by it; it is in force now", path),
		Hint: fmt.Sprintf("write [ ! -f %s ] || . %s at its end", path, path),
	}}, b.Warnings...)
	return b, err
}
