package config

import (
	"cmp"
	"slices"
	"strings"

	"berth/internal/config/document"
	"berth/internal/config/option"
	"berth/internal/ipam"
)

// maxOptions is how many bytes all options of a network may take together: what a frame of
// 1500 has room for, beside the header of RFC 2131 §2 and what the server adds.
const maxOptions = 1024

// dhcpOptions takes the table of options.
func (c *checker) dhcpOptions(d *draft, v *document.Value) {
	all := option.All()
	set := make(map[uint8]*document.Entry)
	size := 0
	for _, e := range v.Table.Entries {
		o, ok := c.option(all, e)
		if !ok {
			continue
		}
		if before := set[o.Code]; before != nil {
			c.add(e.Problem("delete one of the two", "%s is option %d, which %s at %s sets already", e.Key, o.Code, before.Key, before.At))
			continue
		}
		set[o.Code] = e
		data, problems := o.Encode(e.Value)
		c.problems = append(c.problems, problems...)
		d.Options = append(d.Options, ipam.Option{Code: o.Code, Data: data})
		size += len(data) + 2*max(1, (len(data)+254)/255) // RFC 3396: in pieces of 255 bytes
	}
	if size > maxOptions {
		c.add(v.Problem("shorten or delete some", "the options of network %s take %d bytes, of which at most %d fit into a message", d.Name, size, maxOptions))
	}
	slices.SortFunc(d.Options, func(a, b ipam.Option) int { return cmp.Compare(a.Code, b.Code) })
}

// option finds what a key of the table means.
func (c *checker) option(all []option.Option, e *document.Entry) (option.Option, bool) {
	key := strings.ToLower(e.Key)
	if plain, isDnsmasq := strings.CutPrefix(key, "option:"); isDnsmasq {
		c.add(e.Problem("write "+plain, "%q is no option", e.Key))
		return option.Option{}, false
	}
	if owned, ok := option.FindOwned(key); ok {
		c.add(e.Problem(owned.Hint, "option %s can not be set: %s", e.Key, owned.Why))
		return option.Option{}, false
	}
	o, ok := option.Find(all, key)
	if !ok && isNumber(key) {
		c.add(e.Problem("the numbers of options go from 1 to 254", "%s is the number of no option", e.Key))
		return o, false
	}
	if !ok {
		hint := `its number will do too, as in 224 = "hex:0a40b101"; reference.toml lists the names`
		if near := document.Nearest(key, option.Names(all)); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.add(e.Problem(hint, "option %q is not known", e.Key))
	}
	return o, ok
}
