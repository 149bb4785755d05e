// Package pinfile reads and edits the pins file: one pin a line, in the grammar of
// dnsmasq's --dhcp-hostsfile, so that a dnsmasq started on the same file gives the same
// addresses.
//
// A line is a list of fields with commas between them, in any order, each known by its shape:
//
//	cent01               a guest's name, or web.proj; cent01:eth1 is a second NIC's
//	00:16:3e:01:02:03    a hardware address
//	10.64.177.101        the address
//	45m                  the lease time: a number and s, m, h, d or w; at least 120 s
//	infinite             the lease that never ends
//
// White space around fields is skipped, as are empty fields. A comment begins with "#" at the start of
// a line or after white space, and ends with the line. A name stays whole: dnsmasq takes
// "web.proj" for a name and a domain, here it is the guest "web.proj". One final dot
// is dropped, as in dnsmasq; it turns into a name what would else be something else ("12h.").
//
// What dnsmasq does beyond that (tags, client-ids, several or masked hardware addresses, IPv6) is
// known and refused by name: a line that would mean less here than it says does not take effect.
package pinfile

import (
	"fmt"
	"strings"

	"berth/internal/ipam"
)

const (
	// maxLine is how many bytes of a line dnsmasq reads at once; the rest would be a line of its own.
	maxLine = 1024
	// maxProblems is how many refused lines are described: a file that is no pins file has thousands.
	maxProblems = 1000
)

const byteOrderMark = "\ufeff"

// Parse reads the text of a pins file; file is the name that positions carry. A line
// that is refused is left out alone, and the problem says why and where. A pin's position is that of
// its address. Two pins for one address or holder are for ipam.ResolvePins to decide.
func Parse(file string, data []byte) ([]ipam.Pin, ipam.Problems) {
	text := string(data)
	pins := make([]ipam.Pin, 0, strings.Count(text, "\n")+1)
	var problems ipam.Problems
	refused := 0
	number := 0
	for line := range strings.Lines(text) {
		number++
		e, bad := parseLine(line)
		switch {
		case bad != nil:
			refused++
			if refused <= maxProblems {
				problems = append(problems, bad.problem(ipam.Source{File: file, Line: number, Col: bad.at + 1}))
			}
		case !e.holder.IsZero():
			pins = append(pins, ipam.Pin{
				Holder: e.holder, Name: strings.Clone(e.name), Addr: e.addr, LeaseTime: e.lease,
				Source: ipam.Source{File: file, Line: number, Col: e.addrAt + 1},
			})
		}
	}
	if refused > maxProblems {
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeConfig, Source: ipam.Source{File: file},
			Text: fmt.Sprintf("%d more lines are refused", refused-maxProblems),
			Hint: "is this a pins file at all? A line of one looks like cent01,10.64.177.101",
		})
	}
	return pins, problems
}
