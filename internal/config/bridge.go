package config

import (
	"fmt"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// maxInterfaceName is how long the name of an interface may be, in bytes (IFNAMSIZ without NUL).
const maxInterfaceName = 15

// bridgeName checks that a network is called as an interface can be.
func (c *checker) bridgeName(e *document.Entry) {
	if bad := CheckBridge(e.Key); bad != nil {
		bad.Source = e.At
		c.add(bad)
	}
}

// CheckBridge says why no bridge can be called name, or nil. The problem has no place.
func CheckBridge(name string) *ipam.Problem {
	refuse := func(format string, args ...any) *ipam.Problem {
		return &ipam.Problem{
			Code: ipam.CodeConfig, Text: fmt.Sprintf(format, args...),
			Hint: "a network is called as its bridge: up to 15 letters, digits, dots and hyphens, like lxdbr0",
		}
	}
	switch {
	case name == "":
		return refuse("the network has no name")
	case name == "." || name == "..":
		return refuse("%q is no interface's name", name)
	case name == "lo":
		return refuse("lo is the loopback interface")
	case name == "all" || name == "default": // directories of /proc/sys/net/ipv4/conf beside those of interfaces
		return refuse("%q means every interface to the kernel", name)
	case len(name) > maxInterfaceName:
		return refuse("%q is longer than an interface's name may be: %d bytes, of which there may be %d", name, len(name), maxInterfaceName)
	}
	for _, r := range name {
		// '%' begins a pattern, and ':' an alias, to the kernel; quotes would leave those of a rule.
		if r <= ' ' || r >= 0x7f || r == '/' || r == ':' || r == '%' || r == '"' || r == '\'' || r == '\\' {
			return refuse("the name of network %q holds the character %q", name, r)
		}
	}
	return nil
}
