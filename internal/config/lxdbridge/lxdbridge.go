// Package lxdbridge reads /etc/default/lxd-bridge, with which LXD 2.0 described its bridge.
package lxdbridge

import (
	"berth/internal/config"
	"berth/internal/config/bridgevars"
	"berth/internal/config/shellvars"
)

// Path is where the packages of LXD put the file.
const Path = "/etc/default/lxd-bridge"

// script is lxd-bridge of LXD 2.0.
func script() bridgevars.Script {
	return bridgevars.Script{
		Name: "lxd-bridge",
		Use:  "USE_LXD_BRIDGE", Bridge: "LXD_BRIDGE", Confile: "LXD_CONFILE", Domain: "LXD_DOMAIN",
		Addr: "LXD_IPV4_ADDR", Netmask: "LXD_IPV4_NETMASK", Network: "LXD_IPV4_NETWORK",
		Range: "LXD_IPV4_DHCP_RANGE", Max: "LXD_IPV4_DHCP_MAX", NAT: "LXD_IPV4_NAT", Firewall: "LXD_IPV4_FIREWALL",
		Addr6: "LXD_IPV6_ADDR", Mask6: "LXD_IPV6_MASK", Network6: "LXD_IPV6_NETWORK",
		NAT6: "LXD_IPV6_NAT", Firewall6: "LXD_IPV6_FIREWALL", Proxy: "LXD_IPV6_PROXY",
		UpdateProfile: "UPDATE_PROFILE",
		Defaults: map[string]string{
			"USE_LXD_BRIDGE": "true", "LXD_BRIDGE": "lxdbr0", "UPDATE_PROFILE": "true",
			"LXD_CONFILE": "", "LXD_DOMAIN": "",
			"LXD_IPV4_ADDR": "", "LXD_IPV4_NETMASK": "", "LXD_IPV4_NETWORK": "",
			"LXD_IPV4_DHCP_RANGE": "", "LXD_IPV4_DHCP_MAX": "", "LXD_IPV4_NAT": "false", "LXD_IPV4_FIREWALL": "true",
			"LXD_IPV6_ADDR": "", "LXD_IPV6_MASK": "", "LXD_IPV6_NETWORK": "",
			"LXD_IPV6_NAT": "false", "LXD_IPV6_FIREWALL": "true", "LXD_IPV6_PROXY": "true",
		},
		HostConf: "/etc/dnsmasq.conf", // without --conf-file dnsmasq reads the host's own
	}
}

// Load reads the file at path, and by read the configuration of dnsmasq that belongs to it. The
// answer and the error are those of bridgevars.Check; a file that can not be read is an
// *ipam.Problem.
func Load(path string, read bridgevars.ReadDnsmasq) (*bridgevars.Bridge, error) {
	files := []string{path}
	data, err := config.ReadFile(path, "--lxd-bridge")
	if err != nil {
		return &bridgevars.Bridge{File: config.File{Files: files}}, err
	}
	s := script()
	vars, problems := shellvars.Parse(path, data, shellvars.Options{Preset: s.Defaults})
	return bridgevars.Check(s, path, vars, problems, files, read)
}
