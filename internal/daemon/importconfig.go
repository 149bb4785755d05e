package daemon

import (
	"errors"
	"fmt"
	"io/fs"

	"berth/internal/config"
	"berth/internal/config/bridgevars"
	"berth/internal/config/dnsmasq"
	"berth/internal/config/lxcnet"
	"berth/internal/config/lxdbridge"
	"berth/internal/ipam"
)

// dnsmasqConf is what dnsmasq reads when it is not told otherwise.
const dnsmasqConf = "/etc/dnsmasq.conf"

// unserved lists what the configuration of the old service says and berth does not honour, a file that berth would
// refuse among it. path is where it lies; "" for the usual place. What is not there says nothing.
func unserved(source, path string) (ipam.Problems, error) {
	var bridge *bridgevars.Bridge
	var err error
	switch source {
	case "lxd-bridge":
		bridge, err = lxdbridge.Load(or(path, lxdbridge.Path), bridgevars.LoadDnsmasq)
	case "lxc-net":
		bridge, err = lxcnet.Load(or(path, lxcnet.Path), bridgevars.LoadDnsmasq)
	case "dnsmasq":
		c, problems, err := dnsmasq.Load(or(path, dnsmasqConf))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err != nil:
			return problemsOf(err), nil
		}
		return append(problems, c.Unserved...), nil
	default:
		return nil, &ipam.Problem{
			Code: ipam.CodeUsage, Text: fmt.Sprintf("%q is nothing that berth can take over", source), Hint: "berth import dnsmasq|lxd-bridge|lxc-net",
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, config.ErrOff):
		return nil, nil
	case err != nil:
		return problemsOf(err), nil
	}
	return bridge.Warnings, nil
}

func or(path, usual string) string {
	if path == "" {
		return usual
	}
	return path
}
