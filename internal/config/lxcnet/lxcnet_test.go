package lxcnet_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/config/bridgevars"
	"berth/internal/config/lxcnet"
	"berth/internal/ipam"
)

func none(_ *ipam.Network, path string) (*bridgevars.Dnsmasq, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// load reads lxc-net, and lxc when it is not "", in a folder of its own, which DIR stands for.
func load(t *testing.T, lxcNet, lxc string, read bridgevars.ReadDnsmasq) (*bridgevars.Bridge, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"lxc-net": lxcNet, "lxc": lxc} {
		if text == "" && name == "lxc" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := lxcnet.Load(filepath.Join(dir, "lxc-net"), read)
	return b, dir, err
}

// debian is /etc/default/lxc of Debian's packages, without its comments.
const debian = `LXC_AUTO="true"
BOOTGROUPS="onboot,"
SHUTDOWNDELAY=5
OPTIONS=
STOPOPTS="-a -A -s"
USE_LXC_BRIDGE="false"  # overridden in lxc-net

[ ! -f DIR/lxc-net ] || . DIR/lxc-net
`

func TestDefaultsAreThoseOfTheScript(t *testing.T) {
	b, dir, err := load(t, "USE_LXC_BRIDGE=\"true\"\n", debian, none)
	if err != nil {
		t.Fatal(err)
	}
	n := b.Networks[0]
	if n.Name != "lxcbr0" || n.Gateway.String() != "10.0.3.1" || n.Subnet.String() != "10.0.3.0/24" || n.Range.String() != "10.0.3.2-10.0.3.254" ||
		!n.NAT || n.NoAccept || n.Domain != "" || !n.TrustHostname {
		t.Errorf("%+v", n)
	}
	if len(b.Warnings) > 0 {
		t.Errorf("%v", b.Warnings)
	}
	// Nothing of dnsmasq's is read that is not named.
	if want := []string{dir + "/lxc-net", dir + "/lxc"}; !slices.Equal(b.Files, want) {
		t.Errorf("files %q, want %q", b.Files, want)
	}
}

func TestWays(t *testing.T) {
	const off, on = "USE_LXC_BRIDGE=false\n", "USE_LXC_BRIDGE=true\nLXC_BRIDGE=br7\n"
	tests := []struct {
		name, lxcNet, lxc string
		off               bool
		bridge            string
		warning           string
	}{
		{name: "alone", lxcNet: on, bridge: "br7"},
		{name: "alone and empty: on by default", lxcNet: "", bridge: "lxcbr0"},
		{name: "off", lxcNet: off, off: true},
		{name: "off in the file above, and silent in this", lxcNet: "LXC_BRIDGE=br7\n", lxc: debian, off: true},
		{name: "off in the file above, on in this", lxcNet: on, lxc: debian, bridge: "br7"},
		{name: "the file above has the last word", lxcNet: on, lxc: debian + "LXC_BRIDGE=br8\n", bridge: "br8"},
		{name: "the other way to write it", lxcNet: on, lxc: "[ -f DIR/lxc-net ] && . DIR/lxc-net\n", bridge: "br7"},
		{name: "never reached", lxcNet: on, lxc: off, bridge: "br7", warning: "is not read from here"},
		{name: "hardware address", lxcNet: on + "LXC_BRIDGE_MAC=02:00:00:00:00:01\n", bridge: "br7", warning: "LXC_BRIDGE_MAC is not honoured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, _, err := load(t, tt.lxcNet, tt.lxc, none)
			if tt.off {
				if !errors.Is(err, config.ErrOff) {
					t.Errorf("%v, want it to be off", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.Networks[0].Name != tt.bridge {
				t.Errorf("bridge %s, want %s", b.Networks[0].Name, tt.bridge)
			}
			switch {
			case tt.warning == "" && len(b.Warnings) > 0:
				t.Errorf("%v", b.Warnings)
			case tt.warning != "" && (len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0].Text, tt.warning) || b.Warnings[0].Hint == ""):
				t.Errorf("%v, want %s", b.Warnings, tt.warning)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct{ name, lxcNet, lxc, want string }{
		{"half a subnet", "LXC_ADDR=10.0.4.1\nLXC_DHCP_RANGE=10.0.4.2,10.0.4.9\n", "", "/lxc-net: LXC_NETWORK is not set, and by default 10.0.3.0/24, but LXC_ADDR and LXC_NETMASK make 10.0.4.0/24"},
		{"range of the default subnet", "LXC_ADDR=10.0.4.1\nLXC_NETWORK=10.0.4.0/24", "", "/lxc-net: LXC_DHCP_RANGE: 10.0.3.2 is outside 10.0.4.0/24"},
		{"place in the file that is read by another", "LXC_DOMAIN=local USE_LXC_BRIDGE=true", debian, `/lxc-net:1:12: "local" can not be the domain`},
		{"place in the file above", "", "LXC_DOMAIN=local\n" + debian + "USE_LXC_BRIDGE=true", `/lxc:1:12: "local" can not be the domain`},
		{"another file is read", "", ". /etc/passwd\n", "/lxc:1:3: /etc/passwd: only DIR/lxc-net is read from here"},
		{"this one reads another", ". /etc/passwd\n", "", "/lxc-net:1:3: /etc/passwd is not read from here"},
		{"a script", "", "if true; then\nLXC_ADDR=10.0.4.1\nfi", `/lxc:1:1: "if" begins what only a shell`},
		{"no file of dnsmasq's", "LXC_DHCP_CONFILE=/nowhere", "", "/lxc-net:1:18: there is no /nowhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, dir, err := load(t, tt.lxcNet, tt.lxc, none)
			var problems ipam.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%v %v", err, b.Networks)
			}
			if want := dir + strings.ReplaceAll(tt.want, "DIR", dir); !strings.HasPrefix(problems[0].Error(), want) || problems[0].Hint == "" {
				t.Errorf("%v\nwant %s", problems, want)
			}
			if !slices.Contains(b.Files, dir+"/lxc") || !slices.Contains(b.Files, dir+"/lxc-net") {
				t.Errorf("files %q", b.Files)
			}
		})
	}
}

func TestNoFile(t *testing.T) {
	b, err := lxcnet.Load(filepath.Join(t.TempDir(), "lxc-net"), none)
	if !errors.Is(err, fs.ErrNotExist) || len(b.Files) != 2 {
		t.Errorf("%v %q", err, b.Files)
	}
}
