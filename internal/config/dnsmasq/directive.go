package dnsmasq

// arity is whether an option is set to something.
type arity uint8

const (
	alone    arity = iota // no "=" may follow
	needs                 // "=" must follow, though maybe with nothing behind it
	optional              // either
)

// directive is one of the options of dnsmasq 2.90 that a file can set.
//
// One that lost is set for is understood and not honoured; lost completes "it would ...". One
// without is honoured, or needs nothing done: berth does the same by itself, or it is about
// something that berth has not, such as a process identity to change to.
type directive struct {
	name  string
	arity arity
	once  bool // a file may not say it twice
	check func(text) *mistake
	lost  string
	hint  string
}

func names(all []directive) []string {
	var known []string
	for _, d := range all {
		known = append(known, d.name)
	}
	return known
}

// honoured are the directives that the reader does something with.
func honoured() []directive {
	return []directive{
		{name: "addn-hosts", arity: needs},
		{name: "address", arity: needs},
		{name: "cname", arity: needs},
		{name: "conf-dir", arity: needs},
		{name: "conf-file", arity: optional},
		{name: "conf-script", arity: needs},
		{name: "dhcp-authoritative"},
		{name: "dhcp-host", arity: needs},
		{name: "dhcp-hostsdir", arity: needs},
		{name: "dhcp-hostsfile", arity: needs},
		{name: "dhcp-lease", arity: needs, once: true},
		{name: "dhcp-lease-max", arity: needs, once: true, check: number},
		{name: "dhcp-leasefile", arity: optional, once: true},
		{name: "dhcp-option", arity: needs},
		{name: "dhcp-option-force", arity: needs},
		{name: "dhcp-optsdir", arity: needs},
		{name: "dhcp-optsfile", arity: needs},
		{name: "dhcp-range", arity: needs},
		{name: "domain", arity: needs},
		{name: "domain-suffix", arity: needs},
		{name: "expand-hosts"},
		{name: "host-record", arity: needs},
		{name: "hostsdir", arity: needs},
		{name: "interface", arity: needs},
		{name: "local", arity: needs},
		{name: "log-dhcp"},
		{name: "log-queries", arity: optional},
		{name: "no-dhcp-interface", arity: needs},
		{name: "no-dhcpv4-interface", arity: needs},
		{name: "no-dhcpv6-interface", arity: needs},
		{name: "no-hosts"},
		{name: "no-resolv"},
		{name: "port", arity: needs, once: true, check: port},
		{name: "ptr-record", arity: needs},
		{name: "read-ethers"},
		{name: "resolv-file", arity: optional},
		{name: "rev-server", arity: needs},
		{name: "server", arity: needs},
		{name: "servers-file", arity: needs, once: true},
		{name: "strict-order"},
	}
}

// unneeded are the directives that are about dnsmasq itself, or that berth does unasked.
func unneeded() []directive {
	return []directive{
		{name: "all-servers"},
		{name: "bind-dynamic"},
		{name: "bind-interfaces"},
		{name: "bogus-priv"},
		{name: "cache-rr", arity: needs},
		{name: "cache-size", arity: optional, once: true, check: number},
		{name: "clear-on-reload"},
		{name: "dhcp-client-update"},
		{name: "dhcp-ignore-clid"},
		{name: "dhcp-no-override"},
		{name: "dhcp-rapid-commit"},
		{name: "dhcp-scriptuser", arity: needs, once: true},
		{name: "dhcp-sequential-ip"},
		{name: "dhcp-ttl", arity: needs, once: true, check: number},
		{name: "dns-forward-max", arity: needs, once: true, check: number},
		{name: "dns-loop-detect"},
		{name: "dnssec-debug"},
		{name: "dnssec-check-unsigned", arity: optional},
		{name: "dnssec-limits", arity: needs, once: true},
		{name: "dnssec-no-timecheck"},
		{name: "dnssec-timestamp", arity: needs, once: true},
		{name: "domain-needed"},
		{name: "dumpfile", arity: needs, once: true},
		{name: "dumpmask", arity: needs, once: true},
		{name: "edns-packet-max", arity: needs, once: true, check: number},
		{name: "except-interface", arity: needs},
		{name: "fast-dns-retry", arity: optional, once: true},
		{name: "filterwin2k"},
		{name: "group", arity: optional, once: true},
		{name: "help"},
		{name: "keep-in-foreground"},
		{name: "leasefile-ro"},
		{name: "listen-address", arity: needs, check: addresses},
		{name: "local-service", arity: optional, once: true},
		{name: "local-ttl", arity: needs, once: true, check: number},
		{name: "localise-queries"},
		{name: "log-async", arity: optional, once: true, check: number},
		{name: "log-debug"},
		{name: "log-facility", arity: needs, once: true},
		{name: "max-cache-ttl", arity: needs, once: true, check: number},
		{name: "max-port", arity: needs, once: true, check: port},
		{name: "max-tcp-connections", arity: needs, once: true, check: number},
		{name: "max-ttl", arity: needs, once: true, check: number},
		{name: "min-cache-ttl", arity: needs, once: true, check: number},
		{name: "min-port", arity: needs, once: true, check: port},
		{name: "neg-ttl", arity: needs, once: true, check: number},
		{name: "no-daemon"},
		{name: "no-ident"},
		{name: "no-negcache"},
		{name: "no-ping"},
		{name: "no-poll"},
		{name: "no-round-robin"},
		{name: "pid-file", arity: optional, once: true},
		{name: "port-limit", arity: needs, once: true, check: number},
		{name: "query-port", arity: needs, once: true, check: port},
		{name: "quiet-dhcp"},
		{name: "quiet-dhcp6"},
		{name: "quiet-ra"},
		{name: "quiet-tftp"},
		{name: "rebind-domain-ok", arity: needs},
		{name: "rebind-localhost-ok"},
		{name: "strip-mac"},
		{name: "strip-subnet"},
		{name: "test"},
		{name: "use-stale-cache", arity: optional, once: true, check: number},
		{name: "user", arity: optional, once: true},
		{name: "version"},
	}
}
