package dnsmasq

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"berth/internal/ipam"
)

// parseAddr reads an address of either family, as inet_pton(3) does: without a zone.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// parseName reads a domain name: lower-case, without the final dot.
func parseName(t text, what string) (string, *mistake) {
	name := strings.ToLower(strings.TrimSuffix(t.plain(), "."))
	hint := "write labels of letters, digits, hyphens and underscores, with dots between them, like www.example.net"
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return "", wrong(t, hint+"; write an international name in its xn-- form", "%s is no %s: it has letters beyond ASCII", quote(name), what)
		}
	}
	if strings.Contains(name, ":") || ipam.CheckName(name) != nil {
		return "", wrong(t, hint, "%s is no %s", quote(name), what)
	}
	return name, nil
}

// quote makes what a file says safe to show, and short.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		end := most
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strconv.Quote(s)
}
