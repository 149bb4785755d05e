package guest

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

const (
	lxdMonitor  = "[lxc monitor] /var/lib/lxd/containers "
	snapMonitor = "[lxc monitor] /var/snap/lxd/common/lxd/containers "
	incMonitor  = "[lxc monitor] /var/lib/incus/containers "
	lxcMonitor  = "[lxc monitor] /var/lib/lxc "
)

func TestContainersAreNamedByTheirCgroup(t *testing.T) {
	netnstest.Require(t, "ip", "sh")
	cases := []struct {
		name, title, cgroup string
		user, shared        bool
		want, runtime       string
	}{
		{name: "LXD", title: lxdMonitor + "web", cgroup: "lxc.payload.web", user: true, want: "web", runtime: RuntimeLXD},
		{name: "LXD privileged", title: lxdMonitor + "web", cgroup: "lxc.payload.web", want: "web", runtime: RuntimeLXD},
		{name: "LXD from the snap, in a project", title: snapMonitor + "shop_web", cgroup: "lxc.payload.shop_web", user: true, want: "web.shop", runtime: RuntimeLXD},
		{name: "LXD after a stale cgroup", title: lxdMonitor + "web", cgroup: "lxc.payload.web-1", user: true, want: "web", runtime: RuntimeLXD},
		{name: "LXD with a name that looks suffixed", title: lxdMonitor + "web-1", cgroup: "lxc.payload.web-1", user: true, want: "web-1", runtime: RuntimeLXD},
		{name: "Incus", title: incMonitor + "shop_web", cgroup: "lxc.payload.shop_web", user: true, want: "web.shop", runtime: RuntimeIncus},
		{name: "classic LXC keeps its underscore", title: lxcMonitor + "shop_web", cgroup: "lxc.payload.shop_web", want: "shop_web", runtime: RuntimeLXC},
		{name: "classic LXC in berth's PID namespace", title: lxcMonitor + "web", cgroup: "lxc.payload.web-2", shared: true, want: "web", runtime: RuntimeLXC},
		{name: "no monitor", cgroup: "lxc.payload.web", want: "web", runtime: RuntimeLXC},
		{name: "another container's monitor", title: lxdMonitor + "victim", cgroup: "lxc.payload.web", want: "web", runtime: RuntimeLXC},
		{name: "nested gives the outer one", title: lxdMonitor + "outer", cgroup: "lxc.payload.outer/init.scope/lxc.payload.inner", user: true, want: "outer", runtime: RuntimeLXD},
		{name: "a container in a container", title: lxdMonitor + "outer", cgroup: "lxc.payload.outer/docker/" + someID, user: true, want: "outer", runtime: RuntimeLXD},
		{name: "nspawn scope", cgroup: `machine.slice/machine-my\x2dweb.scope/payload`, want: "my-web", runtime: RuntimeNspawn},
		{name: "nspawn service", cgroup: `machine.slice/systemd-nspawn@my\x2dweb.service/payload`, user: true, want: "my-web", runtime: RuntimeNspawn},
		{name: "podman", cgroup: "machine.slice/libpod-" + someID + ".scope/container", want: someID[:12], runtime: RuntimePodman},
		{name: "docker", cgroup: "system.slice/docker-" + someID + ".scope", want: someID[:12], runtime: RuntimeDocker},
		{name: "upper case", title: lxdMonitor + "Web", cgroup: "lxc.payload.Web", want: "web", runtime: RuntimeLXD},
		{name: "a name that is none", cgroup: "lxc.payload.-web", want: "", runtime: RuntimeLXC},
		{name: "a name that claims another's interface", cgroup: "lxc.payload.web:eth1", want: "", runtime: RuntimeLXC},
		{name: "no container at all", cgroup: "user.slice/user-1000.slice", want: "", runtime: RuntimeProcess},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := cgroupRoot(t)
			netnstest.Bridge(t, "br0", "")
			r := container{title: c.title, cgroup: root + "/" + c.cgroup, user: c.user, shared: c.shared}.start(t)
			r.plug(t, "br0", "veth0", "eth0")
			x := newTestIndex(t, nil, "br0")
			g, err := x.Resolve(t.Context(), indexOf(t, "veth0"))
			if err != nil {
				t.Fatal(err)
			}
			if g.Name != c.want || g.Runtime != c.runtime {
				t.Errorf("have %q (%s), want %q (%s)", g.Name, g.Runtime, c.want, c.runtime)
			}
			if g.Namespace.PID != r.pid {
				t.Errorf("namespace of process %d, want the init, %d", g.Namespace.PID, r.pid)
			}
			if bad := c.want == "" && c.runtime == RuntimeLXC; bad != (len(x.Warnings()) == 1) {
				t.Errorf("warnings: %v", x.Warnings())
			}
		})
	}
}

