package guest

import (
	"fmt"
	"strings"
	"testing"
)

func TestCgroupMark(t *testing.T) {
	cases := []struct {
		name, own, text string
		want            mark
	}{
		{"v2", "0::/", "0::/lxc.payload.web/init.scope\n", mark{RuntimeLXC, "web"}},
		{"v1 and unified", "0::/\n1:name=systemd:/", "3:cpu,cpuacct:/lxc.payload.web\n1:name=systemd:/lxc.payload.web/init.scope\n0::/lxc.payload.web\n", mark{RuntimeLXC, "web"}},
		{"some hierarchies say nothing", "", "3:memory:/\n0::/lxc.payload.web\n", mark{RuntimeLXC, "web"}},
		{"hierarchies contradict each other", "", "3:memory:/lxc.payload.victim\n0::/lxc.payload.web\n", mark{}},
		{"outermost", "", "0::/lxc.payload.outer/lxc.payload.inner\n", mark{RuntimeLXC, "outer"}},
		{"the monitor is no container", "", "0::/lxc.monitor.web\n", mark{}},
		{"LXC 3", "", "1:name=systemd:/lxc/web/init.scope\n", mark{RuntimeLXC, "web"}},
		{"a folder called lxc elsewhere", "", "0::/user.slice/lxc/web\n", mark{}},
		{"berth and the guest in one container", "0::/lxc.payload.outer/berth.service", "0::/lxc.payload.outer/lxc.payload.inner\n", mark{RuntimeLXC, "inner"}},
		{"berth's own container", "0::/lxc.payload.outer/berth.service", "0::/lxc.payload.outer/init.scope\n", mark{}},
		{"above a cgroup namespace", "0::/", "0::/../lxc.payload.web\n", mark{RuntimeLXC, "web"}},
		{"docker, cgroupfs driver", "", "0::/docker/" + someID + "\n", mark{RuntimeDocker, someID[:12]}},
		{"docker in name only", "", "0::/docker-web.scope\n", mark{}},
		{"a colon in the name", "", "0::/lxc.payload.a:b\n", mark{RuntimeLXC, "a:b"}},
		{"an escape that is cut off", "", `0::/machine-a\x2.scope` + "\n", mark{RuntimeNspawn, `a\x2`}},
		{"the host", "0::/", "0::/\n", mark{}},
		{"empty", "", "", mark{}},
		{"garbage", "", "\n:\n::\n", mark{}},
	}
	for _, c := range cases {
		if have := parseCgroups([]byte(c.text)).mark(parseCgroups([]byte(c.own))); have != c.want {
			t.Errorf("%s: have %+v, want %+v", c.name, have, c.want)
		}
	}
}

func TestMonitorTitle(t *testing.T) {
	cases := []struct {
		cmdline string
		want    monitor
		ok      bool
	}{
		{"[lxc monitor] /var/lib/lxd/containers web\x00\x00", monitor{"/var/lib/lxd/containers", "web"}, true},
		{"[lxc monitor] /srv/a folder/lxc web", monitor{"/srv/a folder/lxc", "web"}, true},
		{"[lxc monitor] web", monitor{}, false},
		{"lxd forkstart web", monitor{}, false},
		{"", monitor{}, false},
	}
	for _, c := range cases {
		if have, ok := parseMonitor([]byte(c.cmdline)); have != c.want || ok != c.ok {
			t.Errorf("%q: have %+v, %v", c.cmdline, have, ok)
		}
	}
}

func TestStatOfAnyCommandName(t *testing.T) {
	rest := " S 1" + strings.Repeat(" 0", 17) + " 4711 0 0"
	for _, comm := range []string{"sh", "a) S 1 (b", "", "\n", ")))"} {
		have, err := parseStat(fmt.Appendf(nil, "12 (%s)%s\n", comm, rest))
		if err != nil || have.comm != comm || have.start != 4711 {
			t.Errorf("%q: have %+v, %v", comm, have, err)
		}
	}
}

func TestStatus(t *testing.T) {
	have, err := parseStatus([]byte("Name:\ta\\nPPid:\t9\nPPid:\t7\nUid:\t1000\t0\t0\t0\nNSpid:\t812\t1\n"))
	if want := (status{parent: 7, uid: 1000, depth: 2, inner: 1}); err != nil || have != want {
		t.Errorf("have %+v, %v, want %+v", have, err, want)
	}
	if !have.isInit(1) || have.isInit(2) {
		t.Error("the first process one PID namespace below ours is an init, and no other")
	}
}

func FuzzParseProc(f *testing.F) {
	f.Add([]byte("12 (sh) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4711 0"))
	f.Add([]byte("PPid:\t7\nUid:\t0\nNSpid:\t812\t1\n"))
	f.Add([]byte("0::/machine-a\\x2d.scope\n"))
	f.Add([]byte("[lxc monitor] /var/lib/lxc web"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseStat(data)
		if s, err := parseStatus(data); err == nil && s.depth == 0 {
			t.Error("a status without NSpid")
		}
		if m := parseCgroups(data).mark(nil); m.runtime == "" && m.name != "" {
			t.Errorf("a name of no runtime: %+v", m)
		}
		if m, ok := parseMonitor(data); ok && (m.dir == "" || m.name == "") {
			t.Errorf("half a monitor: %+v", m)
		}
	})
}

func FuzzParseLink(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Add(append(make([]byte, 16), 8, 0, 37, 0, 5, 0, 0, 0, 12, 0, 18, 0, 8, 0, 1, 0, 'v', 'e', 't', 'h'))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := parseLink(data); err == nil && len(data) < 16 {
			t.Errorf("a link from %d bytes: %+v", len(data), l)
		}
		if p, ok := parseAddress(data, 0); ok && !p.IsValid() && int(data[1]) <= 32 {
			t.Errorf("no prefix: %v", p)
		}
	})
}
