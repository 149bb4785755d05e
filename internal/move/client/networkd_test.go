package client

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"berth/internal/guest"
	"berth/internal/netnstest"
)

// busConfig is a bus where only root may call the network manager, as on a real system.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="0">
    <allow own="org.freedesktop.network1"/>
    <allow send_destination="org.freedesktop.network1"/>
  </policy>
</busconfig>
`

// state writes what systemd-networkd keeps about the link; lease "" for none.
func state(t *testing.T, g guest.Guest, link, lease string) {
	t.Helper()
	write(t, fmt.Sprintf("/run/systemd/netif/links/%d", g.NICIndex), link)
	if lease != "" {
		write(t, fmt.Sprintf("/run/systemd/netif/leases/%d", g.NICIndex), lease)
	}
}

const configured = "ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n"

func TestNetworkdIsToldOverTheGuestsBus(t *testing.T) {
	cases := []struct {
		name  string
		user  bool
		addr  string // that the guest has
		calls []string
	}{
		{"of a privileged container", false, "10.9.0.5/32", []string{"RenewLink", "RenewLink", "ReconfigureLink"}},
		{"of a user namespace", true, "10.9.0.5/32", []string{"RenewLink", "RenewLink", "ReconfigureLink"}},
		{"that would be mute", true, "10.9.0.77/24", []string{"ReconfigureLink", "ReconfigureLink"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, known := plug(t)
			netnstest.RequireRealRoot(t)
			netnstest.RequirePrograms(t, "dbus-daemon")
			g.Run(t, "ip", "addr", "add", c.addr, "dev", "eth0")
			startBus(t, g, c.user)
			cmd := self(t, g, networkdName, "networkd")
			service := start(t, g, cmd, c.user)
			service.says(t, "up")
			state(t, known, configured, "ADDRESS=10.9.0.5\nROUTER=10.9.0.1\n")
			client := Detect(t.Context(), known)
			if client.Name() != networkdName {
				t.Fatalf("detected %s", client.Name())
			}
			for _, member := range c.calls {
				if err := client.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if line := service.says(t, "Link"); line != fmt.Sprintf("%s %d by 0", member, known.NICIndex) {
					t.Errorf("called %q, want %s", line, member)
				}
			}
			if data, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(data), "Uid:\t0\t0\t0\t0") {
				t.Errorf("the process became another user:\n%s", data)
			}
		})
	}
}

// startBus starts a system bus in the guest.
func startBus(t *testing.T, g *netnstest.Guest, user bool) {
	t.Helper()
	write(t, "/run/bus.conf", busConfig)
	busFolder(t, user)
	bus := start(t, g, exec.Command("dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--print-address"), user)
	bus.says(t, "unix:path")
}

// busFolder makes an empty folder for the socket.
func busFolder(t *testing.T, user bool) {
	t.Helper()
	if err := os.MkdirAll("/run/dbus", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll("/run/dbus") })
	if user {
		if err := os.Chown("/run/dbus", hostRoot, hostRoot); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever the bus of a guest does, it takes no longer than one call may, and harms nobody.
func TestHostileBus(t *testing.T) {
	cases := []struct {
		how, want string
	}{
		{"silent", "timeout"},
		{"endless line", "buffer full"},
		{"rejects", "does not take us"},
		{"closes", ""}, // how it shows depends on who is first
		{"huge message", "no D-Bus"},
		{"garbage", "no D-Bus"},
		{"broken fields", "no D-Bus"},
		{"flood", "many messages"},
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			g, known := plug(t)
			daemon(t, g, networkdName)
			busFolder(t, false)
			start(t, g, self(t, g, "bus", "bus "+c.how), false).says(t, "up")
			began := time.Now()
			err := Detect(t.Context(), known).Settle(t.Context())
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v, want %q", err, c.want)
			}
		})
	}
}

func TestNetworkdThatCanNotBeTold(t *testing.T) {
	cases := []struct {
		name  string
		bus   func(*testing.T, *netnstest.Guest)
		waits bool
	}{
		{"no bus", func(t *testing.T, g *netnstest.Guest) {}, true},
		{"a file in the place of the socket", func(t *testing.T, g *netnstest.Guest) { write(t, "/"+busSocket, "x") }, true},
		{"a socket nobody listens on", func(t *testing.T, g *netnstest.Guest) {
			busFolder(t, false)
			bus := start(t, g, self(t, g, "bus", "bus silent"), false)
			bus.says(t, "up")
			_ = bus.cmd.Process.Kill()
			_, _ = bus.cmd.Process.Wait()
		}, true},
		{"the host's own bus", func(t *testing.T, g *netnstest.Guest) {
			busFolder(t, false)
			start(t, nil, self(t, g, "bus", "bus silent"), false).says(t, "up")
		}, true},
		{"a daemon that knows no such call", func(t *testing.T, g *netnstest.Guest) {
			netnstest.RequirePrograms(t, "dbus-daemon")
			startBus(t, g, false)
			cmd := self(t, g, "another", "networkd")
			cmd.Env = append(cmd.Env, "BERTH_TEST_OLD=1")
			start(t, g, cmd, false).says(t, "up")
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, known := plug(t)
			daemon(t, g, networkdName)
			c.bus(t, g)
			client := Detect(t.Context(), known)
			if client.Name() != networkdName {
				t.Fatalf("detected %s", client.Name())
			}
			if err := client.Settle(t.Context()); errors.Is(err, ErrWait) != c.waits || err == nil {
				t.Errorf("have %v", err)
			}
		})
	}
}
