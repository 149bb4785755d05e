package config

import (
	"fmt"
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// maxDomain leaves room for a guest's name of 63 bytes before the domain, in the 253 that a
// name may have (RFC 1035 §2.3.4).
const maxDomain = 253 - 64

// domain takes the name below which guests are found; "" is the default: they have none.
func (c *checker) domain(d *draft, v *document.Value) {
	name, bad := CheckDomain(v.Text)
	if bad != nil {
		bad.Source = v.At
		c.add(bad)
		return
	}
	d.Domain = name
}

// CheckDomain is a domain as a network has it, in lower case, or says why guests can not have their names
// below it. The problem has no place. "" is none, and as good as any.
func CheckDomain(text string) (string, *ipam.Problem) {
	const example = `write labels of letters, digits and hyphens, with dots between them, like "lxd" or "c.example.net"`
	refuse := func(hint, format string, args ...any) (string, *ipam.Problem) {
		return "", &ipam.Problem{Code: ipam.CodeConfig, Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	name := strings.ToLower(text)
	trimmed := strings.Trim(name, ".")
	switch {
	case name == "":
		return "", nil
	case trimmed != name && trimmed != "":
		return refuse(`write "`+trimmed+`"`, "%q has a dot at an end", text)
	case !isASCII(name):
		return refuse("write its ASCII form, which begins with xn-- (RFC 5891)", "%q is no domain name in ASCII", text)
	case strings.Contains(name, ":") || ipam.CheckName(name) != nil:
		return refuse(example, "%q is no domain name", text)
	case len(name) > maxDomain:
		return refuse("shorten it", "the domain has %d bytes, and a guest's name has to fit before it: at most %d", len(name), maxDomain)
	case isNumber(name[strings.LastIndexByte(name, '.')+1:]):
		return refuse(example, "%q ends like an address: its last label is a number (RFC 1123 §2.1)", text)
	}
	if origin, why := taken(name); origin != "" {
		return refuse(`write "lxd", or a name below a domain of your own; home.arpa is free for all (RFC 8375)`, "%q can not be the domain: %s", text, why)
	}
	return name, nil
}

// taken says which name with a meaning of its own a domain lies in, and what that is.
// "test" (RFC 6761 §6.2) and "home.arpa" (RFC 8375) are meant to be used.
func taken(name string) (origin, why string) {
	for _, t := range [...]struct{ origin, why string }{
		{"localhost", "localhost is every host itself (RFC 6761)"},
		{"local", "hosts ask for what is below local by multicast only (RFC 6762)"},
		{"invalid", "invalid exists nowhere (RFC 6761)"},
		{"onion", "onion belongs to Tor (RFC 7686)"},
		{"alt", "alt is for names outside of DNS (RFC 9476)"},
		{"arpa", "arpa holds the names of addresses (RFC 3172)"},
	} {
		if isUnder(name, t.origin) && !isUnder(name, "home.arpa") {
			return t.origin, t.why
		}
	}
	return "", ""
}

// isUnder reports whether name is origin or below it.
func isUnder(name, origin string) bool {
	rest, ok := strings.CutSuffix(name, origin)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func isNumber(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
