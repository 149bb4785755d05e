package option_test

import (
	"encoding/hex"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"berth/internal/config/document"
	"berth/internal/config/option"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// parse reads one line "key = value".
func parse(t testing.TB, line string) *document.Entry {
	t.Helper()
	root, problems := document.Parse("f", []byte(line))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return root.Entries[0]
}

func TestEncode(t *testing.T) {
	tests := []struct{ name, line, want, shown string }{
		{"address", `swap-server = "10.64.177.1"`, "0a40b101", "10.64.177.1"},
		{"addresses", `ntp-servers = ["10.64.177.1", "192.0.2.1"]`, "0a40b101c0000201", "10.64.177.1 192.0.2.1"},
		{"by dnsmasq's name", `ntp-server = ["10.64.177.1"]`, "0a40b101", "10.64.177.1"},
		{"by name in other case", `NTP-Servers = ["10.64.177.1"]`, "0a40b101", "10.64.177.1"},
		{"by number", `42 = ["10.64.177.1"]`, "0a40b101", "10.64.177.1"},
		{"one byte", `default-ip-ttl = 64`, "40", "64"},
		{"two bytes", `interface-mtu = 1400`, "0578", "1400"},
		{"four bytes", `arp-cache-timeout = 4294967295`, "ffffffff", "4294967295"},
		{"with a sign", `time-offset = -3600`, "fffff1f0", "-3600"},
		{"integers", `path-mtu-plateau-table = [68, 1500]`, "004405dc", "68 1500"},
		{"flag on", `ip-forwarding = true`, "01", "true"},
		{"flag off", `ip-forwarding = false`, "00", "false"},
		{"text", `root-path = "nfs:/ü"`, "6e66733a2fc3bc", `"nfs:/ü"`},
		{"domain, RFC 5223", `v4-lost = "Example.NET."`, "076578616d706c65036e657400", "example.net"},
		{"domains compressed, RFC 3397 §2", `domain-search = ["eng.apple.com", "marketing.apple.com"]`,
			"03656e67056170706c6503636f6d00" + "096d61726b6574696e67c004", "eng.apple.com marketing.apple.com"},
		{"domains with the second in the first", `domain-search = ["a.lxd", "lxd"]`, "0161036c786400c002", "a.lxd lxd"},
		{"domains in full, RFC 4280", `bcms-controller-names = ["a.b", "c.b"]`, "016101620001630162" + "00", "a.b c.b"},
		{"routes, RFC 3442", `classless-static-routes = ["10.0.0.0/8 via 10.64.177.9", "10.17.0.0/16 via 0.0.0.0", "10.229.0.128/25 via 10.64.177.9", "default via 10.64.177.1"]`,
			"080a0a40b109" + "100a1100000000" + "190ae500800a40b109" + "000a40b101",
			"10.0.0.0/8 via 10.64.177.9, 10.17.0.0/16 via 0.0.0.0, 10.229.0.128/25 via 10.64.177.9, 0.0.0.0/0 via 10.64.177.1"},
		{"route to one address", `249 = ["192.0.2.7/32 via 10.64.177.9"]`, "20c00002070a40b109", "192.0.2.7/32 via 10.64.177.9"},
		{"static routes, RFC 2132 §5.8", `static-routes = ["192.0.2.0 via 10.64.177.9"]`, "c00002000a40b109", "192.0.2.0 via 10.64.177.9"},
		{"networks, RFC 2132 §4.3", `policy-filter = ["10.0.0.0/8", "0.0.0.0/0"]`, "0a000000ff000000" + "0000000000000000", "10.0.0.0 mask 255.0.0.0, 0.0.0.0 mask 0.0.0.0"},
		{"SIP servers by name, RFC 3361 §3.1", `sip-servers = ["a.b", "c.b"]`, "00" + "0161016200" + "0163016200", "a.b c.b"},
		{"SIP servers by address, RFC 3361 §3.2", `sip-servers = ["192.0.2.1"]`, "01c0000201", "192.0.2.1"},
		{"private, in bytes", `224 = "hex:0a40B101"`, "0a40b101", "hex:0a40b101"},
		{"bytes with separators", `vendor-encapsulated-options = "hex:01:02-03 04"`, "01020304", "hex:01020304"},
		{"bytes for what has a type", `ntp-servers = "hex:0a"`, "0a", "hex:0a"},
		{"no routers", `routers = []`, "", "not sent"},
		{"no domain name", `domain-name = ""`, "", "not sent"},
		{"no host name", `host-name = ""`, "", "not sent"},
		{"no DNS servers, in bytes", `6 = "hex:"`, "", "not sent"},
		{"more than 255 bytes, RFC 3396", `root-path = "` + strings.Repeat("x", option.MaxLen) + `"`, strings.Repeat("78", option.MaxLen), `"` + strings.Repeat("x", option.MaxLen) + `"`},
	}
	all := option.All()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := parse(t, tt.line)
			o, ok := option.Find(all, e.Key)
			if !ok {
				t.Fatalf("option %s is not known", e.Key)
			}
			data, problems := o.Encode(e.Value)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := hex.EncodeToString(data); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := option.Show(ipam.Option{Code: o.Code, Data: data}); got != tt.shown {
				t.Errorf("shown as %s, want %s", got, tt.shown)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []struct {
		name, line string
		want       []string // columns and texts
	}{
		{"text for a list", `ntp-servers = "10.0.0.1"`, []string{`15: ntp-servers is a list of IPv4 addresses, not a string`}},
		{"list for an address", `swap-server = ["10.0.0.1"]`, []string{`15: swap-server is an IPv4 address, not a list`}},
		{"text for a number", `interface-mtu = "1400"`, []string{`17: interface-mtu is an integer from 68 to 65535, not a string`}},
		{"number for a flag", `ip-forwarding = 1`, []string{`17: ip-forwarding is true or false, not an integer`}},
		{"text without hex", `224 = "abc"`, []string{`7: "abc" does not begin with hex:`}},
		{"number for bytes", `224 = 5`, []string{`7: 224 is bytes in hexadecimal, not an integer`}},
		{"half a byte", `224 = "hex:abc"`, []string{`7: "hex:abc" is not hexadecimal`}},
		{"no digit", `224 = "hex:zz"`, []string{`7: "hex:zz" is not hexadecimal`}},
		{"each bad address", `ntp-servers = ["10.0.0.300", "10.0.0.1", "fd00::1", 5, "0.0.0.0", ""]`, []string{
			`16: "10.0.0.300" is no IPv4 address`, `42: fd00::1 is no IPv4 address`, `53: an IPv4 address is wanted here, not an integer`,
			`56: 0.0.0.0 is the address of nobody`, `67: "" is no IPv4 address`}},
		{"number too small", `interface-mtu = 67`, []string{`17: 67 is out of range`}},
		{"number too large", `default-ip-ttl = 256`, []string{`18: 256 is out of range`}},
		{"negative", `arp-cache-timeout = -1`, []string{`21: -1 is out of range`}},
		{"sign too large", `time-offset = 2147483648`, []string{`15: 2147483648 is out of range`}},
		{"number in a list", `path-mtu-plateau-table = [68, 5, "x"]`, []string{`31: 5 is out of range`, `34: an integer is wanted here, not a string`}},
		{"control character", `root-path = "a\nb"`, []string{`13: the text holds the control character 0x0a`}},
		{"NUL", `root-path = "a\u0000"`, []string{`13: the text holds the control character 0x00`}},
		{"domains", `domain-search = ["a..b", "ok", "-a", "a b", "eth0:a", "."]`, []string{
			`18: "a..b" is no domain name`, `32: "-a" is no domain name`, `38: "a b" is no domain name`, `45: "eth0:a" is no domain name`, `55: "." is no domain name`}},
		{"long label", `v4-lost = "` + strings.Repeat("x", 64) + `"`, []string{`11: "` + strings.Repeat("x", 64) + `" is no domain name`}},
		{"routes", `121 = ["10.0.0.0/8", "10.0.0.1/8 via 10.0.0.2", "10.0.0.0/33 via 10.0.0.2", "10.0.0.0/8 via gw", "fd00::/8 via 10.0.0.2"]`, []string{
			`8: "10.0.0.0/8" is no route`, `22: 10.0.0.1/8 has bits set beyond its prefix length`, `49: "10.0.0.0/33" is no IPv4 network`,
			`77: "gw" is no IPv4 address`, `98: "fd00::/8" is no IPv4 network`}},
		{"static default route", `33 = ["default via 10.0.0.1", "10.0.0.0/8 via 10.0.0.1", "0.0.0.0 via 10.0.0.1"]`, []string{
			`7: static-routes knows no prefix lengths and no default route`, `31: static-routes knows no prefix lengths and no default route`, `58: 0.0.0.0 is the address of nobody`}},
		{"policy filter", `21 = ["10.0.0.1"]`, []string{`7: "10.0.0.1" is no IPv4 network`}},
		{"SIP servers mixed", `120 = ["a.b", "10.0.0.1", "-"]`, []string{`15: names and addresses can not be mixed (RFC 3361)`, `27: "-" is no domain name`}},
		{"empty list", `ntp-servers = []`, []string{`15: ntp-servers is empty`}},
		{"empty text", `root-path = ""`, []string{`13: root-path is empty`}},
		{"no bytes", `224 = "hex:"`, []string{`7: 224 is empty`}},
		{"too long", `root-path = "` + strings.Repeat("x", option.MaxLen+1) + `"`, []string{`13: root-path takes 1025 bytes, of which at most 1024 fit into a message`}},
		{"one name for all", `host-name = "x"`, []string{`13: host-name would call all guests x`}},
	}
	all := option.All()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := parse(t, tt.line)
			o, ok := option.Find(all, e.Key)
			if !ok {
				t.Fatalf("option %s is not known", e.Key)
			}
			data, problems := o.Encode(e.Value)
			var got []string
			for _, p := range problems {
				got = append(got, strconv.Itoa(p.Source.Col)+": "+p.Text)
				if p.Hint == "" || p.Code != ipam.CodeConfig || p.Source.File != "f" || p.Source.Line != 1 {
					t.Errorf("incomplete problem %+v", p)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if len(problems) == 0 && data != nil {
				t.Error("no problem")
			}
		})
	}
}

// TestExamplesAreValues follows the hint of every option: its example must be a value.
func TestExamplesAreValues(t *testing.T) {
	for _, o := range option.All() {
		_, problems := o.Encode(parse(t, "x = 2026-01-01").Value)
		if len(problems) != 1 {
			t.Fatalf("%s takes a date", o.Name)
		}
		line, ok := strings.CutPrefix(problems[0].Hint, "write ")
		if !ok {
			t.Fatalf("%s: hint %q", o.Name, problems[0].Hint)
		}
		e := parse(t, line)
		if found, ok := option.Find(option.All(), e.Key); !ok || found.Code != o.Code {
			t.Errorf("%q is not option %d", e.Key, o.Code)
		}
		if o.Name == "host-name" {
			continue // whose only value is ""
		}
		if _, problems := o.Encode(e.Value); len(problems) > 0 {
			t.Errorf("%s: %v", line, problems)
		}
	}
}

func TestNamesAndNumbersMeanOneOption(t *testing.T) {
	names := make(map[string]uint8)
	codes := make(map[uint8]bool)
	for _, o := range option.All() {
		if codes[o.Code] {
			t.Errorf("option %d is there twice", o.Code)
		}
		codes[o.Code] = true
		for _, name := range append(o.Also, o.Name) {
			if _, ok := names[name]; ok {
				t.Errorf("%s is there twice", name)
			}
			names[name] = o.Code
			if _, ok := option.FindOwned(name); ok {
				t.Errorf("%s can be set, and can not", name)
			}
		}
	}
	for code := range 256 {
		key := strconv.Itoa(code)
		owned, isOwned := option.FindOwned(key)
		o, ok := option.Find(option.All(), key)
		if !ok || int(o.Code) != code {
			t.Errorf("option %d is not found by its number", code)
		}
		if isOwned && (codes[uint8(code)] || int(owned.Code) != code || owned.Why == "" || owned.Hint == "") {
			t.Errorf("option %d: %+v", code, owned)
		}
	}
	for _, key := range []string{"256", "-1", "4294967298", "nonsense", ""} {
		if o, ok := option.Find(option.All(), key); ok {
			t.Errorf("%q is option %d", key, o.Code)
		}
	}
}

// TestNamesOfDnsmasq asks a real dnsmasq for its names: each must mean the same option here.
func TestNamesOfDnsmasq(t *testing.T) {
	netnstest.RequirePrograms(t, "dnsmasq")
	out, err := exec.Command("dnsmasq", "--help", "dhcp").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		code, err := strconv.Atoi(f[0])
		if len(f) != 2 || err != nil || code == 255 { // 255: a field of the message that dnsmasq lists with the options
			continue
		}
		seen++
		if owned, ok := option.FindOwned(f[1]); ok {
			if int(owned.Code) != code {
				t.Errorf("%s is %d, not %d", f[1], owned.Code, code)
			}
			continue
		}
		if o, ok := option.Find(option.All(), f[1]); !ok || int(o.Code) != code {
			t.Errorf("%s is %d (%v), not %d", f[1], o.Code, ok, code)
		}
	}
	if seen < 40 {
		t.Errorf("dnsmasq listed %d options only:\n%s", seen, out)
	}
}

