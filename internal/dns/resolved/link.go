package resolved

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The address families as the interface has them: Linux's own numbers.
const (
	afInet  = 2
	afInet6 = 10
)

// server is the D-Bus structure (iay).
type server struct {
	Family  int32
	Address []byte
}

// domain is the D-Bus structure (sb).
type domain struct {
	Name        string
	RoutingOnly bool
}

// serversFor is who resolved should ask on the link, as text that compares.
func serversFor(l Link) []string { return []string{string(l.Gateway.AsSlice())} }

// domainsFor are the names that resolved should ask for on the link. They are for
// routing only: as a search domain, a network's would make every short name that the
// host looks up, "mail" or "wpad", the name of a guest first.
func domainsFor(l Link) []domain {
	var domains []domain
	if name := domainOf(l); name != "" {
		domains = append(domains, domain{name, true})
	}
	for _, zone := range reverseZones(l.Subnet) {
		domains = append(domains, domain{zone, true})
	}
	return domains
}

func domainOf(l Link) string { return strings.ToLower(strings.Trim(l.Domain, ".")) }

// setting is a method that both resolved and networkd have, and what to call it with.
type setting struct {
	method string
	args   []any
	extra  bool // older versions do without it
}

// settingsFor is everything about the link, in the order to tell it: who to ask comes
// last, so that nothing but our own names is ever asked there.
func settingsFor(l Link) []setting {
	family := int32(afInet)
	if l.Gateway.Is6() {
		family = afInet6
	}
	index := int32(l.Index)
	return []setting{
		{"SetLinkDefaultRoute", []any{index, false}, true},
		// Nobody signs a domain that exists on this host only, and no other link is asked for it.
		{"SetLinkDNSSEC", []any{index, "no"}, true},
		{"SetLinkDNSOverTLS", []any{index, "no"}, true},
		{"SetLinkDomains", []any{index, domainsFor(l)}, false},
		{"SetLinkDNS", []any{index, []server{{family, l.Gateway.AsSlice()}}}, false},
	}
}

// setLink tells resolved everything about the link.
func (b *bus) setLink(ctx context.Context, l Link) error {
	for _, s := range settingsFor(l) {
		if err := b.callLink(ctx, s.method, s.args); err != nil && !(s.extra && isUnknown(err)) {
			return err
		}
	}
	return nil
}

// revertLink makes resolved forget what it was told about an interface.
func (b *bus) revertLink(ctx context.Context, index int) error {
	return b.callLink(ctx, "RevertLink", []any{int32(index)})
}

// callLink calls a method of resolved about one link; of networkd when that manages
// the link, because resolved then listens to nobody else.
func (b *bus) callLink(ctx context.Context, method string, args []any) error {
	err := b.call(ctx, resolvedName, resolvedPath, resolvedName+".Manager."+method, args)
	if !isError(err, resolvedName+".LinkBusy") {
		return err
	}
	if method == "RevertLink" {
		method = "RevertLinkDNS"
	}
	return b.call(ctx, networkdName, networkdPath, networkdName+".Manager."+method, args)
}

// properties are those of resolved's object for an interface.
func (b *bus) properties(ctx context.Context, index int) (map[string]dbus.Variant, error) {
	var path dbus.ObjectPath
	if err := b.call(ctx, resolvedName, resolvedPath, resolvedName+".Manager.GetLink", []any{int32(index)}, &path); err != nil {
		return nil, err
	}
	var all map[string]dbus.Variant
	err := b.call(ctx, resolvedName, path, busName+".Properties.GetAll", []any{resolvedName + ".Link"}, &all)
	return all, err
}

// serversOf is who resolved asks on an interface.
func (b *bus) serversOf(ctx context.Context, index int) ([]string, error) {
	all, err := b.properties(ctx, index)
	if err != nil {
		return nil, err
	}
	return serversIn(all)
}

func serversIn(all map[string]dbus.Variant) ([]string, error) {
	var list []server
	if err := all["DNS"].Store(&list); err != nil {
		return nil, err
	}
	var servers []string
	for _, s := range list {
		servers = append(servers, string(s.Address))
	}
	return servers, nil
}

// knows reports whether resolved has everything about the link already.
func (b *bus) knows(ctx context.Context, l Link) (bool, error) {
	if !l.Gateway.IsValid() || l.Index <= 0 {
		return false, errors.New("the bridge has no address yet")
	}
	all, err := b.properties(ctx, l.Index)
	if err != nil {
		return false, err
	}
	servers, err := serversIn(all)
	if err != nil {
		return false, err
	}
	var domains []domain
	if err := all["Domains"].Store(&domains); err != nil {
		return false, err
	}
	return slices.Equal(servers, serversFor(l)) && sameDomains(domains, domainsFor(l)) &&
		isOr(all, "DefaultRoute", false) && isOr(all, "DNSSEC", "no") && isOr(all, "DNSOverTLS", "no"), nil
}

// sameDomains compares without regard to order and case.
func sameDomains(a, b []domain) bool {
	if len(a) != len(b) {
		return false
	}
	has := make(map[domain]bool, len(a))
	for _, d := range a {
		has[domain{strings.ToLower(strings.TrimSuffix(d.Name, ".")), d.RoutingOnly}] = true
	}
	return !slices.ContainsFunc(b, func(d domain) bool { return !has[d] })
}

// isOr reports whether a property has the value, or is one that this version does not have.
func isOr(all map[string]dbus.Variant, name string, value any) bool {
	v, ok := all[name]
	return !ok || v.Value() == value
}
