// Package ra advertises the host as the IPv6 router of one network (RFC 4861 §6.2), with the
// prefixes that guests form addresses from (RFC 4862), resolvers (RFC 8106) and routes (RFC 4191).
package ra

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// Prefix is one prefix that is advertised.
type Prefix struct {
	Prefix     netip.Prefix  // masked
	Autonomous bool          // guests form addresses from it; for a /64 alone (RFC 2464 §4)
	OnLink     bool          // its addresses are on the bridge
	Valid      time.Duration // 0: 24 h
	Preferred  time.Duration // 0: 12 h; never more than Valid
	Deprecated bool          // no new connections from it: preferred for 0 s, valid for 2 h or less
}

// Config is what the router of a network says of itself.
type Config struct {
	Bridge   string
	Prefixes []Prefix
	Router   bool           // default router; see IsDefaultRouter
	Routes   []netip.Prefix // reached through here also by guests that have another default router (RFC 4191 §2.3)
	Managed  bool           // the M flag: DHCPv6 gives addresses
	Other    bool           // the O flag: DHCPv6 gives the rest
	DNS      []netip.Addr   // resolvers, in order
	Search   []string       // domains, without dots at the ends
	MTU      int            // 1280 to 65535 octets; 0: not said
}

// IsDefaultRouter is the rule for Config.Router: the host is the way to everywhere for a network whose guests
// are translated (NAT66), and for one with addresses that can be routed. Private addresses (RFC 4193)
// that nobody translates lead nowhere, and a guest that believed otherwise would wait for IPv6 to time out before it
// tries IPv4 (RFC 7084 §4.3 L-4, ULA-5): it learns only of Config.Routes.
func IsDefaultRouter(nat66 bool, prefixes []netip.Prefix) bool {
	return nat66 && len(prefixes) > 0 || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		return p.Addr().IsGlobalUnicast() && !p.Addr().IsPrivate()
	})
}

// What a router says when nobody configured it. Everything lives as long as the protocol allows or a guest may sensibly
// sleep, because guests keep their addresses and routes while berth is stopped.
const (
	defaultMaxInterval = 600 * time.Second // MaxRtrAdvInterval, RFC 4861 §6.2.1
	// defaultLifetime is the most that fits; RFC 8319 §4 raised the limit of 9000 s to it.
	defaultLifetime  = 65535 * time.Second
	defaultValid     = 24 * time.Hour
	defaultPreferred = 12 * time.Hour
	// retiredValid is what is left to addresses of a prefix that is gone: guests do not accept less (RFC 4862 §5.5.3 e).
	retiredValid = 2 * time.Hour
	hopLimit     = 64 // of guests' packets: the Internet's (RFC 4861 §6.2.1, IANA IP parameters)
)

// Options is how a Server works; the zero Options will do.
type Options struct {
	Log         *slog.Logger     // nil: silent
	Now         func() time.Time // nil: time.Now
	MaxInterval time.Duration    // the most between two unsolicited advertisements, 4 s to 1800 s; 0: 600 s (RFC 4861 §6.2.1)
	MinInterval time.Duration    // the least, 3 s to 0.75 × MaxInterval; 0: a third of MaxInterval (RFC 4861 §6.2.1)
	Lifetime    time.Duration    // of the default router and of routes, up to 65535 s; 0: that (RFC 8319 §4)
}

// withDefaults fills in what is not set, and brings the rest within the bounds.
func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxInterval == 0 {
		o.MaxInterval = defaultMaxInterval
	}
	o.MaxInterval = min(max(o.MaxInterval, 4*time.Second), 1800*time.Second)
	if o.MinInterval == 0 {
		o.MinInterval = o.MaxInterval / 3
	}
	o.MinInterval = min(max(o.MinInterval, minDelay), o.MaxInterval*3/4)
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	// One that is shorter than the interval would come and go (RFC 4861 §6.2.1).
	o.Lifetime = min(max(o.Lifetime, o.MaxInterval), defaultLifetime)
	return o
}

// dnsLifetime is for how long guests may use a resolver or domain they were told of (RFC 8106 §5.1). It ends
// soon when berth is stopped, and so do its resolvers.
func (o Options) dnsLifetime() time.Duration { return 3 * o.MaxInterval }

// clean is the configuration without what can not be said in an advertisement; problems says what that was.
func (c Config) clean() (Config, ipam.Problems) {
	var problems ipam.Problems
	refuse := func(text, hint string) {
		problems = append(problems, &ipam.Problem{Code: ipam.CodeConfig, Text: "router advertisements on " + c.Bridge + ": " + text, Hint: hint})
	}
	var prefixes []Prefix
	for _, p := range c.Prefixes {
		switch a := p.Prefix.Addr(); {
		case !p.Prefix.IsValid() || !a.Is6() || a.Is4In6() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "":
			refuse(p.Prefix.String()+" is no prefix that guests can use", "give the network a prefix of fd00::/8 or of your provider's")
			continue
		case p.Autonomous && p.Prefix.Bits() != 64:
			refuse("guests form addresses from a /64 only, not from "+p.Prefix.String(), `make it a /64, or set ipv6-mode = "dhcp"`)
			p.Autonomous = false
		}
		p.Prefix = p.Prefix.Masked()
		prefixes = append(prefixes, p.withLifetimes())
	}
	c.Prefixes = prefixes
	c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r netip.Prefix) bool {
		bad := !r.IsValid() || !r.Addr().Is6() || r.Addr().Is4In6()
		if bad {
			refuse(r.String()+" is no IPv6 route", "")
		}
		// A guest would have two ways to its neighbours, and some take both in turn.
		return bad || slices.ContainsFunc(prefixes, func(p Prefix) bool {
			return p.OnLink && p.Prefix.Contains(r.Addr()) && p.Prefix.Bits() <= r.Bits()
		})
	})
	for i, r := range c.Routes {
		c.Routes[i] = r.Masked()
	}
	c.DNS = slices.DeleteFunc(slices.Clone(c.DNS), func(a netip.Addr) bool {
		bad := !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.IsLoopback()
		if bad {
			refuse(a.String()+" is no IPv6 address of a resolver", "")
		}
		return bad
	})
	c.Search = slices.DeleteFunc(slices.Clone(c.Search), func(domain string) bool {
		_, err := appendName(nil, domain)
		if err != nil {
			refuse(err.Error(), "")
		}
		return err != nil
	})
	if c.MTU != 0 && (c.MTU < 1280 || c.MTU > 65535) {
		refuse("the MTU must be 1280 to 65535 octets", "")
		c.MTU = 0
	}
	return c, problems
}

func (p Prefix) withLifetimes() Prefix {
	if p.Valid == 0 {
		p.Valid = defaultValid
	}
	if p.Preferred == 0 {
		p.Preferred = defaultPreferred
	}
	if p.Deprecated {
		p.Valid, p.Preferred = min(p.Valid, retiredValid), 0
	}
	p.Preferred = min(p.Preferred, p.Valid)
	return p
}

// equal reports whether two configurations say the same.
func (c Config) equal(d Config) bool {
	return c.Bridge == d.Bridge && c.Router == d.Router && c.Managed == d.Managed && c.Other == d.Other && c.MTU == d.MTU &&
		slices.Equal(c.Prefixes, d.Prefixes) && slices.Equal(c.Routes, d.Routes) && slices.Equal(c.DNS, d.DNS) && slices.Equal(c.Search, d.Search)
}
