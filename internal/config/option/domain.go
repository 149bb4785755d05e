package option

import (
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// domainsKind is a list of domain names in the encoding of RFC 1035 §3.1; compressed as
// in §4.1.4 where the option's RFC says that clients understand that.
func domainsKind(compressed bool) kind {
	return kind{
		toml: document.Array, label: "domains", want: "a list of domain names", example: `["lxd", "example.net"]`,
		encode: func(e *encoder, v *document.Value) {
			seen := make(map[string]int)
			e.each(v, "a domain name", func(item *document.Value) {
				if compressed {
					e.domain(item, item.Text, seen)
				} else {
					e.domain(item, item.Text, nil)
				}
			})
		},
		show: showDomains,
	}
}

// domainKind is a single domain name.
func domainKind() kind {
	return kind{
		toml: document.String, label: "domain", want: "a domain name", example: `"example.net"`,
		encode: func(e *encoder, v *document.Value) { e.domain(v, v.Text, nil) },
		show:   showDomains,
	}
}

// domain appends a name. seen says where which names are already, nil: write it in full.
func (e *encoder) domain(v *document.Value, text string, seen map[string]int) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if strings.Contains(name, ":") || ipam.CheckName(name) != nil {
		e.refuse(v, "write labels of letters, digits and hyphens, with dots between them, like example.net", "%q is no domain name", text)
		return
	}
	for name != "" {
		if at, ok := seen[name]; ok {
			e.put(0xc0|byte(at>>8), byte(at))
			return
		}
		if seen != nil && len(e.data) < 1<<14 {
			seen[name] = len(e.data)
		}
		var label string
		label, name, _ = strings.Cut(name, ".")
		e.put(byte(len(label)))
		e.put([]byte(label)...)
	}
	e.put(0)
}

// showDomains reads names, following pointers backwards only, so that it ends.
func showDomains(data []byte) string {
	var names []string
	for pos := 0; pos < len(data); {
		var labels []string
		end := -1 // where the next name begins, once a pointer has been followed
		for at, limit := pos, pos; ; {
			if at >= len(data) {
				return ""
			}
			switch n := int(data[at]); {
			case n == 0:
				if end < 0 {
					end = at + 1
				}
			case n >= 0xc0:
				if at+1 >= len(data) {
					return ""
				}
				to := (n&0x3f)<<8 | int(data[at+1])
				if to >= limit {
					return ""
				}
				if end < 0 {
					end = at + 2
				}
				at, limit = to, to
				continue
			case n > 63 || at+1+n > len(data):
				return ""
			default:
				labels = append(labels, string(data[at+1:at+1+n]))
				at += 1 + n
				continue
			}
			break
		}
		name := strings.Join(labels, ".")
		if name == "" || ipam.CheckName(name) != nil {
			return ""
		}
		names = append(names, name)
		pos = end
	}
	return strings.Join(names, " ")
}
