package dnsmasq_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/config/dnsmasq"
	"berth/internal/netnstest"
)

// corpus is configurations; each is accepted or refused by us and by dnsmasq --test.
var corpus = []struct {
	text   string
	ours   bool
	theirs bool
	reason string // why the two differ
}{
	// Lines.
	{"", true, true, ""},
	{"# a comment \"", true, true, ""},
	{"  \t # x\r\n\f", true, true, ""},
	{"domain=lxd # comment", true, true, ""},
	{"domain=lxd#comment", false, true, "no name of a domain"},
	{" domain = lxd ", true, true, ""},
	{"domain==lxd", false, true, "no name of a domain"},
	{"domain =\tlxd\r", true, true, ""},
	{"expand-hosts", true, true, ""},
	{"expand-hosts=", false, false, ""},
	{"expand-hosts=yes", false, false, ""},
	{"expand-hosts yes", false, false, ""},
	{"Expand-Hosts", false, false, ""},
	{"--expand-hosts", false, false, ""},
	{"expand-host", false, false, ""},
	{"=lxd", false, false, ""},
	{"domain", false, false, ""},
	{"domain=", true, true, ""},
	{"pid-file", true, true, ""},
	{"pid-file=", true, true, ""},
	{"\"domain\"=lxd", false, false, ""},
	{"\"on\"e=lxd", false, false, ""},
	{"domain=\"lxd\"", true, true, ""},
	{"domain=\"lxd", false, false, ""},
	{"domain=\"l\\\"xd\"", false, true, "no name of a domain"},
	{"txt-record=a.b,\"one, \\\"two\\\"\",three#4", true, true, ""},
	{"txt-record=a.b,\"one\\", false, false, ""},
	{"domain=\"l\"\"xd\"", false, false, ""},
	{"domain=a\x02b", false, true, "a control character is one of its own ends to dnsmasq: this is ab with a digit between"},
	{"\ufeffdomain=lxd", false, false, ""},
	{"txt-record=a.b,\xff\xfe", true, true, ""},
	{"domain=" + strings.Repeat(" ", 1024-10) + "lxd", true, true, ""},
	{"domain=" + strings.Repeat(" ", 1024-9) + "lxd", false, false, ""},
	{"# " + strings.Repeat("long comment ", 200), true, false, "a comment ends with its line, however long"},

	// What may be said once.
	{"cache-size=100\ncache-size=200", false, false, ""},
	{"dhcp-lease=/tmp/a\ndhcp-leasefile=/tmp/b", false, false, ""},
	{"no-resolv\nno-resolv", true, true, ""},
	{"domain=a\ndomain-suffix=b", true, true, ""},
	{"cache-size=1x", false, false, ""},
	{"cache-size=", true, true, ""},
	{"port=65536", false, false, ""},
	{"port=x", false, false, ""},
	{"port=0", true, true, ""},
	{"listen-address=127.0.0.1,::1", true, true, ""},
	{"listen-address=localhost", false, false, ""},

	// dhcp-host.
	{"dhcp-host=cent01,10.64.177.101", true, true, ""},
	{"dhcp-host=10.64.177.101 , cent01", true, true, ""},
	{"dhcp-host=", true, true, ""},
	{"dhcp-host=,", true, true, ""},
	{"dhcp-host=00:16:3e:01:02:03,10.64.177.101,cent01,45m", true, true, ""},
	{"dhcp-host=00:16:3e:*:*:*,10.64.177.101", true, true, ""},
	{"dhcp-host=00:16:3e:1*:0:0,10.64.177.101", false, false, ""},
	{"dhcp-host=00:16:3e:01:02:0g,10.64.177.101", false, false, ""},
	{"dhcp-host=06-00:16:3e:01:02:03,10.64.177.101", true, true, ""},
	{"dhcp-host=00:16:3e:01:02:03,00:16:3e:01:02:04,10.64.177.101", true, true, ""},
	{"dhcp-host=0016:3e01:0203,10.64.177.101", true, true, ""},
	{"dhcp-host=0:16:3e:1:2:3,10.64.177.101", true, true, ""},
	{"dhcp-host=001:16:3e:1:2:3,10.64.177.101", false, true, "dnsmasq reads 00 and 1, and so seven octets"},
	{"dhcp-host=1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:10:11,10.64.177.101", false, true, "dnsmasq drops the seventeenth octet"},
	{"dhcp-host=id:01:02:03,10.64.177.101", true, true, ""},
	{"dhcp-host=ID:text,10.64.177.101", true, true, ""},
	{"dhcp-host=id:01:zz,10.64.177.101", false, false, ""},
	{"dhcp-host=id:*,00:16:3e:01:02:03,10.64.177.101", true, true, ""},
	{"dhcp-host=set:red,set:blue,tag:!green,00:16:3e:01:02:03,10.64.177.101", true, true, ""},
	{"dhcp-host=net:red,cent01,10.64.177.101", true, true, ""},
	{"dhcp-host=cent01,[fd94::65]", true, true, ""},
	{"dhcp-host=cent01,[::65],[fd94::66],10.64.177.101", true, true, ""},
	{"dhcp-host=cent01,[fd94::x]", false, false, ""},
	{"dhcp-host=cent01,[fd94:0:0:1::/80]", true, true, ""},
	{"dhcp-host=cent01,[fd94::1/80]", false, false, ""},
	{"dhcp-host=cent01,[fd94::/129]", false, false, ""},
	{"dhcp-host=cent01,fd94::65", false, true, "dnsmasq takes an IPv6 address without brackets for a hardware address"},
	{"dhcp-host=cent01,ignore", true, true, ""},
	{"dhcp-host=cent01,infinite", true, true, ""},
	{"dhcp-host=\"12h\",10.64.177.101", true, true, ""},
	{"dhcp-host=12h,10.64.177.101", true, true, ""},
	{"dhcp-host=bad name,10.64.177.101", false, false, ""},
	{"dhcp-host=-x,10.64.177.101", false, false, ""},
	{"dhcp-host=m\u00fcller,10.64.177.101", false, false, ""},
	{"dhcp-host=one,two,10.64.177.101", false, true, "of two names dnsmasq drops one in silence"},
	{"dhcp-host=one,10.64.177.101,10.64.177.102", false, true, "of two addresses dnsmasq drops one in silence"},
	{"dhcp-host=one,10.64.177.300", false, true, "dnsmasq takes a mistaken address for a name"},
	{"dhcp-host=one,10.64.177.101/24", false, true, "dnsmasq takes a mistaken address for a name"},
	{"dhcp-host=one,10.64.177.101\ndhcp-host=two,10.64.177.101", true, false, "which of the two has it depends on who holds it: ipam.ResolvePins"},
	{"dhcp-host=cent01:eth1,10.64.177.101", false, false, ""},

	// dhcp-range.
	{"dhcp-range=10.64.177.2,10.64.177.254", true, true, ""},
	{"dhcp-range=10.64.177.254,10.64.177.2,1h", true, true, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,255.255.255.0", true, true, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,255.255.255.0,10.64.177.255,1h", true, true, ""},
	{"dhcp-range=10.64.177.2,10.64.178.254,255.255.255.0", false, false, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,255.0.255.0", false, true, "no mask"},
	{"dhcp-range=10.64.177.0,static", true, true, ""},
	{"dhcp-range=10.64.177.0,proxy", true, true, ""},
	{"dhcp-range=10.64.177.2", false, false, ""},
	{"dhcp-range=", false, false, ""},
	{"dhcp-range=10.64.177.2,", false, false, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,infinite", true, true, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,1y", false, false, ""},
	{"dhcp-range=10.64.177.2,10.64.177.254,1h,2h", false, false, ""},
	{"dhcp-range=lxdbr0,10.64.177.2,10.64.177.254", true, true, ""},
	{"dhcp-range=set:x,tag:y,tag:z,10.64.177.2,10.64.177.254", true, true, ""},
	{"dhcp-range=set:x,set:y,10.64.177.2,10.64.177.254", false, false, ""},
	{"dhcp-range=bed,10.64.177.2,10.64.177.254", false, false, ""},
	{"dhcp-range=lxdbr0", false, false, ""},
	{"dhcp-range=fd94::2,fd94::ff", true, true, ""},
	{"dhcp-range=fd94::2,fd94::ff,64,12h", true, true, ""},
	{"dhcp-range=fd94::,ra-only", true, true, ""},
	{"dhcp-range=fd94::,ra-stateless,ra-names,1h", true, true, ""},
	{"dhcp-range=::2,::ff,constructor:lxdbr0,slaac", true, true, ""},
	{"dhcp-range=fd94::2,::ff,constructor:lxdbr0", false, false, ""},
	{"dhcp-range=fd94::2,fd94::ff,80", true, true, ""},
	{"dhcp-range=fd94::2,fd94::ff,48", false, false, ""},
	{"dhcp-range=fd94::2,slaac,80", false, false, ""},
	{"dhcp-range=fd94::,static,deprecated", true, true, ""},
	{"dhcp-range=fd94::2,fd95::ff", false, false, ""},
	{"dhcp-range=fd94::2,nonsense", false, false, ""},

	// dhcp-option.
	{"dhcp-option=3", true, true, ""},
	{"dhcp-option=3,10.64.177.1", true, true, ""},
	{"dhcp-option=option:router,10.64.177.1,10.64.177.2", true, true, ""},
	{"dhcp-option=option:Router,10.64.177.1", true, true, ""},
	{"dhcp-option=option:rooter,10.64.177.1", false, false, ""},
	{"dhcp-option=option:router,x", false, false, ""},
	{"dhcp-option=option:router,10.64.177", false, false, ""},
	{"dhcp-option=option:client-id,1", false, false, ""},
	{"dhcp-option=", false, true, "dnsmasq takes nothing for option 0"},
	{"dhcp-option=tag:red", false, false, ""},
	{"dhcp-option=red,3,10.64.177.1", true, true, ""},
	{"dhcp-option=tag:red,option:mtu,1400", true, true, ""},
	{"dhcp-option=26,1400", true, true, ""},
	{"dhcp-option=19,0", true, true, ""},
	{"dhcp-option=option:ntp-server,0.0.0.0", true, true, ""},
	{"dhcp-option=252,\"\\n\"", true, true, ""},
	{"dhcp-option=252,\"" + strings.Repeat("x", 256) + "\"", false, false, ""},
	{"dhcp-option=128,e4:45:74:68:00:00", true, true, ""},
	{"dhcp-option=129,NIC=eepro100", true, true, ""},
	{"dhcp-option=121,10.8.0.0/16,10.64.177.1", true, true, ""},
	{"dhcp-option=option:domain-search,eng.example.net,example.net", true, true, ""},
	{"dhcp-option=option6:dns-server,[::]", true, true, ""},
	{"dhcp-option=vendor:MSFT,2,1i", true, true, ""},
	{"dhcp-option=encap:175,190,\"user\"", true, true, ""},
	{"dhcp-option=encap:175,vendor:x,190,\"user\"", false, false, ""},
	{"dhcp-option=300,1", false, true, "there is no such option"},
	{"dhcp-option-force=208,f1:00:74:7e", true, true, ""},

	// DNS.
	{"server=192.0.2.53", true, true, ""},
	{"server=192.0.2.53#5353@10.0.0.1#55", true, true, ""},
	{"server=/lxd/", true, true, ""},
	{"local=/lxd/", true, true, ""},
	{"server=/a/b.example/192.0.2.53", true, true, ""},
	{"server=//192.0.2.53", true, true, ""},
	{"server=/#/192.0.2.53", true, true, ""},
	{"server=/a/#", true, true, ""},
	{"server=2001:db8::53#53", true, true, ""},
	{"server=192.0.2.53#x", false, false, ""},
	{"server=192.0.2.53#70000", false, false, ""},
	{"server=/.a/192.0.2.53", true, true, ""},
	{"rev-server=10.64.177.0/24,192.0.2.53", true, true, ""},
	{"rev-server=10.64.176.0/20,192.0.2.53", true, true, ""},
	{"rev-server=fd94::/64,192.0.2.53", true, true, ""},
	{"rev-server=10.64.177.0/33,192.0.2.53", false, false, ""},
	{"rev-server=x,192.0.2.53", false, false, ""},
	{"address=/example.net/10.64.177.9", true, true, ""},
	{"address=/example.net/", true, true, ""},
	{"address=/example.net/#", true, true, ""},
	{"address=/#/10.64.177.9", true, true, ""},
	{"address=/example.net/x", false, false, ""},
	{"address=10.64.177.9", true, true, ""},
	{"host-record=www.example.net,www,10.64.177.9,fd94::9,60", true, true, ""},
	{"host-record=www.example.net", false, false, ""},
	{"host-record=www..example,10.64.177.9", false, true, "no name"},
	{"cname=a,b", true, true, ""},
	{"cname=a,b,c,60", true, true, ""},
	{"cname=a", false, false, ""},
	{"cname=a,b\ncname=a,c", false, false, ""},
	{"ptr-record=9.177.64.10.in-addr.arpa,www.example.net", true, true, ""},
	{"ptr-record=\"a printer._http._tcp.example.net\",x", true, true, ""},
	{"domain=lxd,10.64.177.0/24", true, true, ""},
	{"domain=lxd,10.64.177.0/24,local", true, true, ""},
	{"domain=lxd,10.64.177.0/33", false, false, ""},
	{"domain=lxd,10.64.177.0/24,locl", false, false, ""},
	{"domain=lxd,10.64.177.1,10.64.177.9", true, true, ""},
	{"domain=lxd,10.64.177.1,x", false, false, ""},
	{"domain=lxd,eth0", true, true, ""},

	// Files.
	{"conf-file=/nonexistent/a.conf", false, false, ""},
	{"conf-dir=/nonexistent", false, false, ""},
	{"conf-file=", true, true, ""},
	{"conf-dir=", true, true, ""},
	{"dhcp-hostsfile=/nonexistent/hosts", false, true, "dnsmasq finds out when it has started"},
	{"resolv-file=", true, true, ""},

	// Others.
	{"user=nobody\ngroup", true, true, ""},
	{"mx-host=example.net,mail.example.net,10", true, true, ""},
	{"no-dhcp-interface=eth0,eth1", true, true, ""},
	{"log-queries=extra", true, true, ""},
	{"help\nversion\ntest", true, true, ""},
}

func TestDnsmasqAgrees(t *testing.T) {
	netnstest.Require(t, "dnsmasq")
	for _, c := range corpus {
		name := c.text
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			if c.ours != c.theirs && c.reason == "" {
				t.Errorf("no reason for the difference")
			}
			accepts, output := acceptedByDnsmasq(t, c.text)
			if accepts != c.theirs {
				t.Errorf("dnsmasq accepts it: %t %s", accepts, output)
			}
			file := filepath.Join(t.TempDir(), "dnsmasq.conf")
			if err := os.WriteFile(file, []byte(c.text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, problems, err := dnsmasq.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if (len(problems) == 0) != c.ours {
				t.Errorf("problems: %v", problems)
			}
			for _, p := range problems {
				if p.Source.File != file || p.Source.Line == 0 || p.Source.Col == 0 || p.Hint == "" || p.Text == "" {
					t.Errorf("incomplete: %+v", p)
				}
			}
		})
	}
}

// acceptedByDnsmasq reports whether dnsmasq --test accepts a configuration.
func acceptedByDnsmasq(t *testing.T, text string) (bool, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dnsmasq.conf")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dnsmasq", "--test", "--conf-file="+file)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	output, err := cmd.CombinedOutput()
	return err == nil, string(output)
}
