package leasefile

import (
	"strconv"
	"time"
)

// Append adds the file to dst, as dnsmasq writes it: IPv4 leases, and, when there is a DUID of the
// server, that and the IPv6 leases; notes come last.
func (f *File) Append(dst []byte) []byte {
	for i := range f.Leases {
		if f.Leases[i].Addr.Is4() {
			dst = f.Leases[i].append(dst)
		}
	}
	if f.DUID != nil {
		dst = append(dst, "duid "...)
		dst = append(appendHex(dst, f.DUID), '\n')
		for i := range f.Leases {
			if f.Leases[i].Addr.Is6() {
				dst = f.Leases[i].append(dst)
			}
		}
	}
	for _, n := range f.Notes {
		dst = append(append(dst, n.Kind...), ' ')
		dst = append(n.Addr.AppendTo(dst), ' ')
		dst = append(appendHex(dst, n.Data), '\n')
	}
	return dst
}

func (l *Lease) append(dst []byte) []byte {
	dst = append(appendTime(dst, l.Expiry), ' ')
	if l.Addr.Is6() {
		if l.Temporary {
			dst = append(dst, 'T')
		}
		dst = strconv.AppendUint(dst, uint64(l.IAID), 10)
	} else {
		dst = appendHardware(dst, l.Hardware)
	}
	dst = append(dst, ' ')
	dst = append(l.Addr.AppendTo(dst), ' ')
	dst = append(appendOr(dst, l.Hostname), ' ')
	if len(l.ClientID) == 0 {
		return append(dst, '*', '\n')
	}
	return append(appendHex(dst, l.ClientID), '\n')
}

// appendTime writes seconds since 1970. What has no expiry is 0, so that a time before the first
// second, which can only be a clock that was not set, is that one.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, '0')
	}
	return strconv.AppendInt(dst, max(t.Unix(), 1), 10)
}

func appendHardware(dst []byte, h Hardware) []byte {
	if h.Type != ethernet || len(h.Addr) == 0 {
		dst = append(appendHex(dst, []byte{h.Type}), '-')
	}
	return appendHex(dst, h.Addr)
}

func appendHex(dst, b []byte) []byte {
	const digits = "0123456789abcdef"
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

func appendOr(dst []byte, name string) []byte {
	if name == "" {
		return append(dst, '*')
	}
	return append(dst, name...)
}
