package leasefile_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"berth/internal/leasefile"
)

// whole has a line of every kind.
const whole = `1700000300 00:16:3e:59:21:d7 10.155.92.102 cent02 ff:3e:59:21:d7:00:01
0 00:16:3e:59:21:d8 10.155.92.103 * *
1700000100 06-00:01:02:03:04:05:06:07 10.155.92.104 tokenring *
1700000100 20- 10.155.92.105 * 00
1700000200 00:16:3e:59:21:d9 10.155.92.106 a.b_c-d 01:00:16:3e:59:21:d9
duid 00:01:00:01:2c:d0:aa:bb:00:16:3e:00:00:01
1700000400 6113751 fd42::102 cent02 00:02:00:00:ab:11
0 T4294967295 fd42::103 * *
agent-info 10.155.92.102 01:04:00:00:00:07
vendorclass 10.155.92.102 75:64:68:63:70
`

func parse(t testing.TB, text string) *leasefile.File {
	t.Helper()
	f, problems := leasefile.Parse("leases", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return f
}

func TestEveryKindOfLine(t *testing.T) {
	f := parse(t, whole)
	if len(f.Leases) != 7 || len(f.DUID) != 14 || len(f.Notes) != 2 {
		t.Fatalf("%d leases, DUID %x, %d notes", len(f.Leases), f.DUID, len(f.Notes))
	}
	first := f.Leases[0]
	mac, ok := first.Hardware.MAC()
	if !ok || mac.String() != "00:16:3e:59:21:d7" || first.Addr != netip.MustParseAddr("10.155.92.102") || first.Hostname != "cent02" ||
		!first.Expiry.Equal(time.Unix(1700000300, 0)) || !bytes.Equal(first.ClientID, []byte{0xff, 0x3e, 0x59, 0x21, 0xd7, 0, 1}) || first.Source.String() != "leases:1" {
		t.Errorf("first: %+v", first)
	}
	if second := f.Leases[1]; !second.Expiry.IsZero() || second.Hostname != "" || second.ClientID != nil || !second.IsLive(time.Now()) {
		t.Errorf("second: %+v", second)
	}
	for _, i := range []int{2, 3} {
		if _, ok := f.Leases[i].Hardware.MAC(); ok {
			t.Errorf("%s is taken for an Ethernet address", f.Leases[i].Hardware)
		}
	}
	if l := f.Leases[5]; l.IAID != 6113751 || l.Temporary || l.Source.Line != 7 {
		t.Errorf("first of IPv6: %+v", l)
	}
	if l := f.Leases[6]; l.IAID != 1<<32-1 || !l.Temporary {
		t.Errorf("second of IPv6: %+v", l)
	}
}

func TestWrittenAsItWasRead(t *testing.T) {
	for name, text := range map[string]string{"every kind of line": whole, "empty": "", "IPv4 only": "0 02:00:00:00:00:01 10.0.0.9 * *\n", "a DUID and no lease": "duid 00:01\n"} {
		if have := string(parse(t, text).Append(nil)); have != text {
			t.Errorf("%s: (-read +written)\n%s", name, cmp.Diff(text, have))
		}
	}
}

// TestBadLines: each is lost alone, and its place and what should be there are told.
func TestBadLines(t *testing.T) {
	const mac = "02:00:00:00:00:01"
	tests := []struct{ name, line, want string }{
		{"expiry is a word", "soon " + mac + " 10.0.0.9 * *", `2:1: "soon" is no time in seconds since 1970`},
		{"expiry below zero", "-1 " + mac + " 10.0.0.9 * *", `2:1: "-1" is no time`},
		{"expiry with a sign", "+1 " + mac + " 10.0.0.9 * *", `2:1: "+1" is no time`},
		{"expiry beyond any clock", "9223372037 " + mac + " 10.0.0.9 * *", `2:1: "9223372037" is no time`},
		{"expiry beyond any number", "99999999999999999999 " + mac + " 10.0.0.9 * *", `2:1: "99999999999999999999" is no time`},
		{"expiry alone", "1700000000", `2:11: the line ends too early`},
		{"no address", "0 " + mac, `2:20: the line ends too early`},
		{"no name", "0 " + mac + " 10.0.0.9", `2:29: the line ends too early`},
		{"no identifier", "0 " + mac + " 10.0.0.9 *", `2:31: the line ends too early`},
		{"more than a lease", "0 " + mac + " 10.0.0.9 * * *", `2:34: "*" is more than the line should hold`},
		{"short hardware address", "0 02:00:00: 10.0.0.9 * *", `2:3: "02:00:00:" is no hardware address`},
		{"hardware address without colons", "0 020000000001 10.0.0.9 * *", `2:3: "020000000001" is no hardware address`},
		{"hardware address of 17 bytes", "0 " + strings.Repeat("02:", 16) + "02 10.0.0.9 * *", `2:3: "02:02:02:02:02:02:02:02:02:02:02:02:02:0"... is no hardware address`},
		{"hardware address that is no number", "0 zz:00:00:00:00:01 10.0.0.9 * *", `2:3: "zz:00:00:00:00:01" is no hardware address`},
		{"hardware type that is no number", "0 zz-" + mac + " 10.0.0.9 * *", `is no hardware address`},
		{"address of three parts", "0 " + mac + " 10.0.9 * *", `2:21: "10.0.9" is no address`},
		{"address with leading zeros", "0 " + mac + " 10.0.0.009 * *", `2:21: "10.0.0.009" is no address`},
		{"no address at all", "0 " + mac + " 0.0.0.0 * *", `2:21: "0.0.0.0" is no address`},
		{"address with a zone", "0 7 fe80::1%eth0 * *", `2:5: "fe80::1%eth0" is no address`},
		{"control characters in the name", "0 " + mac + " 10.0.0.9 \x1b[2J *", `2:30: "\x1b[2J" is no host name`},
		{"name of a guest's interface", "0 " + mac + " 10.0.0.9 cent01:eth1 *", `2:30: "cent01:eth1" is no host name`},
		{"name that is not UTF-8", "0 " + mac + " 10.0.0.9 \xff\xfe *", `2:30: "\xff\xfe" is no host name`},
		{"endless name", "0 " + mac + " 10.0.0.9 " + strings.Repeat("a", 5000) + " *", `2:30: "` + strings.Repeat("a", 40) + `"... is no host name`},
		{"identifier of half a byte", "0 " + mac + " 10.0.0.9 * 01:0", `2:32: "01:0" is no identifier`},
		{"identifier without colons", "0 " + mac + " 10.0.0.9 * 01.02", `2:32: "01.02" is no identifier`},
		{"identifier of 256 bytes", "0 " + mac + " 10.0.0.9 * " + strings.Repeat("01:", 255) + "01", `is no identifier`},
		{"line end of another system", "0 " + mac + " 10.0.0.9 * *\r", `2:32: "*\r" is no identifier`},
		{"NUL", "0 " + mac + " 10.0.0.9 * *\x00", `2:32: "*\x00" is no identifier`},
		{"tabs", "0\t" + mac + "\t10.0.0.9\t*\t*", `2:1: "0\t02:00:00:00:00:01\t10.0.0.9\t*\t*" is no time`},
		{"IAID too large", "0 4294967296 fd00::9 * *", `2:3: "4294967296" is no IAID`},
		{"IAID below zero", "0 -1 fd00::9 * *", `2:3: "-1" is no IAID`},
		{"no IAID", "0 T fd00::9 * *", `2:3: "T" is no IAID`},
		{"hardware address of IPv6", "0 " + mac + " fd00::9 * *", `2:3: "` + mac + `" is no IAID`},
		{"the same address twice", "0 " + mac + " 10.0.0.1 * *", `2:21: 10.0.0.1 is leased at line 1 already`},
		{"empty DUID", "duid", `2:5: the line ends too early`},
		{"DUID that is none", "duid xx", `2:6: "xx" is no DUID`},
		{"DUID too long", "duid " + strings.Repeat("01:", 130) + "01", `is no DUID`},
		{"more than a DUID", "duid 00:01 2", `2:12: "2" is more than`},
		{"note on nothing", "agent-info * 01", `2:12: "*" is no address`},
		{"note of nothing", "vendorclass 10.0.0.1 *", `2:22: "*" is no run of bytes`},
		{"more than a note", "agent-info 10.0.0.1 01 02", `2:24: "02" is more than`},
		{"a comment", "# leases", `2:1: "#" is no time`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const before, after = "0 02:00:00:00:00:0a 10.0.0.1 * *\n", "0 02:00:00:00:00:0b 10.0.0.2 * *\n"
			f, problems := leasefile.Parse("leases", []byte(before+tt.line+"\n"+after))
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), tt.want) || problems[0].Hint == "" {
				t.Errorf("problems %v, want %s", problems, tt.want)
			}
			if len(problems) == 1 && !strings.HasPrefix(problems[0].Error(), "leases:2:") {
				t.Errorf("%s: not at its place", problems[0])
			}
			if len(f.Leases) != 2 {
				t.Errorf("%d leases are left, want both neighbours", len(f.Leases))
			}
		})
	}
}

