package bridgevars

import (
	"fmt"
	"net/netip"
	"slices"

	"berth/internal/config"
	"berth/internal/config/dnsmasq"
	"berth/internal/ipam"
)

// maxUpstream is how many resolvers are asked.
const maxUpstream = 16

// LoadDnsmasq reads a configuration of dnsmasq with all that it includes, as a ReadDnsmasq.
func LoadDnsmasq(n *ipam.Network, path string) (*Dnsmasq, error) {
	command := dnsmasq.Command{Bridge: n.Name, Domain: n.Domain, Gateway: n.Gateway}
	cfg, refused, err := command.Load(path)
	d := &Dnsmasq{Files: cfg.Files}
	if err != nil {
		return d, err
	}
	d.Pins, d.Options = cfg.Pins, cfg.Options
	d.Warnings = slices.Concat(refused, cfg.Unserved)
	h := honouring{Dnsmasq: d, network: n, at: ipam.Source{File: path}}
	h.domain(cfg)
	h.servers(cfg)
	h.ranges(cfg)
	h.names(cfg)
	h.others(cfg)
	return d, nil
}

// honouring makes what berth serves of what a configuration says; the rest it lists.
type honouring struct {
	*Dnsmasq
	network *ipam.Network
	at      ipam.Source // of what has no place of its own
}

func (h *honouring) warn(at ipam.Source, hint, format string, args ...any) {
	if at.File == "" {
		at = h.at
	}
	h.Warnings = append(h.Warnings, &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: fmt.Sprintf(format, args...), Hint: hint})
}

func (h *honouring) domain(cfg *dnsmasq.Config) {
	name, bad := config.CheckDomain(cfg.Domain)
	if bad != nil {
		h.warn(ipam.Source{}, bad.Hint, "domain: %s", bad.Text)
		return
	}
	h.Domain = name
}

// servers makes upstream resolvers of those that are for all names.
func (h *honouring) servers(cfg *dnsmasq.Config) {
	if cfg.NoResolv {
		h.Upstream = []netip.AddrPort{}
	}
	for _, s := range cfg.Servers {
		addr := s.Addr
		if s.Zone != "" {
			addr = netip.AddrPortFrom(addr.Addr().WithZone(s.Zone), addr.Port())
		}
		switch {
		case !addr.IsValid():
			h.warn(s.Source, "name the servers themselves", "a server for some names only is not honoured: they are asked for like all others")
		case len(s.Domains) > 0:
			h.warn(s.Source, "let one of the host's own resolvers know the names", "server %s is not honoured for %q alone: these names are asked for like all others", addr, s.Domains)
		case addr.Addr() == h.network.Gateway && addr.Port() == 53:
			h.warn(s.Source, "delete the line: questions would go round for ever", "%s is where the DNS of network %s itself answers", addr, h.network.Name)
		case slices.Contains(h.Upstream, addr):
		case len(h.Upstream) == maxUpstream:
			h.warn(s.Source, "name the few that answer fastest", "server %s is not asked: %d others come before it", addr, maxUpstream)
		default:
			h.Upstream = append(h.Upstream, addr)
		}
	}
	if len(h.Upstream) > 0 && !cfg.NoResolv {
		h.warn(ipam.Source{}, "name all resolvers by server=, and write no-resolv", "those of /etc/resolv.conf are not asked beside the %d of server=", len(h.Upstream))
	}
	for _, file := range cfg.ResolvFiles {
		h.warn(ipam.Source{}, "name its resolvers by server=, and write no-resolv", "resolv-file=%s is not honoured: the host's own resolvers are asked", file)
	}
}

// ranges compares with the one range that is served.
func (h *honouring) ranges(cfg *dnsmasq.Config) {
	n := h.network
	for _, r := range cfg.Ranges {
		inside := r.From.Is4() && n.Subnet.Contains(r.From)
		switch {
		case r.From.Is6() || !r.From.IsValid():
			h.warn(r.Source, "delete the line until then", "a range of IPv6 is not served yet by this version")
		case !inside:
			h.warn(r.Source, "give the subnet a bridge of its own in /etc/berth/berth.toml", "the range of %s lies outside %s of network %s, the only one that is served", r.From, n.Subnet, n.Name)
		case r.Static:
			// It makes reservations possible, which they are anyway.
		case n.Range.Contains(r.From) && n.Range.Contains(r.To):
		default:
			h.warn(r.Source, "widen the range of the bridge itself", "%s-%s is not given out: the range of network %s is %s", r.From, r.To, n.Name, n.Range)
		}
	}
}

// names lists what dnsmasq would answer, beside the names of guests.
func (h *honouring) names(cfg *dnsmasq.Config) {
	for _, r := range cfg.Records {
		what := "host-record"
		switch r.Kind {
		case dnsmasq.Subtree:
			what = "address"
		case dnsmasq.Alias:
			what = "cname"
		case dnsmasq.Pointer:
			what = "ptr-record"
		}
		h.warn(r.Source, "let one of the host's own resolvers know the name", "%s for %q is not served yet by this version", what, r.Name)
	}
	for _, file := range cfg.HostsFiles {
		h.warn(ipam.Source{}, "let one of the host's own resolvers know the names", "the names of %s are not served yet by this version", file)
	}
	for _, name := range cfg.LocalDomains {
		if name != "" && name != h.network.Domain && name != h.Domain {
			h.warn(ipam.Source{}, "write domain="+name+" if it is the guests'", "%s is not kept local: names below it are asked for like all others", name)
		}
	}
}

func (h *honouring) others(cfg *dnsmasq.Config) {
	for _, p := range cfg.Pins6 {
		h.warn(p.Source, "nothing is to do: the line counts as soon as IPv6 is served", "%s is not given to %s: IPv6 is not served yet by this version", p.Addr, p.Holder)
	}
	for _, name := range cfg.Interfaces {
		if name != h.network.Name {
			h.warn(ipam.Source{}, "give it a network of its own in /etc/berth/berth.toml", "interface=%s is not honoured: only %s is served", name, h.network.Name)
		}
	}
	if cfg.LogQueries {
		h.warn(ipam.Source{}, "delete log-queries", "log-queries is not honoured: questions are not logged")
	}
}
