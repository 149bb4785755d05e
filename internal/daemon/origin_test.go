package daemon

import (
	"slices"
	"testing"

	"berth/internal/config/lxcnet"
	"berth/internal/config/lxdbridge"
)

func TestWhichFileTheNetworksComeFrom(t *testing.T) {
	const toml = "/etc/berth/berth.toml"
	search := Options{Config: toml, Search: true}
	lxd, lxc := origin{lxdBridge, lxdbridge.Path}, origin{lxcNet, lxcnet.Path}
	tests := []struct {
		name  string
		opts  Options
		now   *origin
		there []string
		want  []origin
	}{
		{"named", Options{Config: "/a.toml"}, nil, []string{lxdbridge.Path}, []origin{{berthTOML, "/a.toml"}}},
		{"a named lxd-bridge", Options{Config: toml, LXDBridge: "/b"}, nil, []string{toml}, []origin{{lxdBridge, "/b"}}},
		{"a named lxc-net", Options{Config: toml, LXCNet: "/c"}, nil, []string{toml}, []origin{{lxcNet, "/c"}}},
		{"berth's own comes first", search, nil, []string{toml, lxdbridge.Path, lxcnet.Path}, []origin{{berthTOML, toml}}},
		{"then lxd-bridge, and lxc-net should that be off", search, nil, []string{lxdbridge.Path, lxcnet.Path}, []origin{lxd, lxc}},
		{"lxc-net alone", search, nil, []string{lxcnet.Path}, []origin{lxc}},
		{"nothing: the problem is about berth's own", search, nil, nil, []origin{{berthTOML, toml}}},
		{"berth's own is gone, and an old one lies there", search, &origin{berthTOML, toml}, []string{lxdbridge.Path}, []origin{{berthTOML, toml}}},
		{"lxd-bridge is gone, and lxc-net lies there", search, &lxd, []string{lxcnet.Path}, []origin{lxd}},
		{"berth's own appears", search, &lxd, []string{toml, lxdbridge.Path}, []origin{{berthTOML, toml}}},
		{"berth's own appears beside a named one", Options{Config: toml, LXDBridge: "/b"}, &origin{lxdBridge, "/b"}, []string{toml}, []origin{{lxdBridge, "/b"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have := tt.opts.candidates(tt.now, func(path string) bool { return slices.Contains(tt.there, path) })
			if !slices.Equal(have, tt.want) {
				t.Errorf("%v, want %v", have, tt.want)
			}
		})
	}
}
