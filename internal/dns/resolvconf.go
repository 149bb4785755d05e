package dns

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// resolvConf is the host's own list of resolvers, read again when its file changes.
type resolvConf struct {
	now        func() time.Time
	path       string
	behindStub string // where systemd-resolved lists what its stub asks

	mu      sync.Mutex
	checked time.Time
	seen    [2]fileState
	list    []netip.AddrPort
	behind  []netip.AddrPort
}

// fileState tells whether a file is still the one that was read.
type fileState struct {
	modified time.Time
	size     int64
}

// checkEvery is how old the list may be.
const checkEvery = time.Second

// stubs are systemd-resolved's own addresses. It asks us for our names, so that it must
// not be asked by us.
var stubs = [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53}), netip.AddrFrom4([4]byte{127, 0, 0, 54})}

// servers is the host's resolvers in order, none when it has none, and those that
// systemd-resolved asks. Neither holds the stub.
func (c *resolvConf) servers() (list, behind []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.checked.IsZero() && now.Sub(c.checked) < checkEvery && !now.Before(c.checked) {
		return c.list, c.behind
	}
	state := [2]fileState{stateOf(c.path), stateOf(c.behindStub)}
	if c.checked.IsZero() || state != c.seen {
		c.list, c.behind = c.read()
		c.seen = state
	}
	c.checked = now
	return c.list, c.behind
}

func (c *resolvConf) read() (list, behind []netip.AddrPort) {
	for _, a := range readNameservers(c.behindStub) {
		if !slices.Contains(stubs[:], a) {
			behind = append(behind, netip.AddrPortFrom(a, 53))
		}
	}
	replaced := false
	for _, a := range readNameservers(c.path) {
		switch {
		case !slices.Contains(stubs[:], a):
			list = append(list, netip.AddrPortFrom(a, 53))
		case !replaced:
			list = append(list, behind...)
			replaced = true
		}
	}
	return list, behind
}

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info.ModTime(), info.Size()}
}

// readNameservers gives the addresses of the nameserver lines (resolv.conf(5)); a
// file that is not there names none.
func readNameservers(path string) []netip.Addr {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && !a.IsUnspecified() {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}
