package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/ipam"
)

func TestUnserved(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "dnsmasq.conf")
	save := func(path, text string) string {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	save(conf, "dhcp-host=cent01,10.64.177.101\ndhcp-script=/bin/true\nenable-tftp\n")
	variables := "LXD_IPV4_ADDR=\"10.64.177.1\"\nLXD_IPV4_NETMASK=\"255.255.255.0\"\nLXD_IPV4_NETWORK=\"10.64.177.0/24\"\n" +
		"LXD_IPV4_DHCP_RANGE=\"10.64.177.2,10.64.177.254\"\nLXD_CONFILE=\"" + conf + "\"\n"
	tests := []struct {
		name, source, path string
		want               []string // a part of each, in any order
	}{
		{"dnsmasq", "dnsmasq", conf, []string{conf + ":2", conf + ":3"}},
		{"no configuration", "dnsmasq", filepath.Join(dir, "absent"), nil},
		{"what lxd-bridge names", "lxd-bridge", save(filepath.Join(dir, "lxd-bridge"), variables), []string{conf + ":2", conf + ":3"}},
		{"what lxc-net names", "lxc-net", save(filepath.Join(dir, "lxc-net"), strings.ReplaceAll(strings.ReplaceAll(variables, "LXD_CONFILE", "LXC_DHCP_CONFILE"), "LXD_IPV4_", "LXC_")), []string{conf + ":2", conf + ":3"}},
		{"no lxd-bridge", "lxd-bridge", filepath.Join(dir, "absent"), nil},
		{"lxd-bridge that is off", "lxd-bridge", save(filepath.Join(dir, "off"), "USE_LXD_BRIDGE=\"false\"\n"), nil},
		{"lxd-bridge that is wrong", "lxd-bridge", save(filepath.Join(dir, "wrong"), strings.Replace(variables, "10.64.177.254", "10.99.0.1", 1)), []string{filepath.Join(dir, "wrong") + ":4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have, err := unserved(tt.source, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			text := have.Error()
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("said\n%s\nwant %s", text, want)
				}
			}
			if len(tt.want) == 0 && len(have) > 0 {
				t.Errorf("said %v", have)
			}
			if strings.Contains(text, conf+":1") {
				t.Errorf("the pin is honoured, and it says\n%s", text)
			}
		})
	}
	var p *ipam.Problem
	if _, err := unserved("kea", ""); !errors.As(err, &p) || p.Code != ipam.CodeUsage {
		t.Errorf("an unknown source: %v", err)
	}
}
