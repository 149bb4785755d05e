// Package option knows the options of DHCPv4: their names, their types, and how a value
// of berth.toml becomes the bytes that a client is sent.
package option

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// MaxLen is how long one option may be, in bytes. More than 255 are sent in pieces
// (RFC 3396); what exceeds this fits into no frame of a bridge.
const MaxLen = 1024

// Option is one option that an operator can set.
type Option struct {
	Code uint8
	Name string   // as ISC dhcpd calls it, or IANA's registry where that knows none
	Also []string // what other servers call it, dnsmasq first
	kind kind
}

// kind is a type of value. The functions get what they are made for: encode a value of the
// kind's TOML type, show any bytes at all.
type kind struct {
	toml    document.Kind
	label   string // what the reference calls it
	want    string // what a value is, in a sentence
	example string // as TOML
	encode  func(*encoder, *document.Value)
	show    func(data []byte) string // "" when data is not of this kind
}

// encoder collects the bytes of one option, and what is wrong with its value.
type encoder struct {
	data     []byte
	problems ipam.Problems
}

func (e *encoder) put(b ...byte) { e.data = append(e.data, b...) }

func (e *encoder) refuse(v *document.Value, hint, format string, args ...any) {
	e.problems = append(e.problems, v.Problem(hint, format, args...))
}

// All is every option that has a name here, in order of code.
func All() []Option {
	all := slices.Concat(hostOptions(), interfaceOptions(), serviceOptions(), bootOptions(), laterOptions())
	slices.SortFunc(all, func(a, b Option) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

// Find is the option that a key of berth.toml means: a name, in any letter case, or a
// number. It reports false for a name that is not known, and for a number that is none of an option.
func Find(all []Option, key string) (Option, bool) {
	if code, err := strconv.ParseUint(key, 10, 8); err == nil {
		for _, o := range all {
			if o.Code == uint8(code) {
				return o, true
			}
		}
		return Option{Code: uint8(code), Name: strconv.FormatUint(code, 10), kind: bytesKind()}, true
	}
	for _, o := range all {
		if strings.EqualFold(o.Name, key) || slices.ContainsFunc(o.Also, func(s string) bool { return strings.EqualFold(s, key) }) {
			return o, true
		}
	}
	return Option{}, false
}

// Type is what the reference calls the type of the option's value.
func (o Option) Type() string { return o.kind.label }

// Names is every name that Find knows.
func Names(all []Option) []string {
	var names []string
	for _, o := range all {
		names = append(append(names, o.Name), o.Also...)
	}
	return names
}

// Encode makes bytes of a value: one of the option's own type, or "hex:" and the bytes
// as they are. No bytes mean that the option is not to be sent.
func (o Option) Encode(v *document.Value) ([]byte, ipam.Problems) {
	e := new(encoder)
	switch {
	case v.Kind == document.String && isHex(v.Text):
		e.hex(v)
	case v.Kind != o.kind.toml:
		e.refuse(v, "write "+o.Name+" = "+o.kind.example, "%s is %s, not %s", o.Name, o.kind.want, v.Kind)
	default:
		o.kind.encode(e, v)
	}
	if len(e.problems) > 0 {
		return nil, e.problems
	}
	switch {
	case len(e.data) == 0 && !o.isDefault():
		e.refuse(v, "delete the line, or write "+o.Name+" = "+o.kind.example, "%s is empty", o.Name)
	case len(e.data) > MaxLen:
		e.refuse(v, "shorten it", "%s takes %d bytes, of which at most %d fit into a message", o.Name, len(e.data), MaxLen)
	case o.Code == codeHostName && len(e.data) > 0:
		e.refuse(v, `guests are named by their pins; host-name = "" tells them no name`, "host-name would call all guests %s", v.Text)
	}
	return e.data, e.problems
}

const codeHostName = 12

// isDefault reports whether the server sends the option unasked by the operator, so that
// setting it to nothing means something.
func (o Option) isDefault() bool {
	switch o.Code {
	case 3, 6, codeHostName, 15, 28:
		return true
	}
	return false
}

// Show is an option's value for a person to read.
func Show(o ipam.Option) string {
	if len(o.Data) == 0 {
		return "not sent"
	}
	if known, ok := Find(All(), strconv.Itoa(int(o.Code))); ok {
		if text := known.kind.show(o.Data); text != "" {
			return text
		}
	}
	return showHex(o.Data)
}

// Name is what an option is called, or its number.
func Name(code uint8) string {
	o, _ := Find(All(), strconv.Itoa(int(code)))
	return o.Name
}
