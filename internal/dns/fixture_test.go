package dns

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	codec "github.com/miekg/dns"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// book is a Names with two networks' worth of guests, which tests may change.
type book struct {
	mu    sync.Mutex
	names map[string][]netip.Addr // "network/name"
	ptrs  map[netip.Addr][2]string
}

func newBook() *book {
	b := &book{names: make(map[string][]netip.Addr), ptrs: make(map[netip.Addr][2]string)}
	b.set("lxdbr0", "cent01", "10.64.177.101")
	b.set("lxdbr0", "dual", "10.64.177.20", "fd94:d372:e27f:2987::20")
	b.set("lxdbr0", "eth1.cent02", "10.64.177.102")
	b.set("lxdbr0", "cent02")
	b.set("lxcbr0", "web", "10.0.3.7")
	b.set("lxcbr0", "cent01", "10.0.3.101")
	return b
}

func (b *book) set(network, name string, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []netip.Addr{}
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		list = append(list, addr)
		b.ptrs[addr] = [2]string{name, network}
	}
	b.names[network+"/"+name] = list
}

func (b *book) LookupName(network, name string) ([]netip.Addr, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	addrs, ok := b.names[network+"/"+name]
	return addrs, ok
}

func (b *book) LookupAddr(a netip.Addr) (name, network string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.ptrs[a]
	return found[0], found[1], ok
}

func lxdbr0() *ipam.Network {
	return &ipam.Network{
		Name: "lxdbr0", Domain: "lxd", Drain: 30 * time.Second,
		Gateway: netip.MustParseAddr("10.64.177.1"), Subnet: netip.MustParsePrefix("10.64.177.0/24"),
		Upstream: []netip.AddrPort{},
	}
}

func lxcbr0() *ipam.Network {
	return &ipam.Network{
		Name: "lxcbr0", Domain: "lxc", Drain: 3 * time.Second,
		Gateway: netip.MustParseAddr("10.0.3.1"), Subnet: netip.MustParsePrefix("10.0.3.0/24"),
		Upstream: []netip.AddrPort{},
	}
}

// newTestServer is a server without sockets for the two networks.
func newTestServer(t testing.TB, o Options, networks ...*ipam.Network) *Server {
	t.Helper()
	if o.Names == nil {
		o.Names = newBook()
	}
	if networks == nil {
		networks = []*ipam.Network{lxdbr0(), lxcbr0()}
	}
	o.ResolvConf, o.ResolvedConf = "/nonexistent/resolv.conf", "/nonexistent/behind"
	s := New(o)
	s.SetNetworks(networks)
	return s
}

var guestAsks = asker{network: "lxdbr0", addr: netip.MustParseAddrPort("10.64.177.9:40000")}

// newQuery is an EDNS query without DO.
func newQuery(name string, qtype uint16) *codec.Msg {
	m := new(codec.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	return m
}

// askAs handles one message and waits for its answer, if there will be one.
func askAs(t testing.TB, s *Server, from asker, m *codec.Msg) *codec.Msg {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	later := make(chan []byte, 1)
	reply, pending := s.handle(from, wire, func(b []byte) { later <- b })
	if pending {
		reply = <-later
	}
	if reply == nil {
		return nil
	}
	r := new(codec.Msg)
	if err := r.Unpack(reply); err != nil {
		t.Fatalf("answer to %s does not parse: %v\n%x", m.Question[0].String(), err, reply)
	}
	if r.Id != m.Id || !r.Response {
		t.Fatalf("answer has id %d and QR %v, want %d and true", r.Id, r.Response, m.Id)
	}
	return r
}

func ask(t testing.TB, s *Server, name string, qtype uint16) *codec.Msg {
	t.Helper()
	return askAs(t, s, guestAsks, newQuery(name, qtype))
}
