package pinfile

import (
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// Field is one field of a line: exactly one of its members is set.
type Field struct {
	Name  string // lower-case, without a final dot
	MAC   ipam.MAC
	Addr  netip.Addr
	Lease time.Duration
}

// ReadField reads one field by its shape, for other files in dnsmasq's grammar that know fields beside those of a pins file.
// The column of the problem counts from the start of the field.
func ReadField(text string) (Field, *ipam.Problem) {
	if bad := checkBytes(text); bad != nil {
		return Field{}, bad.problem(ipam.Source{Col: bad.at + 1})
	}
	if isAllBlank(text) {
		return Field{}, (&refusal{0, "the field is empty", "delete it, and one of the commas around it"}).problem(ipam.Source{Col: 1})
	}
	f, bad := readField(text)
	if bad != nil {
		return Field{}, bad.problem(ipam.Source{Col: bad.at + 1})
	}
	return Field{Name: f.name, MAC: f.mac, Addr: f.addr, Lease: f.lease}, nil
}
