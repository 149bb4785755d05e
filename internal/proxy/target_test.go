package proxy

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRefusedAddresses(t *testing.T) {
	for a, allowed := range map[string]bool{
		"192.0.2.1": true, "10.0.0.1": true, "192.168.1.1": true, "172.16.0.1": true, "100.64.0.1": true, "2001:db8::1": true, "fd00::1": true,
		"64:ff9b::c000:201": true, "2002:c000:201::1": true, "::ffff:192.0.2.1": true, "239.255.255.255": false, "223.255.255.255": true,
		"127.0.0.1": false, "127.255.255.255": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "::": false, "0.0.0.0": false, "0.255.0.1": false,
		"169.254.169.254": false, "169.254.0.1": false, "fe80::1": false, "febf::1": false, "fe80::1%eth0": false, "::ffff:169.254.169.254": false,
		"224.0.0.1": false, "ff02::1": false, "240.0.0.1": false, "255.255.255.255": false,
		"fd00:ec2::254": false, "fd20:ce::254": false, "100.100.100.200": false, "168.63.129.16": false, "192.0.0.192": false, "::ffff:168.63.129.16": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::7f00:1": false, "2002:7f00:1::": false, "2002:a9fe:a9fe::1": false, "::ffff:0:127.0.0.1": false,
		"64:ff9b::a83f:8110": false, "2001:db8::1%eth0": false,
	} {
		if got := refuseAddr(netip.MustParseAddr(a)); (got == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", a, got, allowed)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		authority string
		port      uint16 // by default
		want      string // "" for none
	}{
		{"web.example", 80, "web.example:80"}, {"web.example:8080", 80, "web.example:8080"}, {"web.example:", 80, "web.example:80"},
		{"[2001:db8::1]", 80, "[2001:db8::1]:80"}, {"[2001:db8::1]:443", 0, "[2001:db8::1]:443"}, {"192.0.2.1:443", 0, "192.0.2.1:443"},
		{"web.example", 0, ""}, {"web.example:", 0, ""}, {":443", 0, ""}, {"", 80, ""}, {"[]:443", 0, ""}, {"web.example:0", 80, ""},
		{"web.example:65536", 80, ""}, {"web.example:-1", 80, ""}, {"web.example:https", 80, ""}, {"web.example:443/x", 0, ""},
		{"web\r\n.example:443", 0, ""}, {"web\x00.example:443", 0, ""}, {"wéb.example:443", 0, ""}, {strings.Repeat("a", 256) + ":443", 0, ""},
		{"]0", 80, ""}, {"[[::1]]:443", 0, ""}, {"[::1%[]:443", 0, ""}, {"[fe80::1%eth0]:443", 0, "[fe80::1%eth0]:443"}, {"user@web.example:443", 0, ""}, {".", 80, ""}, {"web.example.:443", 0, "web.example.:443"},
	} {
		got, refused := parseTarget(tt.authority, tt.port)
		if refused == nil != (tt.want != "") || refused == nil && got.String() != tt.want {
			t.Errorf("%q: %s, %v; want %q", tt.authority, got, refused, tt.want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"web.example:443", "[::1]:1", "[fe80::1%eth0]:80", ":", "a:b:c"} {
		f.Add(seed, uint16(80))
		f.Add(seed, uint16(0))
	}
	f.Fuzz(func(t *testing.T, authority string, port uint16) {
		got, refused := parseTarget(authority, port)
		if refused != nil {
			return
		}
		if got.port == 0 || got.host == "" {
			t.Fatalf("%q gives %+v", authority, got)
		}
		if again, refused := parseTarget(got.String(), 0); refused != nil || again != got {
			t.Fatalf("%q gives %+v, and that %+v, %v", authority, got, again, refused)
		}
	})
}

func TestPortsByDefault(t *testing.T) {
	for port, want := range map[uint16]bool{80: true, 1024: true, 3142: true, 65535: true, 443: false, 22: false, 25: false, 1: false, 1023: false} {
		if got := refuseForward(target{"x", port}) == nil; got != want {
			t.Errorf("plain HTTP to port %d: %v", port, got)
		}
	}
	c := Config{}.withDefaults()
	for port, want := range map[uint16]bool{443: true, 8443: true, 80: false, 22: false, 25: false, 5432: false} {
		if got := refuseConnect(target{"x", port}, c.ConnectPorts) == nil; got != want {
			t.Errorf("CONNECT to port %d: %v", port, got)
		}
	}
}

func TestWhoHasThePort(t *testing.T) {
	proc := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const head = "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
	row := func(at, state, inode string) string {
		return "   0: " + at + " 00000000000000000000000000000000:0000 " + state + " 00000000:00000000 00:00000000 00000000     0        0 " + inode + " 1\n"
	}
	const linkLocal = "000080FE000000000000000001000000:3348" // fe80::1, port 13128
	write("thread-self/net/tcp6", head+row(linkLocal, "01", "1")+row("000080FE000000000000000002000000:3348", "0A", "2")+"garbage\n"+row(linkLocal, "0A", "4711"))
	write("thread-self/net/tcp", head)
	write("812/comm", "lxd-bridge-prox\n")
	write("812/cgroup", "0::/system.slice/lxd-bridge.service\n")
	if err := os.MkdirAll(filepath.Join(proc, "812/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(proc, "812/fd/3")); err != nil {
		t.Fatal(err)
	}
	e := endpoint{"lxdbr0", defaultAddr(), defaultPort}
	if got, ok := findOwner(proc, e); !ok || got != (owner{812, "lxd-bridge-prox", "lxd-bridge.service"}) {
		t.Errorf("%+v, %v", got, ok)
	}
	e.port = 80
	if got, ok := findOwner(proc, e); ok {
		t.Errorf("another port: %+v", got)
	}
}

func TestDoorForgets(t *testing.T) {
	now := time.Unix(1000, 0)
	d := door{limits: Limits{Conns: 2, ConnsEach: 1}, now: func() time.Time { return now }}
	a, b, c := visitor{port: 1}, visitor{port: 2}, visitor{port: 3}
	from := netip.MustParseAddr("fe80::1")
	for v, want := range map[visitor]bool{a: true, b: true} {
		if (d.enter(v, from) == nil) != want {
			t.Errorf("%v", v)
		}
	}
	if d.enter(a, from) == nil || d.enter(c, from) == nil {
		t.Error("let in one too many")
	}
	if got := d.problems("br0"); len(got) != 2 {
		t.Errorf("problems: %v", got)
	}
	d.leave(a)
	if d.enter(c, from) != nil {
		t.Error("kept out although there is room")
	}
	now = now.Add(crowdMemory)
	if got := d.problems("br0"); len(got) != 0 {
		t.Errorf("problems: %v", got)
	}
	d.leave(b)
	d.leave(c)
	if len(d.each) != 0 || d.total != 0 {
		t.Errorf("not forgotten: %v", d.each)
	}
}