const someID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// A guest can not make itself another one, whatever it does with its own files, names and cgroups.
func TestHostileGuestKeepsItsName(t *testing.T) {
	netnstest.Require(t, "ip", "sh", "mount", "unshare", "bash")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	group := root + "/lxc.payload.evil"
	evil := container{title: lxdMonitor + "evil", cgroup: group, script: `
		mount -t tmpfs none /run && mkdir -p /run/netns && touch /run/netns/victim && mount --bind /proc/self/ns/net /run/netns/victim
		mkdir -p ` + group + `/lxc.payload.victim && echo $$ > ` + group + `/lxc.payload.victim/cgroup.procs
		printf 'victim) S 1 1' > /proc/self/comm
		bash -c "exec -a '` + lxdMonitor + `victim' unshare -p -f sleep 1000" </dev/null >/dev/null &
	`}.start(t)
	evil.plug(t, "br0", "veth0", "eth0")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "evil")
	if g := x.Snapshot()[0]; g.Namespace.PID != evil.pid || g.Runtime != RuntimeLXD {
		t.Errorf("have %+v, want process %d", g, evil.pid)
	}
	// It may hide its interface in a namespace of its own: still the same guest.
	evil.run(t, "ip netns add hidden && ip link set eth0 netns hidden")
	if _, err := x.Refresh(t.Context(), indexOf(t, "veth0")); err != nil {
		t.Fatal(err)
	}
	awaitNames(t, x, "")
	evil.run(t, "ip netns exec hidden sleep 1000 </dev/null >/dev/null &")
	awaitNames(t, x, "evil")
}

// What merely joined a namespace does not name it.
func TestJoinedProcessesDoNotName(t *testing.T) {
	netnstest.Require(t, "ip", "sh", "nsenter", "unshare")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	web := netnstest.AddGuest(t, "br0", "web", "")
	shop := container{title: lxdMonitor + "shop", cgroup: root + "/lxc.payload.shop", user: true}.start(t)
	shop.plug(t, "br0", "vshop", "eth0")
	group := root + "/lxc.payload.evil"
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{web.Path, "/proc/" + strconv.Itoa(shop.pid) + "/ns/net"} {
		for _, tool := range [][]string{{"sleep", "1000"}, {"unshare", "-U", "-p", "-f", "sleep", "1000"}} {
			// The shell enters the cgroup first, then the namespace.
			script := "echo $$ > " + group + "/cgroup.procs && echo in && exec nsenter --net=" + path + " -- \"$@\""
			cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, tool...)...)
			cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL); _ = cmd.Wait() })
			inode, err := readNamespaceLink("/proc/" + strconv.Itoa(shop.pid) + "/ns/net")
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "joined", func() bool {
				now, err := namespaceOf(cmd.Process.Pid, "net")
				return err == nil && (path == web.Path) != (now == inode) && now != ownNamespace(t)
			})
		}
	}
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "shop", "web")
	if g, _ := x.ByName("br0", "web"); g.Runtime != RuntimeNetns {
		t.Errorf("web: %+v", g)
	}
	if g, _ := x.ByName("br0", "shop"); g.Namespace.PID != shop.pid {
		t.Errorf("shop: %+v, want process %d", g, shop.pid)
	}
}

