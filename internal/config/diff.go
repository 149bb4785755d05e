package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"berth/internal/config/option"
	"berth/internal/ipam"
)

// Diff says in words what differs between two sets of networks, one change a line:
// "network lxdbr0: lease-time 1h → 2h". The order of networks in a set means nothing.
func Diff(before, after ipam.Networks) []string {
	var changes []string
	for _, n := range before {
		if after.Named(n.Name) == nil {
			changes = append(changes, fmt.Sprintf("network %s: removed", n.Name))
		}
	}
	for _, n := range after {
		old := before.Named(n.Name)
		if old == nil {
			changes = append(changes, fmt.Sprintf("network %s: new, %s", n.Name, ipv4(n)))
			continue
		}
		for _, text := range append(settings(old, n), optionChanges(old.Options, n.Options)...) {
			changes = append(changes, fmt.Sprintf("network %s: %s", n.Name, text))
		}
	}
	return changes
}

// settings are the changes of everything but options, in the order of the reference.
func settings(before, after *ipam.Network) []string {
	var changes []string
	for _, s := range [...]struct{ key, before, after string }{
		{"ipv4", ipv4(before), ipv4(after)},
		{"dhcp-range", before.Range.String(), after.Range.String()},
		{"lease-time", formatDuration(before.LeaseTime), formatDuration(after.LeaseTime)},
		{"nat", strconv.FormatBool(before.NAT), strconv.FormatBool(after.NAT)},
		{"firewall", strconv.FormatBool(!before.NoAccept), strconv.FormatBool(!after.NoAccept)},
		{"domain", orNone(before.Domain), orNone(after.Domain)},
		{"upstream", resolvers(before.Upstream), resolvers(after.Upstream)},
		{"drain", formatDuration(before.Drain), formatDuration(after.Drain)},
		{"trust-hostname", strconv.FormatBool(before.TrustHostname), strconv.FormatBool(after.TrustHostname)},
		{"authoritative", strconv.FormatBool(before.Authoritative), strconv.FormatBool(after.Authoritative)},
	} {
		if s.before != s.after {
			changes = append(changes, fmt.Sprintf("%s %s → %s", s.key, s.before, s.after))
		}
	}
	return changes
}

// optionChanges are the changes of options, in order of code.
func optionChanges(before, after []ipam.Option) []string {
	byCode := func(set []ipam.Option, code uint8) (ipam.Option, bool) {
		i := slices.IndexFunc(set, func(o ipam.Option) bool { return o.Code == code })
		if i < 0 {
			return ipam.Option{}, false
		}
		return set[i], true
	}
	var changes []string
	for code := range 256 {
		code := uint8(code)
		was, had := byCode(before, code)
		is, has := byCode(after, code)
		switch {
		case had && !has:
			changes = append(changes, fmt.Sprintf("option %s %s → unset", option.Name(code), option.Show(was)))
		case has && !had:
			changes = append(changes, fmt.Sprintf("option %s unset → %s", option.Name(code), option.Show(is)))
		case has && !bytes.Equal(was.Data, is.Data):
			changes = append(changes, fmt.Sprintf("option %s %s → %s", option.Name(code), option.Show(was), option.Show(is)))
		}
	}
	return changes
}

func ipv4(n *ipam.Network) string { return netip.PrefixFrom(n.Gateway, n.Subnet.Bits()).String() }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// resolvers is a list of upstream resolvers as it could be written.
func resolvers(list []netip.AddrPort) string {
	switch {
	case list == nil:
		return "the host's own"
	case len(list) == 0:
		return "none"
	}
	var texts []string
	for _, a := range list {
		if a.Port() == dnsPort {
			texts = append(texts, a.Addr().String())
		} else {
			texts = append(texts, a.String())
		}
	}
	return strings.Join(texts, " ")
}
