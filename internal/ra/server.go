package ra

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"berth/internal/ipam"
)

const (
	// lookInterval is for how long an event of the kernel that got lost goes unnoticed.
	lookInterval = 5 * time.Second
	// reopenPause is between two attempts to have a socket.
	reopenPause = time.Second
)

var allNodes = netip.MustParseAddr("ff02::1") // RFC 4291 §2.7.1

// kernel is what the server needs of the system.
type kernel struct {
	look func(bridge string) (link, error)
	// watch sends to out when anything about the bridge may have changed, until ctx ends.
	watch func(ctx context.Context, bridge string, out chan<- struct{})
	open  func(bridge string, l link) (wire, error)
	hear  func(bridge string, l link) (ear, error)
}

// wire sends advertisements and receives solicitations on one bridge.
type wire interface {
	send(message []byte, to netip.Addr) error
	receive() (packet, error)
	Close() error
}

// ear hears the advertisements of others on one bridge.
type ear interface {
	receive() (heard, error)
	Close() error
}

// Server is the router of one network, as far as guests are told of it.
type Server struct {
	bridge string
	opts   Options
	kernel kernel

	changed chan struct{} // has room for one
	ready   chan struct{}

	mu       sync.Mutex // guards what follows
	config   Config
	refused  ipam.Problems // what of the configuration can not be advertised
	memory   memory
	silent   bool          // after the farewell
	problem  *ipam.Problem // why nothing is advertised
	deafness *ipam.Problem // why other routers are not heard
	source   netip.Addr    // of the advertisements; invalid while there are none
	rivals   rivals
}

// NewServer makes the server of the network on c.Bridge.
func NewServer(c Config, o Options) *Server {
	s := &Server{
		bridge: c.Bridge, opts: o.withDefaults(), kernel: systemKernel(),
		changed: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	s.opts.Log = s.opts.Log.With("network", c.Bridge)
	s.config, s.refused = c.clean()
	return s
}

// String names the task.
func (s *Server) String() string { return "ra " + s.bridge }

// Ready is closed when the server advertises, or knows why it does not.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// SetConfig puts c in force for the next packet; its Bridge must be the one that NewServer was given. Guests are told at once, or
// 3 s after they were last told something (RFC 4861 §6.2.6). What is not in c any more is withdrawn: the addresses of
// a prefix are deprecated, and go two hours later (RFC 4862 §5.5.3 e).
func (s *Server) SetConfig(c Config) {
	c, refused := c.clean()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = refused
	if c.equal(s.config) {
		return
	}
	s.memory.change(s.config, c, s.opts, s.opts.Now())
	s.config = c
	select {
	case s.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// Problems is what keeps the host from being the only router of the network now; empty when all is well.
func (s *Server) Problems() ipam.Problems {
	s.mu.Lock()
	defer s.mu.Unlock()
	problems := append(ipam.Problems(nil), s.refused...)
	for _, p := range []*ipam.Problem{s.problem, s.deafness} {
		if p != nil {
			problems = append(problems, p)
		}
	}
	return append(problems, s.rivals.problems(s.bridge, s.source, s.opts.Now())...)
}

// Run advertises until ctx ends; then it returns nil, and all it started is gone. A bridge that is not there, is down, or has no
// IPv6 is no error, it is waited for: see Problems. Guests are not told when it ends: see Farewell.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	hints := make(chan struct{}, 1)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { s.kernel.watch(ctx, s.bridge, hints) })
	for ctx.Err() == nil {
		l, err := s.kernel.look(s.bridge)
		if err == nil && l.ready() {
			if err = s.serve(ctx, l, hints); err == nil {
				continue // the bridge is another one now
			}
			s.note(link{}, err)
			s.isReady()
			pause(ctx, reopenPause, nil)
			continue
		}
		s.note(l, err)
		s.isReady()
		pause(ctx, lookInterval, hints)
	}
	return nil
}

// note keeps why nothing is advertised.
func (s *Server) note(l link, err error) {
	var p *ipam.Problem
	if err != nil {
		p = absent(s.bridge, err)
	} else {
		p = l.problem(s.bridge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil && (s.problem == nil || s.problem.Text != p.Text) {
		s.opts.Log.Warn("no router advertisements", "err", p)
	}
	s.problem, s.deafness, s.source = p, nil, netip.Addr{}
}

func (s *Server) isReady() {
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
}

// pause waits for d, for a hint, or for the end.
func pause(ctx context.Context, d time.Duration, hints <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-hints:
	}
}

// Farewell tells guests that the host is no router any more (RFC 4861 §6.2.5), for good: the server says nothing
// afterwards. It is for the network that is taken away, not for a server that stops.
func (s *Server) Farewell(ctx context.Context) error {
	s.mu.Lock()
	s.silent = true
	c := s.config
	s.mu.Unlock()
	return farewell(ctx, s.kernel, c, s.opts)
}

// Farewell tells the guests on c.Bridge that the host is no router any more, where no Server runs: router lifetime zero, prefixes
// deprecated, resolvers, domains and routes withdrawn. A bridge that is gone, or without guests, has nobody to be told, and is no error.
func Farewell(ctx context.Context, c Config) error {
	c, _ = c.clean()
	return farewell(ctx, systemKernel(), c, Options{}.withDefaults())
}

func farewell(ctx context.Context, k kernel, c Config, o Options) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := k.look(c.Bridge)
	if errors.Is(err, errNoBridge) || err == nil && !l.ready() {
		return nil
	}
	if err != nil {
		return absent(c.Bridge, err)
	}
	w, err := k.open(c.Bridge, l)
	if err != nil {
		return absent(c.Bridge, err)
	}
	defer w.Close()
	var m memory
	m.change(c, Config{Bridge: c.Bridge}, o, o.Now())
	for _, message := range m.compose(Config{Bridge: c.Bridge}, l.mac, o, o.Now()).encode() {
		if err := w.send(message, allNodes); err != nil {
			return absent(c.Bridge, fmt.Errorf("send the last one: %w", err))
		}
	}
	return nil
}
