package option

import (
	"net/netip"

	"berth/internal/config/document"
)

// How a list of SIP servers is written (RFC 3361 §3).
const (
	sipNames     = 0
	sipAddresses = 1
)

// sipKind is a list of either names or addresses, and a byte before it that says which.
func sipKind() kind {
	return kind{
		toml: document.Array, label: "SIP servers", want: "a list of domain names or of IPv4 addresses", example: `["sip.example.net"]`,
		encode: func(e *encoder, v *document.Value) {
			if len(v.Items) == 0 {
				return
			}
			_, err := netip.ParseAddr(v.Items[0].Text)
			byName := err != nil
			if byName {
				e.put(sipNames)
			} else {
				e.put(sipAddresses)
			}
			e.each(v, "a domain name or an IPv4 address", func(item *document.Value) {
				_, err := netip.ParseAddr(item.Text)
				switch {
				case byName != (err != nil):
					e.refuse(item, "list names only, or addresses only", "names and addresses can not be mixed (RFC 3361)")
				case byName:
					e.domain(item, item.Text, nil)
				default:
					e.address(item, item.Text)
				}
			})
		},
		show: func(data []byte) string {
			switch data[0] {
			case sipNames:
				return showDomains(data[1:])
			case sipAddresses:
				return showAddresses(data[1:])
			}
			return ""
		},
	}
}