func TestSecondDUID(t *testing.T) {
	f, problems := leasefile.Parse("leases", []byte("duid 00:01\nduid 00:02\n"))
	if len(problems) != 1 || problems[0].Error() != "leases:2:6: the server has a DUID already" || !bytes.Equal(f.DUID, []byte{0, 1}) {
		t.Errorf("DUID %x, problems %v", f.DUID, problems)
	}
}

// TestCutAtAnyByte: what is left of a file is read, but never a lease that was not there.
func TestCutAtAnyByte(t *testing.T) {
	all := parse(t, whole)
	for n := range len(whole) {
		f, problems := leasefile.Parse("leases", []byte(whole[:n]))
		atLineEnd := n == 0 || whole[n-1] == '\n'
		if (len(problems) > 0) == atLineEnd {
			t.Fatalf("cut at %d: problems %v", n, problems)
		}
		want := leasefile.File{Leases: all.Leases[:len(f.Leases)]}
		if diff := cmp.Diff(want.Leases, f.Leases, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("cut at %d:\n%s", n, diff)
		}
		lines := strings.Count(whole[:n], "\n")
		if want := min(lines, 5) + min(max(lines-6, 0), 2); len(f.Leases) != want {
			t.Fatalf("cut at %d: %d leases, want %d", n, len(f.Leases), want)
		}
	}
}

