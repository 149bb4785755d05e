package resolved

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// stubs are systemd-resolved's own addresses.
func stubs() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53}), netip.AddrFrom4([4]byte{127, 0, 0, 54})}
}

// asksResolved reports whether the programs of this host find names through
// systemd-resolved: by its stub (resolv.conf(5)), or by its module (nsswitch.conf(5)).
func asksResolved(resolvConf, nsswitch string) bool {
	for _, a := range nameservers(resolvConf) {
		if slices.Contains(stubs(), a) {
			return true
		}
	}
	data, err := os.ReadFile(nsswitch)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if ok && slices.Contains(strings.Fields(sources), "resolve") {
			return true
		}
	}
	return false
}

// nameservers are those of a resolv.conf; of one that is not there, none.
func nameservers(path string) []netip.Addr {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, a.Unmap())
		}
	}
	return list
}

// withoutResolved says whether the host resolves the names all the same, or how to make it.
func withoutResolved(l Link, resolvConf string) string {
	servers := nameservers(resolvConf)
	switch {
	case len(servers) > 0 && servers[0] == l.Gateway:
		return fmt.Sprintf("%s asks %s for %s", resolvConf, l.Gateway, namesOf(l))
	case len(servers) > 0 && servers[0].IsLoopback() && domainOf(l) != "":
		return fmt.Sprintf("systemd-resolved does not run; have the resolver at %s ask %s for %s; if it is dnsmasq: server=/%s/%s",
			servers[0], l.Gateway, namesOf(l), domainOf(l), l.Gateway)
	}
	return fmt.Sprintf("systemd-resolved does not run; to resolve %s here, put this line first in %s: nameserver %s",
		namesOf(l), resolvConf, l.Gateway)
}
