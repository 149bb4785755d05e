package ipam

import (
	"errors"
	"fmt"
	"strings"
)

// Holder identifies who an address belongs to; it is comparable and serves as a
// map key. Its three forms:
//
//	Guest set, MAC zero  the guest of that name, on its own NIC
//	Guest set, MAC set   a client behind that guest's port (nested container, relay, VM)
//	Guest empty, MAC set a client that nobody can name, known by its hardware address
type Holder struct {
	Guest string `json:"guest,omitempty"` // lower-case; a second NIC is "name:nic"
	MAC   MAC    `json:"mac,omitzero"`
}

// ByName is the holder for the guest called name.
func ByName(name string) Holder { return Holder{Guest: strings.ToLower(name)} }

// ByMAC is the holder for an unnamed client.
func ByMAC(mac MAC) Holder { return Holder{MAC: mac} }

// IsZero reports whether h names nobody.
func (h Holder) IsZero() bool { return h == Holder{} }

// IsGuest reports whether h is a named guest on its own NIC.
func (h Holder) IsGuest() bool { return h.Guest != "" && h.MAC.IsZero() }

// String is what users see: "cent01", "00:16:3e:..", or "00:16:3e:.. behind cent01".
func (h Holder) String() string {
	switch {
	case h.IsZero():
		return "nobody"
	case h.Guest == "":
		return h.MAC.String()
	case h.MAC.IsZero():
		return h.Guest
	default:
		return h.MAC.String() + " behind " + h.Guest
	}
}

// CheckName reports why name can not be a guest's name: dot-separated labels of
// letters, digits, hyphens and underscores, at most 63 octets each and 253
// together (RFC 1123 §2.1, RFC 2181 §11), with an optional ":nic" suffix of at most
// 15 octets (IFNAMSIZ).
func CheckName(name string) error {
	base, nic, hasNIC := strings.Cut(name, ":")
	if hasNIC && !isNIC(nic) {
		return fmt.Errorf("%q is no interface name", nic)
	}
	if base == "" {
		return errors.New("the name is empty")
	}
	if len(base) > 253 {
		return errors.New("the name is longer than 253 octets")
	}
	for label := range strings.SplitSeq(base, ".") {
		if label == "" || len(label) > 63 {
			return fmt.Errorf("%q is no host name: a label has 1 to 63 octets", base)
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is no host name: a label may not begin or end with a hyphen", base)
		}
		for _, c := range []byte(label) {
			if !isLabelByte(c) {
				return fmt.Errorf("%q is no host name: character %q", base, c)
			}
		}
	}
	return nil
}

func isLabelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func isNIC(s string) bool {
	if s == "" || len(s) > 15 {
		return false
	}
	for _, c := range []byte(s) {
		if !isLabelByte(c) && c != '.' && c != '@' {
			return false
		}
	}
	return true
}
