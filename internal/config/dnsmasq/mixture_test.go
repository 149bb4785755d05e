package dnsmasq_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"berth/internal/config/dnsmasq"
	"berth/internal/netnstest"
)

// mixer makes lines of what means the same to both, and of mistakes.
type mixer struct{ *rand.Rand }

func (m mixer) of(from ...string) string { return from[m.IntN(len(from))] }

func (m mixer) blank() string { return m.of("", "", "", "", " ", "\t", "  ") }

// list joins some of the fields in any order, with blanks, and quotes around a few.
func (m mixer) list(fields ...string) string {
	m.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for i, f := range fields {
		fields[i] = m.blank() + f + m.blank()
	}
	return strings.Join(fields, ",")
}

func (m mixer) line() string {
	mac := func() string {
		return m.of("", "", "", "06-", "1-") + fmt.Sprintf("%02x:%x:%02X:*:2:%02x", m.IntN(256), m.IntN(256), m.IntN(256), m.IntN(256)) + m.of("", "", "", ":7", "g", ":*", ":1*")
	}
	name := func() string {
		return m.of("a", "b1", "c-d", "e_f", "\"g\"", "\"0\"h", "i.j", "k!", "l m", "-n", "o\"#\"", "1x")
	}
	v4 := func() string { return fmt.Sprintf("10.%d.%d.%d", m.IntN(256), m.IntN(256), m.IntN(256)) }
	v6 := func() string { return m.of("fd94::", "::", "fd94:0:0:2::", "x::") + m.of("1", "65", "ff") }
	switch m.IntN(7) {
	case 0, 1:
		fields := []string{v4()}
		for _, f := range []func() string{name, mac, mac, func() string { return "[" + v6() + m.of("]", "]", "/64]", "/128]", "/x]") },
			func() string { return m.of("set:", "tag:", "net:", "tag:!") + m.of("red", "blue") },
			func() string { return m.of("id:", "ID:") + m.of("*", "text", "01:02", "01:zz", "\"a:b\"") },
			func() string { return m.of("45m", "12H", "1w", "infinite", "300", "ignore") }} {
			if m.IntN(3) == 0 {
				fields = append(fields, f())
			}
		}
		return "dhcp-host" + m.of("=", " = ", "= ") + m.list(fields...)
	case 2:
		line := m.of("", "", "lxdbr0,", "set:x,", "tag:y,", "tag:y,set:z,", "set:x,set:y,") + "10.64.177." + m.of("2", "9", "300") + "," +
			m.of("10.64.177.254", "10.64.177.254", "10.64.180.1", "static", "stat")
		return "dhcp-range=" + line + m.of("", "", ",255.255.255.0", ",255.255.255.0,10.64.177.255", ",255.255.0.0", ",255.255") + m.of("", "", ",1h", ",infinite", ",12x", ",2h,1h", ",")
	case 3:
		return "dhcp-range=" + v6() + "," + m.of(v6(), "static", "ra-only", "slaac,ra-names", "constructor:lxdbr0", "constructer:x") +
			m.of("", "", ",off-link", ",64", ",80", ",48", ",129") + m.of("", "", ",1h", ",deprecated", ",12x")
	case 4:
		return "dhcp-option=" + m.of("", "", "tag:red,", "red,", "lxdbr0,set:x,", "encap:7,", "vendor:A,", "vi-encap:9,") +
			m.of("3,", "option:router,", "option:ntp-server,", "42,", "option:mtu,", "26,", "option:nothing,", "252,", "121,", "119,", "option:domain-search,", "option:netbios-ns,") +
			m.of("10.0.0.1", "10.0.0.1,10.0.0.2", "10.0.0.1, 10.0.0.2", "10.0.0", "1500", "lxd", "a.b,c.d", "01:02:ff", "\"text\"", "10.0.0.0/8,10.0.0.1", "10.0.0.300", "/path", "0")
	case 5:
		return m.of("server=", "local=", "address=") + m.of("/a/", "/a/b.c/", "/#/", "//", "") + m.of("192.0.2.1", "", "192.0.2.1", "fd94::53", "192.0.2.300")
	default:
		return m.of(
			"cname="+m.of("a", "b.c", "a,b.c")+m.of("", ",x", ",x.y")+m.of("", ",60", ",060s"),
			"host-record="+m.of("a", "b.c", "a,b.c")+m.of("", ",x.y", ",10.0.0.1", ",10.0.0.1,fd94::1", ",fd94::1")+m.of("", ",60"),
			"ptr-record="+m.of("a", "9.0.0.10.in-addr.arpa")+m.of("", ",x", ",x.y"),
			"rev-server="+m.of("10.0.0.0", "10.0.0.0/24", "10.0.0.0/20", "10.0.0.0/33", "10.0.0.0/0", "fd94::/64", "a/24", "fd94::/129")+m.of("", ",192.0.2.1", ",fd94::53"),
			"domain="+m.of("a", "b.c")+m.of("", ",10.0.0.1", ",10.0.0.1,10.0.0.9", ",10.0.0.0/24", ",fd94::/64", ",fd94::/129", ",10.0.0.0/x")+m.of("", "", ",local"))
	}
}

// isOurOwn says for which lines the two differ for reasons that the corpus gives.
func isOurOwn(line string) bool {
	for _, s := range []string{"10.64.177.300", "10.0.0.300", "server=192.0.2.300", "/192.0.2.300", "=//", "k!", "[x::", "domain-search,/", "119,/", "domain-search,10.0.0.0/8", "119,10.0.0.0/8", "domain-search,01", "119,01"} {
		if strings.Contains(line, s) {
			return true
		}
	}
	return false
}

func TestDnsmasqAgreesOnMixtures(t *testing.T) {
	netnstest.Require(t, "dnsmasq")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := mixer{rand.New(rand.NewPCG(seed, 0))}
	refused, compared := 0, 0
	for range 400 {
		line := m.line() + m.of("", "", "\r", " # x", "\t#\"")
		if isOurOwn(line) {
			continue
		}
		compared++
		accepts, output := acceptedByDnsmasq(t, line)
		_, problems := dnsmasq.Parse("dnsmasq.conf", []byte(line+"\n"), fstest.MapFS{})
		if accepts != (len(problems) == 0) {
			t.Errorf("%q\n\tdnsmasq: %s\there: %v", line, output, problems)
		}
		if !accepts {
			refused++
		}
	}
	if refused < compared/20 || refused > compared*19/20 {
		t.Errorf("%d of %d lines are refused: no mixture", refused, compared)
	}
}