func ownNamespace(t *testing.T) uint64 {
	t.Helper()
	inode, err := readNamespaceLink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return inode
}

func TestRebootedGuestIsTheSameGuest(t *testing.T) {
	netnstest.Require(t, "ip", "sh")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	spec := container{title: lxdMonitor + "web", cgroup: root + "/lxc.payload.web"}
	first := spec.start(t)
	first.plug(t, "br0", "vethA", "eth0")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	events, stop := x.Watch()
	defer stop()
	first.stop()
	second := spec.start(t)
	second.plug(t, "br0", "vethB", "eth0")
	await(t, x, "web on vethB only", func(guests []Guest) bool {
		return len(guests) == 1 && guests[0].Name == "web" && guests[0].Port == "vethB"
	})
	var removed, named bool
	for len(events) > 0 {
		e := <-events
		removed = removed || e.Kind == Removed && e.Guest.Port == "vethA"
		named = named || (e.Kind == Added || e.Kind == Changed) && e.Guest.Port == "vethB" && e.Guest.Name == "web"
	}
	if !removed || !named {
		t.Errorf("removed %v, named again %v", removed, named)
	}
}

// The old namespace is kept alive by somebody, with its port: the living guest has the name.
func TestRebootedGuestTakesItsNameFromADeadOne(t *testing.T) {
	netnstest.Require(t, "ip", "sh")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	spec := container{title: lxdMonitor + "web", cgroup: root + "/lxc.payload.web"}
	first := spec.start(t)
	first.plug(t, "br0", "vethA", "eth0")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	fd, err := x.Snapshot()[0].Namespace.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	first.stop()
	second := spec.start(t)
	second.plug(t, "br0", "vethB", "eth0")
	await(t, x, "web on vethB, vethA unnamed", func(guests []Guest) bool {
		return len(guests) == 2 && guests[0].Name == "web" && guests[0].Port == "vethB" && guests[1].Name == ""
	})
	if len(x.Warnings()) != 0 {
		t.Errorf("warnings about a dead guest: %v", x.Warnings())
	}
}

func TestTwoGuestsOfOneName(t *testing.T) {
	netnstest.Require(t, "ip", "sh", "nsenter")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "web", "")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	r := container{title: lxdMonitor + "web", cgroup: root + "/lxc.payload.web"}.start(t)
	r.plug(t, "br0", "veth0", "eth0")
	await(t, x, "a warning", func([]Guest) bool { return len(x.Warnings()) == 1 })
	if g, _ := x.ByName("br0", "web"); g.Port != "vweb" {
		t.Errorf("web is on %s, want the first one's port", g.Port)
	}
	netnstest.Run(t, "ip", "link", "del", "vweb")
	await(t, x, "web on veth0", func(guests []Guest) bool {
		return len(guests) == 1 && guests[0].Name == "web" && len(x.Warnings()) == 0
	})
}

// A dead container's namespace and veth are gone although berth has looked into them in every way.
func TestNothingIsKeptOpenInAGuest(t *testing.T) {
	netnstest.Require(t, "ip", "sh")
	root := cgroupRoot(t)
	netnstest.Bridge(t, "br0", "")
	r := container{title: lxdMonitor + "web", cgroup: root + "/lxc.payload.web"}.start(t)
	r.plug(t, "br0", "veth0", "eth0")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	index := indexOf(t, "veth0")
	g, err := x.Refresh(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Addresses(t.Context(), g); err != nil {
		t.Error(err)
	}
	if _, err := Processes(t.Context(), g); err != nil {
		t.Error(err)
	}
	if err := Do(g.Namespace, func() error { return nil }); err != nil {
		t.Error(err)
	}
	r.stop()
	awaitNames(t, x)
	if _, err := g.Namespace.Open(); !errors.Is(err, ErrGone) {
		t.Errorf("open: %v", err)
	}
}
