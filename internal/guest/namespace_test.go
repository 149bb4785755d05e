package guest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

func TestDoRunsInsideAndLeavesNoTrace(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "web", "")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	g := x.Snapshot()[0]
	host := ownNamespace(t)
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			err := Do(g.Namespace, func() error {
				if unix.Gettid() == unix.Getpid() {
					return errors.New("on the process's first thread")
				}
				inode, err := readNamespaceLink("/proc/thread-self/ns/net")
				if err != nil || inode != g.Namespace.Inode {
					return errors.New("not inside")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if now, err := readNamespaceLink("/proc/thread-self/ns/net"); err != nil || now != host {
				t.Errorf("after Do in net:[%d], want net:[%d] (%v)", now, host, err)
			}
		})
	}
	group.Wait()
	if now, err := readNamespaceLink("/proc/self/ns/net"); err != nil || now != host {
		t.Errorf("the process is in net:[%d], want net:[%d] (%v)", now, host, err)
	}
	failure := errors.New("no")
	if err := Do(g.Namespace, func() error { return failure }); err != failure {
		t.Errorf("have %v, want the function's own error", err)
	}
	if err := Do(g.Namespace, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that ends its goroutine: no error")
	}
}

func TestOpenRefusesWhatIsNotTheSameAnyMore(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "web", "")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	named := x.Snapshot()[0].Namespace
	self, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own := Namespace{Inode: ownNamespace(t), PID: os.Getpid(), Start: self.start, Path: "/proc/self/ns/net"}
	change := func(ns Namespace, f func(*Namespace)) Namespace { f(&ns); return ns }
	cases := []struct {
		name string
		ns   Namespace
		ok   bool
	}{
		{"the same file", named, true},
		{"the same process", own, true},
		{"none", Namespace{}, false},
		{"another inode", change(named, func(ns *Namespace) { ns.Inode++ }), false},
		{"a reused PID", change(own, func(ns *Namespace) { ns.Start++ }), false},
		{"an ended process", change(own, func(ns *Namespace) { ns.PID = 1 << 22 }), false},
		{"a deleted file", change(named, func(ns *Namespace) { ns.Path = "/run/netns/other" }), false},
		{"no namespace", change(named, func(ns *Namespace) { ns.Path = "/dev/null" }), false},
	}
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cases = append(cases, struct {
		name string
		ns   Namespace
		ok   bool
	}{"a pipe", change(named, func(ns *Namespace) { ns.Path = fifo }), false})
	for _, c := range cases {
		f, err := c.ns.Open()
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			f.Close()
		} else if !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v, want ErrGone", c.name, err)
		}
	}
}

func TestAddressesAreThoseOfTheNICNow(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	web := netnstest.AddGuest(t, "br0", "web", "")
	web.Run(t, "ip", "addr", "add", "192.0.2.7/24", "dev", "lo")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	g := x.Snapshot()[0]
	want := []string{}
	check := func() {
		t.Helper()
		addresses, err := Addresses(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		have := []string{}
		for _, a := range addresses {
			have = append(have, a.String())
		}
		if !slices.Equal(have, want) {
			t.Errorf("have %q, want %q", have, want)
		}
	}
	check()
	web.Run(t, "ip", "addr", "add", "10.9.0.5/24", "dev", "eth0")
	want = []string{"10.9.0.5/24"}
	check()
	web.Run(t, "ip", "addr", "add", "10.9.0.6/24", "dev", "eth0")
	want = append(want, "10.9.0.6/24")
	check()
}

func TestProcessesOfAGuest(t *testing.T) {
	netnstest.Require(t, "ip", "sh", "bash")
	netnstest.Bridge(t, "br0", "")
	r := container{script: "bash -c \"exec -a 'dhclient\x01' sleep 1000\" </dev/null >/dev/null & printf 'a) (b' >/proc/self/comm"}.start(t)
	r.plug(t, "br0", "veth0", "eth0")
	x := newTestIndex(t, nil, "br0")
	g, err := x.Resolve(t.Context(), indexOf(t, "veth0"))
	if err != nil {
		t.Fatal(err)
	}
	var found []Process
	eventually(t, "two processes, one called dhclient", func() bool {
		found, err = Processes(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 2 && len(found[1].Argv) == 2 && found[1].Argv[0] == "dhclient\x01"
	})
	if p := found[0]; p.PID != r.pid || p.Comm != "a) (b" || p.Start == 0 || p.UID != 0 {
		t.Errorf("init: %+v", p)
	}
	if p := found[1]; p.Comm != "sleep" || p.Argv[1] != "1000" {
		t.Errorf("child: %+v", p)
	}
	r.stop()
	eventually(t, "its end to be noticed", func() bool { // the kernel takes the child away a moment after
		_, err = Processes(t.Context(), g)
		return errors.Is(err, ErrGone)
	})
}

// A socket made inside stays there: how other rooms act in a guest.
func TestSocketMadeInsideWorksOutside(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	web := netnstest.AddGuest(t, "br0", "web", "")
	web.Run(t, "ip", "addr", "add", "10.9.0.5/24", "dev", "eth0")
	x := newTestIndex(t, nil, "br0")
	awaitNames(t, x, "web")
	var conn net.PacketConn
	err := Do(x.Snapshot()[0].Namespace, func() (err error) {
		conn, err = net.ListenPacket("udp4", "10.9.0.5:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