// TestGarbageIsNotRepeatedAtLength: a file of a million bad lines is told of in a hundred, and their number.
func TestGarbageIsNotRepeatedAtLength(t *testing.T) {
	_, problems := leasefile.Parse("leases", bytes.Repeat([]byte("x\n"), 1_000_000))
	if len(problems) != 101 {
		t.Fatalf("%d problems", len(problems))
	}
	if last := problems[100].Error(); last != "leases: 999900 more lines are no leases" {
		t.Errorf("the last is %s", last)
	}
}

// FuzzParse: whatever is read can be written, and reads the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("0 02:00:00:00:00:01 10.0.0.9 * *\nduid 00\n0 1 ::ffff:1.2.3.4 * *\n"))
	f.Add([]byte("0 01- 10.0.0.9 * *\n00 ff- 10.0.0.8 * *\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := leasefile.Parse("leases", data)
		if len(problems) > 101 {
			t.Fatalf("%d problems", len(problems))
		}
		for _, p := range problems {
			if p.Source.Line > bytes.Count(data, []byte("\n"))+1 || p.Hint == "" {
				t.Errorf("problem %v of %d bytes", p, len(data))
			}
		}
		if file.DUID == nil {
			file.Leases = dropIPv6(file.Leases) // they are not written then
		}
		again, problems := leasefile.Parse("leases", file.Append(nil))
		if len(problems) > 0 {
			t.Fatalf("%v\nof what was written:\n%s", problems, file.Append(nil))
		}
		if diff := cmp.Diff(file, again, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(leasefile.Lease{}, "Source")); diff != "" {
			t.Error(diff)
		}
	})
}

func dropIPv6(all []leasefile.Lease) []leasefile.Lease {
	var kept []leasefile.Lease
	for _, l := range all {
		if l.Addr.Is4() {
			kept = append(kept, l)
		}
	}
	return kept
}

func BenchmarkParse(b *testing.B) {
	var text []byte
	for i := range 60_000 {
		text = fmt.Appendf(text, "1700000000 02:00:00:%02x:%02x:%02x 10.%d.%d.%d guest%d 01:02:00:00:00:00:01\n", i>>16, i>>8&255, i&255, i>>16, i>>8&255, i&255, i)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if f, problems := leasefile.Parse("leases", text); len(problems) > 0 || len(f.Leases) != 60_000 {
			b.Fatal(problems)
		}
	}
}
