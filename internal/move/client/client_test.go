package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/netnstest"
)

func TestDetect(t *testing.T) {
	type process struct {
		name string
		args []string
	}
	run := func(name string, args ...string) process { return process{name, args} }
	nm := "[device]\nmanaged=true\nconnection-uuid=x\n\n[dhcp4]\ndhcp4.ip_address=10.9.0.5\n"
	cases := []struct {
		name      string
		processes []process
		files     map[string]string // %d is the number of the NIC
		want      string
	}{
		{name: "nobody", want: None},
		{name: "only others", processes: []process{run("nginx"), run("dbus-daemon")}, want: None},
		{name: "networkd", processes: []process{run("systemd-networkd")}, files: map[string]string{"/run/systemd/netif/links/%d": configured + "DHCP_LEASE=/run/systemd/netif/leases/2\n"}, want: networkdName},
		{name: "networkd that still asks", processes: []process{run("systemd-networkd")}, files: map[string]string{"/run/systemd/netif/links/%d": "ADMIN_STATE=configuring\nNETWORK_FILE=/x\n"}, want: networkdName},
		{name: "networkd without state", processes: []process{run("systemd-networkd")}, want: networkdName},
		{name: "networkd with an address set by hand", processes: []process{run("systemd-networkd")}, files: map[string]string{"/run/systemd/netif/links/%d": configured}, want: None},
		{name: "networkd that leaves the link to dhclient", processes: []process{run("systemd-networkd"), run("dhclient", "-v", "eth0")}, files: map[string]string{"/run/systemd/netif/links/%d": "ADMIN_STATE=unmanaged\n"}, want: "dhclient"},
		{name: "NetworkManager", processes: []process{run("NetworkManager")}, files: map[string]string{"/run/NetworkManager/devices/%d": nm}, want: "NetworkManager"},
		{name: "NetworkManager with an address set by hand", processes: []process{run("NetworkManager")}, files: map[string]string{"/run/NetworkManager/devices/%d": "[device]\nmanaged=true\n"}, want: None},
		{name: "NetworkManager beside the networkd that has the link", processes: []process{run("NetworkManager"), run("systemd-networkd")}, files: map[string]string{"/run/systemd/netif/links/%d": configured + "DHCP_LEASE=x\n", "/run/NetworkManager/devices/%d": "[device]\nmanaged=false\n"}, want: networkdName},
		{name: "NetworkManager that has the link, beside a networkd without", processes: []process{run("NetworkManager"), run("systemd-networkd")}, files: map[string]string{"/run/NetworkManager/devices/%d": nm}, want: "NetworkManager"},
		{name: "dhclient", processes: []process{run("dhclient", "-4", "-pf", "/run/x.pid", "eth0")}, want: "dhclient"},
		{name: "dhclient for all interfaces", processes: []process{run("dhclient")}, want: "dhclient"},
		{name: "dhclient for IPv6", processes: []process{run("dhclient", "-6", "eth0")}, want: None},
		{name: "dhcpcd", processes: []process{run("dhcpcd", "eth0")}, want: "dhcpcd"},
		{name: "dhcpcd for all interfaces", processes: []process{run("dhcpcd")}, want: "dhcpcd"},
		{name: "connman", processes: []process{run("connmand")}, want: Unknown},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, known := plug(t)
			for path, text := range c.files {
				write(t, fmt.Sprintf(path, known.NICIndex), text)
			}
			for _, p := range c.processes {
				daemon(t, g, p.name, p.args...)
			}
			client := Detect(t.Context(), known)
			if client.Name() != c.want {
				t.Fatalf("have %s, want %s", client.Name(), c.want)
			}
			switch c.want {
			case None:
				if err := client.Settle(t.Context()); err != nil {
					t.Error(err)
				}
			default:
				if err := client.Settle(t.Context()); !errors.Is(err, ErrWait) {
					t.Errorf("have %v, want to wait", err)
				}
			}
		})
	}
}

