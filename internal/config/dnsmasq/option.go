package dnsmasq

import (
	"strconv"
	"strings"

	"berth/internal/config/document"
	"berth/internal/config/option"
	"berth/internal/ipam"
)

const optionHint = "write it like dhcp-option=option:ntp-server,10.64.177.1 or dhcp-option=42,10.64.177.1"

// hostName is the option that tells a client its name.
const hostName = 12

// prefixes are the fields that can stand before the option itself.
type prefixes struct {
	tags  []text
	encap string // how the option would be wrapped
	at    text
}

// dhcpOption reads [TAG,]...[encap:N,|vendor:CLASS,|vi-encap:N,]NUMBER|option:NAME|option6:NAME[,VALUE,...].
func (r *reader) dhcpOption(value text, force bool) *mistake {
	var p prefixes
	rest := value
	for {
		field, after, more := rest.cut(',')
		switch {
		case isNumber(field.s) || strings.HasPrefix(field.s, "option:"):
			return r.option4(p, field, after, more, force)
		case strings.HasPrefix(field.s, "option6:"):
			r.noteTags(value)
			r.unserve(field, "berth tells clients its own DNS server and domain by DHCPv6 and in router advertisements",
				"%s is not sent; options of DHCPv6 are not served", field.s)
			return nil
		}
		for _, prefix := range []string{"vendor:", "encap:", "vi-encap:"} {
			if strings.HasPrefix(field.s, prefix) {
				if p.encap != "" && (prefix == "encap:" || prefix == "vendor:") && p.encap != prefix {
					return wrong(field, optionHint, "%s can not be combined with %s", prefix, p.encap)
				}
				p.encap, p.at = prefix, field
			}
		}
		if p.at.s != field.s || p.encap == "" {
			tag, ok := cutTag(field)
			if !ok {
				tag, _ = field.cutPrefix("set:")
			}
			p.tags = append(p.tags, tag)
		}
		if !more {
			return wrong(value, optionHint, "%s names no option", quote(value.plain()))
		}
		rest = after
	}
}

func isNumber(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// option4 takes an option of DHCPv4 whose name and value are known.
func (r *reader) option4(p prefixes, name, value text, hasValue, force bool) *mistake {
	code, bad := optionCode(name)
	if bad != nil {
		return bad
	}
	data, own, bad := r.encode(optionValue{code, typeOf(code, name, p.encap != ""), p.encap != "", value, hasValue})
	if bad != nil {
		return bad
	}
	label := optionLabel(code)
	owned, isOwned := option.FindOwned(strconv.Itoa(int(code)))
	switch {
	case p.encap != "":
		r.applies(p.tags)
		r.unserve(p.at, "write the option that it goes into in hexadecimal, in berth.toml", "%s is not sent; it would go into another option for some clients", label)
	case !r.applies(p.tags):
		r.unserve(name, byPort, "%s is not sent; it would be for those with the tag %s", label, quote(p.tags[0].plain()))
	case isOwned:
		r.unserve(name, owned.Hint, "%s is not sent; %s", label, owned.Why)
	case code == hostName && len(data) > 0:
		r.unserve(name, "guests are named by their pins", "%s is not sent; it would call all guests %s", label, quote(value.plain()))
	case own && !r.command.Gateway.IsValid():
		r.unserve(value, "write the bridge's own address", "%s is not sent; 0.0.0.0 would be the address of the host", label)
	case len(data) == 0 && !isDefault(code):
		r.unserve(name, "delete the line, or give the option a value", "%s is not sent; it would be sent without content", label)
	default:
		if force {
			r.unserve(name, "clients that use it ask for it", "%s is sent to those that ask for it; dhcp-option-force would send it to all", label)
		}
		r.options[code] = ipam.Option{Code: code, Data: data}
	}
	return nil
}

// isDefault reports whether the option is sent when nobody sets it, so that setting it to nothing means something.
func isDefault(code uint8) bool {
	switch code {
	case 3, 6, hostName, 15, 28:
		return true
	}
	return false
}

func optionLabel(code uint8) string {
	number := strconv.Itoa(int(code))
	name := option.Name(code)
	if owned, ok := option.FindOwned(number); ok {
		name = owned.Name
	}
	if name == number {
		return "option " + number
	}
	return "option " + number + " (" + name + ")"
}

// optionCode is the number of an option that is written as one, or as "option:NAME".
func optionCode(name text) (uint8, *mistake) {
	if word, ok := name.cutPrefix("option:"); ok {
		for _, known := range optionTypes {
			if strings.EqualFold(known.name, word.s) {
				if known.internal {
					return 0, wrong(word, "delete the line", "option:%s can not be set: dnsmasq sets it itself", word.s)
				}
				return known.code, nil
			}
		}
		hint := "its number will do, too; see dnsmasq --help dhcp"
		var known []string
		for _, o := range optionTypes {
			if !o.internal {
				known = append(known, o.name)
			}
		}
		if near := document.Nearest(word.s, known); near != "" {
			hint = "did you mean option:" + near + "?"
		}
		return 0, wrong(word, hint, "option %s is not known", quote(word.plain()))
	}
	n := atoi(name.s)
	if name.isEmpty() || n > 255 {
		return 0, wrong(name, "the numbers of options go from 1 to 254", "%s is the number of no option", quote(name.plain()))
	}
	return uint8(n), nil
}
