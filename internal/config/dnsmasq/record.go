package dnsmasq

import (
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
)

// Kind is what a Record is.
type Kind uint8

// The kinds of records.
const (
	Host    Kind = iota + 1 // host-record: A and AAAA, and PTR for the first Record with an address
	Subtree                 // address=: A and AAAA of Name and of all names below it
	Alias                   // cname: Name is another name of Target
	Pointer                 // ptr-record: Name, in the form of a reverse name or any other, points to Target
)

// Record is a name that the configuration makes known in DNS.
type Record struct {
	Kind   Kind
	Name   string        // lower-case, without the final dot; of a Subtree "" is every name
	Addrs  []netip.Addr  // of a Host and a Subtree; 0.0.0.0 and :: are meant as they are
	Target string        // of an Alias and a Pointer
	TTL    time.Duration // -1 when not given
	Source ipam.Source
}

const noTTL = -1

// address reads /domain/ADDRESS: "#" is 0.0.0.0 and ::, and nothing makes the domain local.
func (r *reader) address(value text) *mistake {
	domains, rest, bad := r.cutDomains(value)
	if bad != nil {
		return bad
	}
	var addrs []netip.Addr
	switch a, ok := parseAddr(rest.s); {
	case rest.isEmpty():
		return r.server(value)
	case rest.s == "#":
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	case ok:
		addrs = []netip.Addr{a}
	default:
		return wrong(rest, "write it like address=/example.net/10.64.177.9", "%s is no address", quote(rest.s))
	}
	if len(domains) == 0 {
		domains = []string{""}
	} else if domains[0] == "" {
		r.unserve(value, "name the domains", "an address for all names without a dot is not honoured")
		return nil
	}
	for _, name := range domains {
		r.c.Records = append(r.c.Records, Record{Kind: Subtree, Name: name, Addrs: addrs, TTL: noTTL, Source: r.in(value.col())})
	}
	return nil
}

// hostRecord reads NAME,...[,IPv4][,IPv6][,TTL]. Fields are told apart by their shape, in any order.
func (r *reader) hostRecord(value text) *mistake {
	fields := value.fields()
	if len(fields) < 2 {
		return wrong(value, "write it like host-record=www.example.net,10.64.177.9", "the record lacks an address")
	}
	var names []string
	var v4, v6 netip.Addr
	ttl := time.Duration(noTTL)
	for _, f := range fields {
		if f.isEmpty() || number(text{f.s, f.cols}) == nil && f.s == f.plain() {
			ttl = time.Duration(atoi(f.s)) * time.Second
			continue
		}
		if a, ok := parseAddr(f.s); ok {
			if a.Is4() {
				v4 = a
			} else {
				v6 = a
			}
			continue
		}
		name, bad := parseName(f, "host name")
		if bad != nil {
			return bad
		}
		names = append(names, name)
	}
	var addrs []netip.Addr
	for _, a := range []netip.Addr{v4, v6} {
		if a.IsValid() {
			addrs = append(addrs, a)
		}
	}
	for _, name := range names {
		r.c.Records = append(r.c.Records, Record{Kind: Host, Name: name, Addrs: addrs, TTL: ttl, Source: r.in(value.col())})
	}
	return nil
}

// alias reads ALIAS,...,TARGET[,TTL].
func (r *reader) alias(value text) *mistake {
	fields := value.fields()
	ttl := time.Duration(noTTL)
	if n := len(fields); n > 2 && number(fields[n-1]) == nil {
		ttl = time.Duration(atoi(fields[n-1].plain())) * time.Second
		fields = fields[:n-1]
	}
	if len(fields) < 2 {
		return wrong(value, "write it like cname=alias,target", "the line lacks the name that the alias is for")
	}
	last := len(fields) - 1
	target, bad := parseName(fields[last], "name")
	if bad != nil {
		return bad
	}
	for _, f := range fields[:last] {
		if strings.HasPrefix(f.s, "*.") {
			r.unserve(f, "write a line for each name", "cname %s is not honoured; it would be for all names below a zone of its own", quote(f.s))
			continue
		}
		name, bad := parseName(f, "name")
		if bad != nil {
			return bad
		}
		if before, ok := r.aliases[name]; ok {
			return wrong(f, "delete one of the two", "%s is an alias already, at %s", name, before)
		}
		if name == target {
			return wrong(f, "name another target", "%s is an alias of itself", name)
		}
		r.aliases[name] = r.in(f.col())
		r.c.Records = append(r.c.Records, Record{Kind: Alias, Name: name, Target: target, TTL: ttl, Source: r.in(f.col())})
	}
	return nil
}

// pointer reads NAME[,TARGET].
func (r *reader) pointer(value text) *mistake {
	nameText, targetText, has := value.cut(',')
	if strings.ContainsAny(value.plain(), " *") {
		r.unserve(value, noRecords, "ptr-record %s is not honoured; it is no name of a host", quote(value.plain()))
		return nil
	}
	name, bad := parseName(nameText, "name")
	if bad != nil {
		return bad
	}
	target := ""
	if has {
		if target, bad = parseName(targetText, "name"); bad != nil {
			return bad
		}
	}
	if target == "" {
		r.unserve(value, "add what it points to", "ptr-record %s is not honoured; it would point to nothing", quote(name))
		return nil
	}
	r.c.Records = append(r.c.Records, Record{Kind: Pointer, Name: name, Target: target, TTL: noTTL, Source: r.in(value.col())})
	return nil
}
