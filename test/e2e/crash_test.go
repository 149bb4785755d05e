package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/control"
	"berth/internal/netnstest"
)

// wideConfig has room for thousands of clients.
const wideConfig = `[network.br0]
ipv4 = "10.64.0.1/16"
dhcp-range = "10.64.0.10-10.64.119.254"
lease-time = "1h"
domain = "lxd"
upstream = []
`

// promises is what the daemon acknowledged, and what was under way when it died.
type promises struct {
	mu      sync.Mutex
	pinned  map[string]netip.Addr
	pending map[string]netip.Addr
}

// TestKillLosesNothingAcknowledged kills the daemon 50 times at random moments while
// clients take leases and pins are set, and checks after each start that every
// acknowledged one is there, unchanged.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	s := serve(t, wideConfig, "")
	g := netnstest.AddGuest(t, bridge, "storm", "02:00:00:00:ff:ff")
	crowd := newStorm(t, g)
	p := &promises{pinned: make(map[string]netip.Addr), pending: make(map[string]netip.Addr)}
	const kills, clients, newcomers = 50, 1000, 400 // of the clients, each round
	var loaded time.Duration
	var leases, pins atomic.Int64
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i = (i + 16) % clients {
					if err := crowd.lease(ctx, macOfClient(round*newcomers+i)); err == nil {
						leases.Add(1)
					} else if ctx.Err() == nil {
						t.Errorf("lease: %v", err)
						return
					}
				}
			})
		}
		wg.Go(func() { p.pinAway(ctx, s.socket, round, &pins) })
		select {
		case <-time.After(time.Duration(100+rng.IntN(400)) * time.Millisecond):
		case <-t.Context().Done():
		}
		s.kill()
		loaded += time.Since(began)
		cancel()
		wg.Wait()
		s.start()
		s.checkPromises(crowd, p, round)
		if t.Failed() {
			return
		}
	}
	crowd.mu.Lock()
	defer crowd.mu.Unlock()
	t.Logf("%d leases (%d clients) and %d pins acknowledged over %d kills: %.0f and %.0f a second", leases.Load(), len(crowd.acked), pins.Load(),
		kills, float64(leases.Load())/loaded.Seconds(), float64(pins.Load())/loaded.Seconds())
	if len(crowd.acked) < kills*newcomers/2 || pins.Load() < 10*kills {
		t.Errorf("only %d clients and %d pins: no real load", len(crowd.acked), pins.Load())
	}
}

func macOfClient(i int) net.HardwareAddr {
	return net.HardwareAddr{2, 1, 0, 0, byte(i >> 8), byte(i)}
}

// pinAway sets pins, about 100 a second, until ctx ends or the daemon is gone.
func (p *promises) pinAway(ctx context.Context, socket string, round int, done *atomic.Int64) {
	c := control.NewClient(socket)
	tick := time.NewTicker(7 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		name := fmt.Sprintf("g%d", i%40)
		addr := netip.AddrFrom4([4]byte{10, 64, byte(130 + (round*7+i)%100), byte(1 + i%40)})
		p.mu.Lock()
		p.pending[name] = addr
		p.mu.Unlock()
		_, err := c.Pin(ctx, control.PinRequest{Name: name, Addr: addr})
		p.mu.Lock()
		if err == nil {
			p.pinned[name] = addr
			delete(p.pending, name)
			done.Add(1)
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// checkPromises compares what was acknowledged with what the restarted daemon says.
func (s *server) checkPromises(crowd *storm, p *promises, round int) {
	s.t.Helper()
	var guests []control.Guest
	if err := json.Unmarshal([]byte(s.must("ls", "--json")), &guests); err != nil {
		s.t.Fatal(err)
	}
	leased := make(map[string]netip.Addr)
	pinned := make(map[string]netip.Addr)
	for _, g := range guests {
		if len(g.Leased) > 0 {
			leased[g.MAC] = g.Leased[0]
		}
		if len(g.Pinned) > 0 {
			pinned[g.Name] = g.Pinned[0]
		}
	}
	crowd.mu.Lock()
	defer crowd.mu.Unlock()
	for mac, addr := range crowd.acked {
		if leased[mac] != addr {
			s.t.Errorf("round %d: %s was ACKed %s, the daemon knows %v", round, mac, addr, leased[mac])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, addr := range p.pinned {
		if have := pinned[name]; have != addr && have != p.pending[name] {
			s.t.Errorf("round %d: %s was acknowledged at %s, the daemon knows %v", round, name, addr, have)
		}
	}
	// What was under way may or may not have been stored; from here on it is what the daemon says.
	for name := range p.pending {
		if have, ok := pinned[name]; ok {
			p.pinned[name] = have
		}
		delete(p.pending, name)
	}
}
