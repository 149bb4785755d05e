package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"berth/internal/ipam"
)

// autoTries is how many random subnets are tried before giving up.
const autoTries = 200

// autoSubnet is the gateway's address of a network whose ipv4 is "auto": the one chosen
// before, else the one that the bridge has already, else a free 10.x.y.1/24. It is
// remembered before it is used, so that it stays.
func (d *Daemon) autoSubnet(ctx context.Context, network string) (netip.Prefix, error) {
	path := filepath.Join(d.opts.State, "subnets.json")
	chosen := make(map[string]netip.Prefix)
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &chosen)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, fmt.Errorf("subnets chosen before: %w", err)
	}
	if p, ok := chosen[network]; ok && p.Addr().Is4() {
		return p, nil
	}
	p, ok := addressOf(network)
	for try := 0; !ok; try++ {
		if try == autoTries {
			return netip.Prefix{}, &ipam.Problem{Code: ipam.CodeHost, Text: "no free subnet was found in 10.0.0.0/8", Hint: "write one into berth.toml: ipv4 = \"192.168.77.1/24\""}
		}
		var b [2]byte
		rand.Read(b[:]) // never fails, as documented
		p = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, b[0], b[1], 1}), 24)
		n := &ipam.Network{Name: network, Gateway: p.Addr(), Subnet: p.Masked()}
		conflicts, err := d.host.Conflicts(ctx, ipam.Networks{n})
		if err != nil {
			return netip.Prefix{}, err
		}
		ok = len(conflicts) == 0
	}
	chosen[network] = p
	return p, writeJSON(path, chosen)
}

// addressOf is the first IPv4 address of a bridge that exists.
func addressOf(bridge string) (netip.Prefix, bool) {
	nic, err := net.InterfaceByName(bridge)
	if err != nil {
		return netip.Prefix{}, false
	}
	addrs, _ := nic.Addrs() // none is as good an answer as an error
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// writeJSON replaces path durably.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	return nil
}
