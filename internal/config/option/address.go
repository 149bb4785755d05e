package option

import (
	"net/netip"
	"strings"

	"berth/internal/config/document"
)

func addressKind() kind {
	return kind{
		toml: document.String, label: "address", want: "an IPv4 address", example: `"10.64.177.1"`,
		encode: func(e *encoder, v *document.Value) { e.address(v, v.Text) },
		show: func(data []byte) string {
			if len(data) != 4 {
				return ""
			}
			return showAddresses(data)
		},
	}
}

func addressesKind() kind {
	return kind{
		toml: document.Array, label: "addresses", want: "a list of IPv4 addresses", example: `["10.64.177.1"]`,
		encode: func(e *encoder, v *document.Value) {
			e.each(v, "an IPv4 address", func(item *document.Value) { e.address(item, item.Text) })
		},
		show: showAddresses,
	}
}

// each encodes the items of a list of strings.
func (e *encoder) each(list *document.Value, want string, encode func(*document.Value)) {
	for _, item := range list.Items {
		if item.Kind != document.String {
			e.refuse(item, "write it in quotes", "%s is wanted here, not %s", want, item.Kind)
			continue
		}
		encode(item)
	}
}

// address appends an IPv4 address. Other servers take 0.0.0.0 for their own address; here
// everybody is called by name.
func (e *encoder) address(v *document.Value, text string) {
	a, ok := e.parse(v, text)
	if ok && a.IsUnspecified() {
		e.refuse(v, "write the address itself, such as the one in ipv4", "0.0.0.0 is the address of nobody")
		return
	}
	b := a.As4()
	e.put(b[:]...)
}

// parse reads an IPv4 address that is part of v, and gives 0.0.0.0 when it is none.
func (e *encoder) parse(v *document.Value, text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		e.refuse(v, "write four numbers of at most 255, like 10.64.177.1", "%q is no IPv4 address", text)
	case !a.Is4():
		e.refuse(v, "DHCPv4 can hand out IPv4 addresses only", "%s is no IPv4 address", text)
	default:
		return a, true
	}
	return netip.IPv4Unspecified(), false
}

func showAddresses(data []byte) string {
	if len(data)%4 != 0 {
		return ""
	}
	var texts []string
	for ; len(data) > 0; data = data[4:] {
		texts = append(texts, netip.AddrFrom4([4]byte(data)).String())
	}
	return strings.Join(texts, " ")
}
