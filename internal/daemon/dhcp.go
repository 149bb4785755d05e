package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"berth/internal/dhcp4"
	"berth/internal/guest"
	"berth/internal/ipam"
)

// dhcpRetry is the pause between two attempts to serve on a bridge whose port 67 somebody has.
const dhcpRetry = 2 * time.Second

// dhcpServers is one DHCP server for each network, and the ports each listens to.
type dhcpServers struct {
	ctx   context.Context // of the daemon: servers outlive the request that started them
	book  dhcp4.Book
	index *guest.Index
	log   *slog.Logger
	tasks sync.WaitGroup

	mu      sync.Mutex
	servers map[string]*dhcpServer
}

// dhcpServer is a server and what keeps it from serving.
type dhcpServer struct {
	*dhcp4.Server
	cancel context.CancelFunc
	done   chan struct{}
	first  chan error // why the first attempt to serve failed

	mu      sync.Mutex
	problem error // of the last attempt
}

func newDHCPServers(ctx context.Context, book dhcp4.Book, index *guest.Index, log *slog.Logger) *dhcpServers {
	return &dhcpServers{ctx: ctx, book: book, index: index, log: log, servers: make(map[string]*dhcpServer)}
}

// set makes the servers those of the networks. It returns when each new one hears its
// ports, or the first reason why one does not; that one tries again by itself.
func (s *dhcpServers) set(ctx context.Context, nets ipam.Networks) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, server := range s.servers {
		if nets.Named(name) == nil {
			server.cancel()
			<-server.done
			delete(s.servers, name)
		}
	}
	var problem error
	for _, n := range nets {
		if server := s.servers[n.Name]; server != nil {
			server.SetNetwork(n)
			continue
		}
		server := s.start(n)
		s.servers[n.Name] = server
		select {
		case <-server.Ready():
		case err := <-server.first:
			if problem == nil {
				problem = err
			}
		case <-server.done: // the daemon ends
			return s.ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return problem
}

// start runs a server until its network goes; the caller holds mu.
func (s *dhcpServers) start(n *ipam.Network) *dhcpServer {
	ctx, cancel := context.WithCancel(s.ctx)
	server := &dhcpServer{
		Server: dhcp4.NewServer(n, s.book, plugged{ctx, s.index, n.Name}, dhcp4.Options{Log: s.log}),
		cancel: cancel, done: make(chan struct{}), first: make(chan error, 1),
	}
	for _, g := range s.index.Snapshot() {
		if g.Bridge == n.Name {
			server.AddPort(g.PortIndex, g.Port)
		}
	}
	s.tasks.Go(func() {
		defer close(server.done)
		server.keep(ctx, s.log)
	})
	return server
}

// keep serves until ctx ends, trying again while it can not.
func (s *dhcpServer) keep(ctx context.Context, log *slog.Logger) {
	for {
		err := s.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		repeated := s.problem != nil && s.problem.Error() == err.Error()
		s.problem = err
		s.mu.Unlock()
		select {
		case s.first <- err:
		default:
		}
		if !repeated {
			log.Error("dhcp not served", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(dhcpRetry):
		}
	}
}

// problems is what is wrong with the server now.
func (s *dhcpServer) problems() ipam.Problems {
	select {
	case <-s.Ready():
		return s.Problems()
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return problemsOf(s.problem)
}

// problems lists what is wrong with all servers.
func (s *dhcpServers) problems() ipam.Problems {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all ipam.Problems
	for _, server := range s.servers {
		all = append(all, server.problems()...)
	}
	return all
}

// refresh has each server look at its bridge again: one that was deleted and made anew
// is another one.
func (s *dhcpServers) refresh(nets ipam.Networks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range nets {
		if server := s.servers[n.Name]; server != nil {
			server.SetNetwork(n)
		}
	}
}

// follow adds and removes ports as guests come and go, until ctx ends.
func (s *dhcpServers) follow(ctx context.Context) {
	events, stop := s.index.Watch()
	defer stop()
	heard := make(map[int]guest.Guest)
	s.sync(heard)
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			switch {
			case !ok:
				return
			case e.Kind == guest.Lost:
				s.sync(heard)
			case e.Kind == guest.Removed:
				s.unplug(heard, e.Guest.PortIndex)
			default:
				s.plug(heard, e.Guest)
			}
		}
	}
}

// sync compares all ports.
func (s *dhcpServers) sync(heard map[int]guest.Guest) {
	present := make(map[int]bool)
	for _, g := range s.index.Snapshot() {
		present[g.PortIndex] = true
		s.plug(heard, g)
	}
	for index := range heard {
		if !present[index] {
			s.unplug(heard, index)
		}
	}
}

func (s *dhcpServers) plug(heard map[int]guest.Guest, g guest.Guest) {
	if was, ok := heard[g.PortIndex]; ok {
		if was.Bridge == g.Bridge {
			return
		}
		s.unplug(heard, g.PortIndex) // moved to another bridge
	}
	heard[g.PortIndex] = g
	s.mu.Lock()
	defer s.mu.Unlock()
	if server := s.servers[g.Bridge]; server != nil {
		server.AddPort(g.PortIndex, g.Port)
	}
}

func (s *dhcpServers) unplug(heard map[int]guest.Guest, index int) {
	was, ok := heard[index]
	if !ok {
		return
	}
	delete(heard, index)
	s.mu.Lock()
	defer s.mu.Unlock()
	if server := s.servers[was.Bridge]; server != nil {
		server.RemovePort(index)
	}
}

// wait returns when all servers have ended, which they do with the daemon's context.
func (s *dhcpServers) wait() {
	<-s.ctx.Done()
	s.mu.Lock() // nobody starts one any more
	defer s.mu.Unlock()
	s.tasks.Wait()
}

// resolvePatience is how long a packet may wait for a look at who sent it.
const resolvePatience = 250 * time.Millisecond

// plugged answers a DHCP server who is behind the ports of its bridge.
type plugged struct {
	ctx    context.Context
	index  *guest.Index
	bridge string
}

// Source implements dhcp4.Ports.
func (p plugged) Source(portIndex int) (dhcp4.Source, bool) {
	g, ok := p.index.Known(portIndex)
	if !ok {
		ctx, cancel := context.WithTimeout(p.ctx, resolvePatience)
		defer cancel()
		var err error
		if g, err = p.index.Resolve(ctx, portIndex); err != nil {
			return dhcp4.Source{}, false
		}
	}
	return dhcp4.Source{Guest: g.Name, NIC: g.MAC, Port: g.Port, PortIndex: portIndex}, true
}

// ElsewhereMAC implements dhcp4.Ports.
func (p plugged) ElsewhereMAC(mac ipam.MAC, portIndex int) bool {
	return p.index.ElsewhereMAC(mac, portIndex)
}

// PluggedIn implements dhcp4.Ports.
func (p plugged) PluggedIn(name string) bool {
	_, ok := p.index.ByName(p.bridge, name)
	return ok
}