func TestUnknownClientByItsPort(t *testing.T) {
	g, known := plug(t)
	daemon(t, g, "mystery")
	if name := Detect(t.Context(), known).Name(); name != None {
		t.Fatalf("have %s before the port is taken", name)
	}
	var socket net.PacketConn
	err := g.Do(func() (err error) { socket, err = net.ListenPacket("udp4", ":68"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if name := Detect(t.Context(), known).Name(); name != Unknown {
		t.Errorf("have %s", name)
	}
}

func TestAGuestThatIsGoneHasNoClient(t *testing.T) {
	_, known := plug(t)
	known.Namespace.Inode++
	if name := Detect(t.Context(), known).Name(); name != None {
		t.Errorf("have %s", name)
	}
}

func TestUdhcpcIsToldBySignal(t *testing.T) {
	g, known := plug(t)
	netnstest.RequirePrograms(t, "busybox", "dnsmasq")
	server := exec.Command("dnsmasq", "-d", "--conf-file=/dev/null", "--port=0", "--user=root", "--interface=br0", "--no-ping",
		"--dhcp-range=10.9.0.20,10.9.0.30,10m", "--dhcp-authoritative", "--dhcp-leasefile="+filepath.Join(t.TempDir(), "leases"))
	start(t, nil, server, false).says(t, "DHCP, IP range")
	client := start(t, g, exec.Command("busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/bin/true", "-t", "20", "-T", "1"), false)
	client.says(t, "obtained")
	c := Detect(t.Context(), known)
	if c.Name() != "udhcpc" {
		t.Fatalf("detected %s", c.Name())
	}
	if err := c.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.says(t, "renew")
	if err := client.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = client.cmd.Process.Wait()
	if err := c.Settle(t.Context()); !errors.Is(err, guest.ErrGone) {
		t.Errorf("a client that has ended: %v", err)
	}
}

// A number that belongs to another process by now gets no signal.
func TestUdhcpcSignalsNobodyElse(t *testing.T) {
	g, known := plug(t)
	bystander := daemon(t, g, "bystander")
	pid := bystander.cmd.Process.Pid
	began, err := startOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]*renewer{
		"started at another time": {guest.Process{PID: pid, Start: began + 1}, known.Namespace.Inode},
		"in another namespace":    {guest.Process{PID: pid, Start: began}, known.Namespace.Inode + 1},
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			if err := r.Settle(t.Context()); !errors.Is(err, guest.ErrGone) {
				t.Errorf("have %v", err)
			}
			if err := unix.Kill(pid, 0); err != nil {
				t.Errorf("the bystander: %v", err)
			}
		})
	}
}

func TestUdhcpcArguments(t *testing.T) {
	cases := []struct {
		argv string
		nic  string // "" for another program
	}{
		{"udhcpc", "eth0"},
		{"/sbin/udhcpc -i eth1", "eth1"},
		{"busybox udhcpc -f -i eth1 -s x", "eth1"},
		{"/bin/busybox udhcpc -ieth1", "eth1"},
		{"udhcpc -fi eth1", "eth1"},
		{"udhcpc -bfieth1", "eth1"},
		{"udhcpc --interface eth1", "eth1"},
		{"udhcpc --interface=eth1", "eth1"},
		{"udhcpc -x hostname:-i -i eth1", "eth1"},
		{"udhcpc -xinterface -p /run/udhcpc.pid", "eth0"},
		{"udhcpc demo-dhcp -i eth1", "eth1"},
		{"udhcpc -i", ""},
		{"busybox sh", ""},
		{"busybox", ""},
		{"udhcpc6 -i eth1", ""},
		{"sh -c udhcpc", ""},
		{"", ""},
	}
	for _, c := range cases {
		t.Run(c.argv, func(t *testing.T) {
			nic, _ := udhcpcNIC(strings.Fields(c.argv))
			if nic != c.nic {
				t.Errorf("have %q, want %q", nic, c.nic)
			}
		})
	}
}

// A guest's files lead nowhere but into the guest, and are never waited for.
func TestHostileFiles(t *testing.T) {
	inside, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	plain := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plain(secret, "secret")
	plain(filepath.Join(inside, "plain"), "text")
	plain(filepath.Join(inside, "huge"), strings.Repeat("x", 1<<20))
	for name, to := range map[string]string{
		"absolute": "/plain", "escaping": secret, "climbing": "../../../../../../" + secret, "loop": "loop",
		"magic": "/proc/self/root" + secret, "dir": "/",
	} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(inside, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(inside, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &root{fd: fd}
	defer r.close()
	for name, want := range map[string]string{
		"plain": "text", "absolute": "text", "../plain": "text", "huge": strings.Repeat("x", maxFile),
		"escaping": "", "climbing": "", "loop": "", "magic": "", "dir": "", "fifo": "", "absent": "",
	} {
		if have := r.read(name); have != want {
			t.Errorf("%s: have %.20q, want %.20q", name, have, want)
		}
	}
	for _, name := range []string{"plain", "fifo", "dir", "escaping"} {
		if fd, err := r.socket(name); err == nil {
			unix.Close(fd)
			t.Errorf("%s was taken for a socket", name)
		}
	}
}

func FuzzBusMessage(f *testing.F) {
	f.Add([]byte(callMessage(1, "a.b", "/c", "d.e", "F", []int32{1})), true)
	f.Add([]byte{1, 1, 'u', 0, 1, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, little bool) {
		var a answer
		_ = a.readFields(b[min(16, len(b)):], byteOrder(little))
		if len(a.name) > 3*255 {
			t.Errorf("a name of %d bytes", len(a.name))
		}
	})
}