func TestAnotherCodecReadsTheSame(t *testing.T) {
	o, _ := option.Find(option.All(), "domain-search")
	data, problems := o.Encode(parse(t, `x = ["a.b.c", "b.c", "x.b.c", "c", "d.a.b.c", "other"]`).Value)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	labels, err := rfc1035label.FromBytes(data)
	if err != nil || strings.Join(labels.Labels, " ") != "a.b.c b.c x.b.c c d.a.b.c other" {
		t.Errorf("read %v, %v", labels, err)
	}
	o, _ = option.Find(option.All(), "121")
	data, problems = o.Encode(parse(t, `x = ["10.1.0.0/17 via 10.0.0.1", "default via 10.0.0.2"]`).Value)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var routes dhcpv4.Routes
	if err := routes.FromBytes(data); err != nil || len(routes) != 2 || routes[0].Dest.String() != "10.1.0.0/17" ||
		routes[0].Router.String() != "10.0.0.1" || routes[1].Dest.String() != "0.0.0.0/0" {
		t.Errorf("read %v, %v", routes, err)
	}
}

// FuzzShow shows bytes that no encoder made.
func FuzzShow(f *testing.F) {
	for _, seed := range []string{"", "c000", "01", "0161c000", "20c0000207", "00c0", "0161c00003636f6d00"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(119), b)
		f.Add(uint8(120), b)
		f.Add(uint8(121), b)
	}
	f.Fuzz(func(t *testing.T, code uint8, data []byte) {
		text := option.Show(ipam.Option{Code: code, Data: data})
		if text == "" || strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("option %d, %x: %q", code, data, text)
		}
	})
}
