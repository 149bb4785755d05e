package pinfile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/internal/ipam"
	"berth/internal/netnstest"
	"berth/internal/pinfile"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func mac(t testing.TB, s string) ipam.MAC {
	t.Helper()
	m, err := ipam.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseAccepts(t *testing.T) {
	addr := netip.MustParseAddr("10.64.177.101")
	named := func(name string, lease time.Duration) ipam.Pin {
		return ipam.Pin{Holder: ipam.ByName(name), Addr: addr, LeaseTime: lease}
	}
	byMAC := func(name string) ipam.Pin {
		return ipam.Pin{Holder: ipam.ByMAC(mac(t, "00:16:3e:01:02:03")), Name: name, Addr: addr}
	}
	tests := []struct {
		name, line string
		col        int
		want       ipam.Pin
	}{
		{"name and address", "cent01,10.64.177.101", 8, named("cent01", 0)},
		{"address and name", "10.64.177.101,cent01", 1, named("cent01", 0)},
		{"hardware address", "00:16:3e:01:02:03,10.64.177.101", 19, byMAC("")},
		{"hardware address in capitals", "00:16:3E:01:02:03,10.64.177.101", 19, byMAC("")},
		{"hardware address with short octets", "0:16:3e:1:2:3,10.64.177.101", 15, byMAC("")},
		{"hardware address and name", "00:16:3e:01:02:03,web,10.64.177.101", 23, byMAC("web")},
		{"hardware address last", "WEB,10.64.177.101,00:16:3e:01:02:03", 5, byMAC("web")},
		{"capitals", "Cent01,10.64.177.101", 8, named("cent01", 0)},
		{"second NIC", "cent01:eth1,10.64.177.101", 13, named("cent01:eth1", 0)},
		{"second NIC of a guest like hexadecimal", "cafe:eth1,10.64.177.101", 11, named("cafe:eth1", 0)},
		{"name with a domain stays whole", "web.proj,10.64.177.101", 10, named("web.proj", 0)},
		{"final dot", "web.lxd.,10.64.177.101", 10, named("web.lxd", 0)},
		{"name like a lease time, with a final dot", "12h.,10.64.177.101", 6, named("12h", 0)},
		{"name like a number, with a final dot", "123.,10.64.177.101", 6, named("123", 0)},
		{"guest called ignore", "ignore.,10.64.177.101", 9, named("ignore", 0)},
		{"name like a unit", "h,10.64.177.101", 3, named("h", 0)},
		{"name of hexadecimal digits", "beef,10.64.177.101", 6, named("beef", 0)},
		{"minutes", "cent01,10.64.177.101,45m", 8, named("cent01", 45*time.Minute)},
		{"hours in capitals", "cent01,10.64.177.101,12H", 8, named("cent01", 12*time.Hour)},
		{"days", "cent01,2d,10.64.177.101", 11, named("cent01", 48*time.Hour)},
		{"weeks", "1w,cent01,10.64.177.101", 11, named("cent01", 7*24*time.Hour)},
		{"plain seconds", "cent01,10.64.177.101,3600", 8, named("cent01", time.Hour)},
		{"seconds with a unit", "cent01,10.64.177.101,3600s", 8, named("cent01", time.Hour)},
		{"floor of the lease time", "cent01,10.64.177.101,5", 8, named("cent01", 2*time.Minute)},
		{"no lease time at all", "cent01,10.64.177.101,0", 8, named("cent01", 2*time.Minute)},
		{"blank before the unit", "cent01,10.64.177.101,45 m", 8, named("cent01", 45*time.Minute)},
		{"longest finite lease", "cent01,10.64.177.101,4294967294", 8, named("cent01", 4294967294*time.Second)},
		{"infinite", "cent01,10.64.177.101,infinite", 8, named("cent01", ipam.NeverExpires)},
		{"comment", "cent01,10.64.177.101 # end", 8, named("cent01", 0)},
		{"comment after a tab", "cent01,10.64.177.101\t#end", 8, named("cent01", 0)},
		{"comment after a comma and a blank", "cent01,10.64.177.101, # end", 8, named("cent01", 0)},
		{"comment that is not UTF-8", "cent01,10.64.177.101 # f\xfcr \x00 \"me", 8, named("cent01", 0)},
		{"white space around the fields", " \tcent01 , 10.64.177.101 ", 12, named("cent01", 0)},
		{"empty fields", ",cent01,,10.64.177.101,", 10, named("cent01", 0)},
		{"CRLF", "cent01,10.64.177.101\r", 8, named("cent01", 0)},
		{"as long as may be", "cent01," + strings.Repeat(" ", 1024-20) + "10.64.177.101", 1012, named("cent01", 0)},
		{"comment after the longest line", "cent01,10.64.177.101 #" + strings.Repeat("x", 5000), 8, named("cent01", 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Source = ipam.Source{File: "pins", Line: 2, Col: tt.col}
			for _, text := range []string{"# first\n" + tt.line, "\n" + tt.line + "\n"} {
				pins, problems := pinfile.Parse("pins", []byte(text))
				if err := problems.Err(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]ipam.Pin{tt.want}, pins, compareAddr); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, line string
		col        int
		want       string
	}{
		{"client-id", "id:01:02,10.64.177.61", 1, "client-id"},
		{"client-id in capitals", "ID:*,10.64.177.61", 1, "client-id"},
		{"tag", "cent01,set:red,10.64.177.61", 8, "tags (set:)"},
		{"tag in the old form", "net:red,cent01,10.64.177.61", 1, "tags (net:)"},
		{"condition", "tag:!red,cent01,10.64.177.61", 1, "tags (tag:)"},
		{"two hardware addresses", "00:16:3e:01:02:03,00:16:3e:01:02:04,10.64.177.61", 19, "two hardware addresses"},
		{"wildcard", "00:16:3e:*:*:*,10.64.177.61", 1, "wildcard"},
		{"ARP type", "06-00:16:3e:01:02:03,10.64.177.61", 1, "ARP hardware type"},
		{"eight octets", "00:16:3e:01:02:03:04:05,10.64.177.61", 1, "8 octets"},
		{"five octets", "00:16:3e:01:02,10.64.177.61", 1, "5 octets"},
		{"octets too long", "0016:3e01:0203,10.64.177.61", 1, "no hardware address"},
		{"octet that is none", "00:16:3e:01:02:0g,10.64.177.61", 1, "no hardware address"},
		{"empty octet", "00:16:3e::01:02:xx,10.64.177.61", 1, "no hardware address"},
		{"hyphens", "00-16-3e-01-02-03,10.64.177.61", 1, "hyphens"},
		{"colons and hyphens", "00:16:3e:01:02-03,10.64.177.61", 1, "mixes"},
		{"multicast", "01:00:5e:00:00:01,10.64.177.61", 1, "one interface"},
		{"zero hardware address", "00:00:00:00:00:00,10.64.177.61", 1, "one interface"},
		{"IPv6 in brackets", "c6,[fd00::1]", 4, "IPv6 is not served yet"},
		{"IPv6 suffix", "c6,10.64.177.61,[::56/64]", 17, "IPv6 is not served yet"},
		{"IPv6 without brackets", "c6,fd00::1", 4, "IPv6 is not served yet"},
		{"ignore", "cent01,10.64.177.61,ignore", 21, "ignore"},
		{"no address", "cent01", 1, "no address"},
		{"no address but a lease time", " 12h,cent01", 2, "no address"},
		{"hardware address without address", "00:16:3e:01:02:03", 1, "no address"},
		{"nobody", "10.64.177.61", 1, "who has 10.64.177.61"},
		{"nobody but a lease time", "10.64.177.61,1h", 1, "who has 10.64.177.61"},
		{"lease time alone", "1h", 1, "neither"},
		{"commas alone", ", ,", 1, "no field"},
		{"two addresses", "cent01,10.64.177.61,10.64.177.62", 21, "two addresses"},
		{"two names", "cent01,cent02,10.64.177.61", 8, "two names"},
		{"two lease times", "cent01,10.64.177.61,1h,2h", 24, "two lease times"},
		{"number too large", "c,10.64.177.300", 3, "no IPv4 address"},
		{"three numbers", "c,10.64.177", 3, "no IPv4 address"},
		{"leading zeros", "c,10.64.177.010", 3, "no IPv4 address"},
		{"address that dnsmasq takes for a name", "00:16:3e:01:02:03,10.64.177.300", 19, "no IPv4 address"},
		{"subnet", "c,10.64.177.61/24", 3, "subnet"},
		{"port", "c,10.64.177.61:53", 3, "neither an address nor a name"},
		{"blank in a name", "bad name,10.64.177.62", 4, "blank"},
		{"blank in place of the comma", "cent01 10.64.177.62", 7, "blank"},
		{"bad character", "b!,10.64.177.62", 1, "character '!'"},
		{"hyphen at the end", "web-,10.64.177.62", 1, "hyphen"},
		{"label too long", strings.Repeat("a", 64) + ",10.64.177.62", 1, "63 octets"},
		{"empty label", "a..b,10.64.177.62", 1, "label"},
		{"bad NIC", "cent01:eth/1,10.64.177.62", 1, "interface name"},
		{"NIC without a guest", ":eth1,10.64.177.62", 1, "empty"},
		{"letters beyond ASCII", "m\u00fcller,10.64.177.62", 2, "beyond ASCII"},
		{"not UTF-8", "m\xfcller,10.64.177.62", 2, "0xfc is not UTF-8"},
		{"comment without a blank", "cent01,10.64.177.62#x", 20, "has a #"},
		{"comment as a field", "cent01,10.64.177.62,#x", 21, "has a #"},
		{"NUL", "cent01\x00,10.64.177.62", 7, "NUL"},
		{"control character", "cent\x1b[2J,10.64.177.62", 5, "0x1b"},
		{"DEL", "cent\x7f,10.64.177.62", 5, "0x7f"},
		{"quotation marks", `"cent01",10.64.177.62`, 1, "quotation marks"},
		{"carriage return inside", "a,10.64.177.62\rb,10.64.177.63", 15, "carriage return"},
		{"byte order mark", "\ufeffcent01,10.64.177.62", 1, "byte order mark"},
		{"byte order mark before a comment", "\ufeff# pins", 1, "byte order mark"},
		{"a line of dnsmasq.conf", "dhcp-host=cent01,10.64.177.62", 1, "dnsmasq's own configuration"},
		{"two numbers", "cent01,10.64.177.62,1 2h", 22, "two numbers"},
		{"endless finite lease", "cent01,10.64.177.62,4294967295", 21, "longer than DHCP can say"},
		{"lease too long", "cent01,10.64.177.62,8000w", 21, "longer than DHCP can say"},
		{"number without end", "cent01,10.64.177.62,99999999999999999999999", 21, "longer than DHCP can say"},
		{"too long", "cent01," + strings.Repeat(" ", 1024-18) + "10.64.177.62", 1025, "at most 1024"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pins, problems := pinfile.Parse("/etc/berth/pins", []byte("before,10.0.0.1\r\n\n"+tt.line+"\nafter,10.0.0.2"))
			if names := names(pins); !slices.Equal(names, []string{"before", "after"}) {
				t.Errorf("accepted %q, want the neighbours alone", names)
			}
			if len(problems) != 1 {
				t.Fatalf("%d problems: %v", len(problems), problems)
			}
			p := problems[0]
			if want := (ipam.Source{File: "/etc/berth/pins", Line: 3, Col: tt.col}); p.Source != want {
				t.Errorf("at %s, want %s", p.Source, want)
			}
			if !strings.Contains(p.Text, tt.want) || p.Hint == "" || p.Code != ipam.CodeConfig {
				t.Errorf("code %s, text %q, hint %q; want %q", p.Code, p.Text, p.Hint, tt.want)
			}
			if strings.ContainsFunc(p.Text+p.Hint, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(p.Text) > 400 {
				t.Errorf("not fit to print: %q", p.Text)
			}
		})
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# cent01,10.0.0.1", "  \t# x\r\n\r\n \n", "#"} {
		if pins, problems := pinfile.Parse("pins", []byte(text)); len(pins)+len(problems) > 0 {
			t.Errorf("%q: %v, %v", text, pins, problems)
		}
	}
}

func TestParseDescribesBoundedlyMany(t *testing.T) {
	text := "good,10.0.0.1\n" + strings.Repeat("x y\n", 200_000) + "last,10.0.0.2\n"
	pins, problems := pinfile.Parse("pins", []byte(text))
	if len(pins) != 2 || len(problems) != 1001 {
		t.Fatalf("%d pins, %d problems", len(pins), len(problems))
	}
	if last := problems[1000]; !strings.Contains(last.Text, "199000 more lines") {
		t.Errorf("the last one says %q", last.Text)
	}
}

func names(pins []ipam.Pin) []string {
	var names []string
	for _, p := range pins {
		names = append(names, p.Holder.String())
	}
	return names
}

// FuzzParse checks that an accepted line is a sane pin, and means the same when it is
// written in its plainest form.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"cent01,10.64.177.101 # x", "00:16:3e:01:02:03,web,10.0.0.1,45m", "12h.,10.0.0.1,infinite", "a:b,[::1]", "\ufeff\x00\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pins, problems := pinfile.Parse("pins", data)
		lines := strings.Count(string(data), "\n") + 1
		if len(pins)+len(problems) > lines {
			t.Fatalf("%d pins and %d problems in %d lines", len(pins), len(problems), lines)
		}
		for _, p := range problems {
			if p.Text == "" || p.Hint == "" || p.Source.File != "pins" {
				t.Errorf("problem %+v", p)
			}
		}
		for _, p := range pins {
			if p.Holder.IsZero() || !p.Addr.Is4() || p.LeaseTime != 0 && p.LeaseTime < 2*time.Minute || p.LeaseTime > ipam.NeverExpires {
				t.Errorf("pin %+v", p)
			}
			if p.Holder.IsGuest() && ipam.CheckName(p.Holder.Guest) != nil {
				t.Errorf("guest %q", p.Holder.Guest)
			}
			edit := pinfile.Edit{Holder: p.Holder, Addr: p.Addr}
			if err := edit.Check(); err != nil {
				t.Fatalf("an accepted holder can not be written: %v", err)
			}
			again, _ := pinfile.Parse("pins", pinfile.Apply(nil, edit))
			if len(again) != 1 || again[0].Holder != p.Holder || again[0].Addr != p.Addr {
				t.Errorf("%+v was written and read as %+v", p, again)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&text, "guest%05d,10.%d.%d.%d,45m # row %d\n", i, i>>16, i>>8&255, i&255, i)
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if pins, problems := pinfile.Parse("pins", data); len(pins) != 60_000 || len(problems) > 0 {
			b.Fatal(len(pins), problems)
		}
	}
}

func TestReadField(t *testing.T) {
	tests := []struct {
		name string
		text string
		want pinfile.Field
		bad  string // what the problem says, with its column
	}{
		{"a name", "Cent01.", pinfile.Field{Name: "cent01"}, ""},
		{"a hardware address", "0:16:3E:1:2:3", pinfile.Field{MAC: ipam.MAC{0, 0x16, 0x3e, 1, 2, 3}}, ""},
		{"an address", "10.64.177.101", pinfile.Field{Addr: netip.MustParseAddr("10.64.177.101")}, ""},
		{"a lease time", "45m", pinfile.Field{Lease: 45 * time.Minute}, ""},
		{"no lease time by its final dot", "45m.", pinfile.Field{Name: "45m"}, ""},
		{"a mistaken address", "10.64.177.300", pinfile.Field{}, `:1 "10.64.177.300" is no IPv4 address`},
		{"a blank", "cent 01", pinfile.Field{}, `:5 "cent 01" is no name: it has a blank`},
		{"a control character", "cent\x01", pinfile.Field{}, ":5 control character 0x01 stands in the line"},
		{"nothing", "", pinfile.Field{}, ":1 the field is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, bad := pinfile.ReadField(tt.text)
			have := ""
			if bad != nil {
				have = fmt.Sprintf(":%d %s", bad.Source.Col, bad.Text)
			}
			if got != tt.want || have != tt.bad {
				t.Errorf("%+v, %q", got, have)
			}
		})
	}
}
