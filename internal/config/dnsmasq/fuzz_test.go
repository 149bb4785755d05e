package dnsmasq_test

import (
	"strings"
	"testing"

	"berth/internal/config/dnsmasq"
	"berth/internal/ipam"
)

// FuzzParse wants every text to be read without harm: each problem has its place, which exists, and a hint, and
// what is honoured can be used.
func FuzzParse(f *testing.F) {
	for _, c := range corpus {
		f.Add(c.text, c.text)
	}
	f.Add("dhcp-hostsfile=/h\ndhcp-optsfile=/h\nread-ethers\nservers-file=/h\naddn-hosts=/h\nconf-file=/h", "00:16:3e:01:02:03 x\n\"a\\")
	f.Fuzz(func(t *testing.T, text, other string) {
		files := machine("/h", other, "/etc/ethers", other, "/d/h", other)
		c, problems := dnsmasq.Command{Bridge: "lxdbr0", Domain: "lxd"}.Parse("c", []byte(text), files)
		lines := map[string][]string{"c": strings.Split(text, "\n")}
		for _, name := range []string{"/h", "/etc/ethers", "/d/h"} {
			lines[name] = strings.Split(other, "\n")
		}
		for _, p := range append(append(ipam.Problems{}, problems...), c.Unserved...) {
			if p.Text == "" || p.Hint == "" || p.Code == "" || strings.ContainsAny(p.Text, "\n\x00") {
				t.Errorf("%+v", p)
			}
			all := lines[p.Source.File]
			if p.Source.Line == 0 && strings.HasSuffix(p.Text, " more") {
				continue
			}
			if p.Source.Line < 1 || p.Source.Line > len(all) || p.Source.Col < 1 || p.Source.Col > len(all[p.Source.Line-1])+1 {
				t.Errorf("%s is nowhere: %s", p.Source, p.Text)
			}
		}
		for _, p := range c.Pins {
			if !p.Addr.Is4() || p.Holder.IsZero() || p.Holder.Guest != "" && ipam.CheckName(p.Holder.Guest) != nil || !p.Holder.MAC.IsZero() && !p.Holder.MAC.IsUnicast() {
				t.Errorf("%+v", p)
			}
		}
		for _, p := range c.Pins6 {
			if !p.Addr.Is6() || p.Holder.IsZero() {
				t.Errorf("%+v", p)
			}
		}
		for _, o := range c.Options {
			if o.Code == 0 || o.Code == 255 || len(o.Data) > 255 {
				t.Errorf("%+v", o)
			}
		}
		for _, g := range c.Ranges {
			if g.To.Less(g.From) || g.From.Is4() != g.To.Is4() || g.LeaseTime < 0 || g.LeaseTime > ipam.NeverExpires {
				t.Errorf("%+v", g)
			}
		}
	})
}
