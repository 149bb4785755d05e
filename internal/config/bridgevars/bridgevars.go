// Package bridgevars checks the variables with which lxd-bridge and lxc-net describe their bridge. Both
// scripts have the same ones under names of their own; what differs is a Script.
//
// The scripts checked nothing: a mistake became a bridge without DHCP, rules for a subnet that
// nobody has, or a dnsmasq that did not start. Here it is refused at its place.
package bridgevars

import (
	"fmt"
	"net/netip"
	"slices"

	"berth/internal/config"
	"berth/internal/config/document"
	"berth/internal/config/shellvars"
	"berth/internal/ipam"
)

// Script is one of the old services. A variable that it does not have is "".
type Script struct {
	Name string // as the operator knows it: "lxd-bridge"

	Use, Bridge, Confile, Domain       string
	Addr, Netmask, Network, Range, Max string
	NAT, Firewall                      string // without NAT the script always translates
	Addr6, Mask6, Network6             string
	Enable6, NAT6, Firewall6, Proxy    string
	UpdateProfile                      string

	Defaults map[string]string // what a variable is that the file does not set; else ""
	Moot     []string          // variables whose wish is met without them
	Lost     []Lost
	HostConf string // what dnsmasq reads when Confile is empty; "" for nothing
}

// Lost is a variable that is not honoured when a file sets it to something.
type Lost struct{ Name, Why, Hint string }

// Bridge is what such a file describes: one network, and what is not served yet.
type Bridge struct {
	config.File
	IPv6          IPv6
	UpdateProfile bool // LXD's default profile shall name this bridge
}

// IPv6 is what the file says of the other family.
type IPv6 struct {
	Gateway  netip.Prefix // the bridge's address with its prefix length; invalid for none
	NAT      bool
	Firewall bool // let guests through the host's filter
	Proxy    bool // an HTTP proxy at the bridge's link-local address
}

// ReadDnsmasq reads the configuration of the script's dnsmasq at path. The cause of its error is
// fs.ErrNotExist when nothing is there; what to watch is in the answer all the same.
type ReadDnsmasq func(n *ipam.Network, path string) (*Dnsmasq, error)

// Check makes a network of what a file says. path is the file's, files are all that were read,
// problems what was found wrong with them. The error is of ipam.Problems, or, with the cause
// config.ErrOff, the one that says where the bridge is switched off. The Bridge is never nil: its Files are to
// be watched in any case.
func Check(s Script, path string, vars *shellvars.Vars, problems ipam.Problems, files []string, read ReadDnsmasq) (*Bridge, error) {
	b := &Bridge{File: config.File{Files: slices.Clone(files)}}
	c := &checker{script: s, path: path, vars: vars, problems: problems}
	if len(problems) > 0 {
		return b, problems
	}
	if off := c.off(); off != nil {
		return b, off
	}
	n := c.network()
	b.IPv6 = c.ipv6(n.Name)
	b.UpdateProfile = c.updateProfile(n.Name)
	c.notHonoured()
	c.unknown()
	c.dnsmasq(b, n, read)
	if len(c.problems) > 0 {
		return b, c.problems
	}
	b.Networks, b.Warnings = ipam.Networks{n}, append(c.warnings, b.Warnings...)
	return b, nil
}

// checker collects what is wrong with a file while it becomes a network.
type checker struct {
	script   Script
	path     string
	vars     *shellvars.Vars
	problems ipam.Problems
	warnings ipam.Problems
}

// value is what a variable holds, by the file or by default.
type value struct {
	name  string
	text  string
	place func(byte int) ipam.Source
	isSet bool // by the file
}

func (c *checker) get(name string) value {
	if v, ok := c.vars.Lookup(name); ok {
		return value{name, v.Value, v.Place, true}
	}
	nowhere := func(int) ipam.Source { return ipam.Source{File: c.path} }
	return value{name, c.script.Defaults[name], nowhere, false}
}

func (v value) problem(hint, format string, args ...any) *ipam.Problem {
	return v.problemAt(0, hint, format, args...)
}

func (v value) problemAt(i int, hint, format string, args ...any) *ipam.Problem {
	return &ipam.Problem{Code: ipam.CodeConfig, Source: v.place(i), Text: fmt.Sprintf(format, args...), Hint: hint}
}

func (c *checker) refuse(v value, hint, format string, args ...any) {
	c.problems = append(c.problems, v.problem(hint, format, args...))
}

func (c *checker) warn(v value, hint, format string, args ...any) {
	c.warnings = append(c.warnings, v.problem(hint, format, args...))
}

// flag is whether a variable says exactly "true", as the scripts compare it.
func (c *checker) flag(name string) bool {
	if name == "" {
		return false
	}
	v := c.get(name)
	switch v.text {
	case "true":
		return true
	case "false", "":
		return false
	}
	c.warn(v, fmt.Sprintf(`write %s="true", or "false"`, name), `%s is %q: only "true" switches it on, so it is off`, name, v.text)
	return false
}

// off says where the bridge is switched off, or nil.
func (c *checker) off() error {
	use, bridge := c.get(c.script.Use), c.get(c.script.Bridge)
	var off *ipam.Problem
	switch {
	case use.text != "true":
		off = use.problem(fmt.Sprintf(`write %s="true", or write the networks into /etc/berth/berth.toml`, use.name),
			`%s is %q, so there is no network to serve: only "true" switches it on`, use.name, use.text)
	case bridge.text == "":
		off = bridge.problem(fmt.Sprintf(`write %s=%q`, bridge.name, c.script.Defaults[bridge.name]),
			"%s is empty, so there is no network to serve", bridge.name)
	default:
		return nil
	}
	off.Err = config.ErrOff
	return off
}

// unknown warns of variables whose names are nearly those of the script's.
func (c *checker) unknown() {
	known := c.script.names()
	for _, v := range c.vars.All() {
		if slices.Contains(known, v.Name) {
			continue
		}
		if near := document.Nearest(v.Name, known); near != "" {
			c.warnings = append(c.warnings, &ipam.Problem{
				Code: ipam.CodeConfig, Source: v.At, Text: v.Name + " is no variable of " + c.script.Name, Hint: "did you mean " + near + "?",
			})
		}
	}
}

// names are those of all variables that the script has.
func (s Script) names() []string {
	names := []string{
		s.Use, s.Bridge, s.Confile, s.Domain, s.Addr, s.Netmask, s.Network, s.Range, s.Max, s.NAT, s.Firewall,
		s.Addr6, s.Mask6, s.Network6, s.Enable6, s.NAT6, s.Firewall6, s.Proxy, s.UpdateProfile,
	}
	for _, l := range s.Lost {
		names = append(names, l.Name)
	}
	names = append(names, s.Moot...)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// notHonoured warns of what is set in vain.
func (c *checker) notHonoured() {
	for _, l := range c.script.Lost {
		if v := c.get(l.Name); v.isSet && v.text != "" {
			c.warn(v, l.Hint, "%s is not honoured: %s", l.Name, l.Why)
		}
	}
}

// updateProfile is whether LXD's default profile shall be changed, which takes LXD's own API.
func (c *checker) updateProfile(bridge string) bool {
	name := c.script.UpdateProfile
	if !c.flag(name) {
		return false
	}
	c.warn(c.get(name), "lxc profile device set default eth0 parent "+bridge+`, then write `+name+`="false"`,
		"%s is not served yet by this version: the default profile of LXD stays as it is", name)
	return true
}
