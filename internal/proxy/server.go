package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"sync/atomic"

	"berth/internal/ipam"
)

// kernel is what the proxy needs of the system.
type kernel struct {
	// listen opens a socket that hears the bridge alone, and gives the bridge's interface index.
	listen func(ctx context.Context, e endpoint) (*net.TCPListener, int, error)
	// indexOf gives a bridge's interface index; 0 when there is no such bridge.
	indexOf func(bridge string) int
	// isLocal reports whether packets to a would end on this host.
	isLocal func(a netip.Addr) (bool, error)
	// isOwn reports whether the bridge itself has the address a.
	isOwn func(bridge int, a netip.Addr) bool
	// portOf gives the port of the bridge behind which a is; false: not known.
	portOf func(bridge int, a netip.Addr) (port int, ok bool)
}

// Server is the proxy of one network.
type Server struct {
	opts    Options
	log     *slog.Logger
	kernel  kernel
	config  atomic.Pointer[Config]
	door    door
	forward *httputil.ReverseProxy
	changed chan struct{} // has room for one

	open sync.WaitGroup // connections of guests

	mu      sync.Mutex // guards what follows
	problem *ipam.Problem
	at      endpoint // where it listens; the zero endpoint: nowhere
}

// NewServer makes a proxy that has no network yet.
func NewServer(o Options) *Server {
	o = o.withDefaults()
	s := &Server{opts: o, log: o.Log, kernel: systemKernel(), changed: make(chan struct{}, 1)}
	s.door = door{limits: o.Limits, now: o.Now}
	s.config.Store(&Config{})
	s.forward = s.newForwarder()
	return s
}

// SetConfig puts c in force: for the next connection where to listen, for the next request where it may lead.
// Connections that are open stay open. A Config without a Bridge is no proxy.
func (s *Server) SetConfig(c Config) {
	c = c.withDefaults()
	s.config.Store(&c)
	select {
	case s.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// String names the task.
func (s *Server) String() string { return "proxy " + s.config.Load().Bridge }

// Run serves until ctx ends; then it gives what is under way a few seconds, and returns nil when all it started is gone. A port that
// is taken, or an address that is not there, is no error, it is waited for: see Problems.
func (s *Server) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	in := newIntake()
	web := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.opts.Limits.Request,
		IdleTimeout:       s.opts.Limits.KeepAlive,
		MaxHeaderBytes:    s.opts.Limits.Header,
		// "OPTIONS *" is not for a proxy to answer as if it were a server.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what guests do wrong is their own business
		BaseContext:                  func(net.Listener) context.Context { return work },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guestConnKey{}, c)
		},
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = web.Serve(in) }) // ends with http.ErrServerClosed
	s.keepListening(ctx, in)               // until ctx ends

	grace, over := context.WithTimeout(work, s.opts.Limits.Grace)
	defer over()
	closed := make(chan struct{})
	tasks.Go(func() { s.open.Wait(); close(closed) })
	_ = web.Shutdown(grace) // does not wait for tunnels
	select {
	case <-closed:
	case <-grace.Done():
	}
	cancel() // what is still under way
	web.Close()
	tasks.Wait()
	return nil
}

// guestConnKey finds the connection of a request in its context.
type guestConnKey struct{}

// Problems is what keeps guests from being served now, or kept them in the last minute; empty when all is well.
func (s *Server) Problems() ipam.Problems {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems ipam.Problems
	if s.problem != nil {
		problems = append(problems, s.problem)
	}
	return append(problems, s.door.problems(s.config.Load().Bridge)...)
}
