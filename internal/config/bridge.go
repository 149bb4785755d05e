package config

import (
	"berth/internal/config/document"
)

// maxInterfaceName is how long the name of an interface may be, in bytes (IFNAMSIZ without NUL).
const maxInterfaceName = 15

// bridgeName checks that a network is called as an interface can be.
func (c *checker) bridgeName(e *document.Entry) {
	const hint = "a network is called as its bridge: up to 15 letters, digits, dots and hyphens, like lxdbr0"
	switch name := e.Key; {
	case name == "":
		c.add(e.Problem(hint, "the network has no name"))
		return
	case len(name) > maxInterfaceName:
		c.add(e.Problem(hint, "%q is longer than an interface's name may be: %d bytes, of which there may be %d", name, len(name), maxInterfaceName))
	case name == "." || name == "..":
		c.add(e.Problem(hint, "%q is no interface's name", name))
	case name == "lo":
		c.add(e.Problem(hint, "lo is the loopback interface"))
	case name == "all" || name == "default": // directories of /proc/sys/net/ipv4/conf beside those of interfaces
		c.add(e.Problem(hint, "%q means every interface to the kernel", name))
	}
	for _, r := range e.Key {
		// '%' begins a pattern, and ':' an alias, to the kernel; quotes would leave those of a rule.
		if r <= ' ' || r >= 0x7f || r == '/' || r == ':' || r == '%' || r == '"' || r == '\'' || r == '\\' {
			c.add(e.Problem(hint, "the name of network %q holds the character %q", e.Key, r))
			return
		}
	}
}
