package dhcp4

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

// Options is what a server can do without.
type Options struct {
	Log      *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
	PortRate int              // packets per second that are looked at from one port, with a fifth of it at once; 0: 10,000; negative: all
	Secret   []byte           // from which the keys for FORCERENEW are made; nil: a random one
}

const (
	defaultPortRate = 10_000
	bindTimeout     = 10 * time.Second // the client has asked again by then
	lookInterval    = 10 * time.Second
)

// Server is the DHCPv4 server of one network. Its methods may be called from several goroutines.
type Server struct {
	book Book
	ids  identities
	opts Options
	log  *slog.Logger
	net  atomic.Pointer[ipam.Network]
	mac  atomic.Pointer[ipam.MAC] // the bridge's
	pool sync.Pool                // of *exchange
	kernel

	ready chan struct{}
	tasks sync.WaitGroup // everything Run started

	mu      sync.Mutex
	running context.Context // nil: Run does not run
	guard   io.Closer
	bridge  int // ifindex that guard is bound to
	ports   map[int]*port

	unguarded error // why port 67 is not ours any more; nil: it is
}

// kernel is where the server meets the network.
type kernel struct {
	bridgeOf func(name string) (index int, mac ipam.MAC, err error)
	listen   func(bridge string) (io.Closer, error) // occupies port 67
	tap      func(index int) (tap, error)
}

// tap is a port as seen by the server: whole Ethernet frames that hold IPv4 datagrams for UDP
// port 67 come in, frames go out. Read fails with os.ErrClosed after Close, which may be called at any time.
type tap interface {
	io.ReadWriteCloser
}

// NewServer makes the server of n, which must not be changed afterwards. It does nothing before Run.
func NewServer(n *ipam.Network, book Book, ports Ports, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PortRate == 0 {
		o.PortRate = defaultPortRate
	}
	if o.Secret == nil {
		o.Secret = make([]byte, 32)
		rand.Read(o.Secret) // never fails, as documented
	}
	s := &Server{
		book: book, opts: o, log: o.Log.With("network", n.Name),
		ids:    identities{ports: ports},
		kernel: systemKernel(),
		ready:  make(chan struct{}),
		ports:  map[int]*port{},
	}
	s.pool.New = func() any { return new(exchange) }
	s.net.Store(n)
	return s
}

// String names the task.
func (s *Server) String() string { return "dhcp4 " + s.net.Load().Name }

// Ready is closed when the server first hears all its ports.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends; then it returns nil, and all it started is gone. It fails with an
// *ipam.Problem when another program has port 67, when there is no such bridge, or without the
// rights to it.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if err := s.occupy(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.running, s.unguarded = ctx, nil
	for _, p := range s.ports {
		s.start(p)
	}
	s.mu.Unlock()
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
	s.look(ctx)
	s.mu.Lock()
	s.running = nil
	for _, p := range s.ports {
		p.stop()
	}
	s.vacate()
	s.mu.Unlock()
	s.tasks.Wait()
	return nil
}

// look refreshes what is known of the bridge until ctx ends: nobody tells when another program gives port 67 back.
func (s *Server) look(ctx context.Context) {
	for sleep(ctx, lookInterval) {
		s.mu.Lock()
		s.refresh()
		s.mu.Unlock()
	}
}

// occupy takes port 67 on the bridge. The socket receives nothing, and is there for two reasons:
// the kernel would otherwise tell a client that renews that nobody listens, and it fails when somebody else serves. The caller holds mu.
func (s *Server) occupy() error {
	name := s.net.Load().Name
	index, mac, err := s.bridgeOf(name)
	if err != nil {
		return &ipam.Problem{
			Code: ipam.CodeHost, Err: err, Text: fmt.Sprintf("there is no bridge %s to serve DHCP on", name),
			Hint: "ip link show type bridge",
		}
	}
	s.mac.Store(&mac)
	if s.guard != nil && s.bridge == index {
		return nil
	}
	s.vacate()
	guard, err := s.listen(name)
	if err != nil {
		return err
	}
	s.guard, s.bridge = guard, index
	return nil
}

func (s *Server) vacate() {
	if s.guard != nil {
		s.guard.Close()
		s.guard = nil
	}
}

// refresh looks at the bridge again: its hardware address may have changed with its ports, and a bridge
// that was deleted and made again is another one, whose socket would stay mute. The caller holds mu.
func (s *Server) refresh() {
	if s.running == nil {
		return
	}
	err := s.occupy()
	if err != nil && s.unguarded == nil {
		s.log.Warn("port 67 of the bridge is not ours", "err", err)
	}
	s.unguarded = err
}

// SetNetwork puts another description of the same network in force for the next packet.
func (s *Server) SetNetwork(n *ipam.Network) {
	s.net.Store(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
}

// AddPort has the server listen to a port of the bridge, by its interface index and name. It returns once
// frames are heard, as long as the server runs. A port that is known already stays as it is.
func (s *Server) AddPort(index int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if s.ports[index] != nil {
		return
	}
	p := s.newPort(index, name)
	s.ports[index] = p
	if s.running != nil {
		s.start(p)
	}
}

// RemovePort ends listening to a port. What it was already asked there may still be answered.
func (s *Server) RemovePort(index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.ports[index]; p != nil {
		p.stop()
		delete(s.ports, index)
	}
	s.ids.claims.forget(index)
	s.refresh()
}

// start begins to listen; the caller holds mu. A port that can not be heard is tried again while it is there.
func (s *Server) start(p *port) {
	ctx, cancel := context.WithCancel(s.running)
	t := p.open()
	p.stop = cancel
	s.tasks.Go(func() { p.run(ctx, t) })
}

// isFull reports whether there is no address for a client, because of others.
func isFull(err error) bool {
	var p *ipam.Problem
	return errors.Is(err, errCrowd) || errors.As(err, &p) && p.Code == ipam.CodeFull
}
