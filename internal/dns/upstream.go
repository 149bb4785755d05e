package dns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// pace is how long upstream resolvers are waited for.
type pace struct {
	total    time.Duration // for all of them together; resolvers in guests give up after 5 s
	patience time.Duration // before the next one is asked as well
	suspect  time.Duration // the same, for one that did not answer lately
	tcp      time.Duration // for a repetition over TCP
}

var defaultPace = pace{
	total: 4500 * time.Millisecond, patience: time.Second,
	suspect: 150 * time.Millisecond, tcp: 3 * time.Second,
}

// race is one question on its way through the upstreams.
type race struct {
	f       *forwarder
	ctx     context.Context
	query   []byte
	plan    []netip.AddrPort // who is to be asked still, in order
	asked   map[netip.AddrPort]context.CancelFunc
	settled map[netip.AddrPort]bool
	results chan attempt
	asking  sync.WaitGroup
}

// attempt is what came of asking one server once.
type attempt struct {
	server netip.AddrPort
	reply  *relayed
	err    error
}

// resolve asks the servers in strict order: the next one is asked only when those
// before it are silent, unreachable or say that they could not find out. All of them
// get a second packet, in case the first was lost. The first real answer counts, whoever it is from.
func (f *forwarder) resolve(ctx context.Context, servers []netip.AddrPort, query []byte) *relayed {
	ctx, cancel := context.WithTimeout(ctx, f.pace.total)
	order := f.health.order(servers)
	r := &race{
		f: f, ctx: ctx, query: query, plan: slices.Concat(order, order),
		asked:   make(map[netip.AddrPort]context.CancelFunc),
		settled: make(map[netip.AddrPort]bool),
		results: make(chan attempt, 2*len(order)),
	}
	reply := r.run()
	// Those that are still silent are listened to until their time is over: a late
	// answer tells that they live.
	f.running.Go(func() { r.asking.Wait(); cancel() })
	if reply == nil {
		return f.failure(query, servers)
	}
	return reply
}

func (r *race) run() *relayed {
	var second *relayed // from one that could not find out
	next := time.NewTimer(0)
	defer next.Stop()
	for len(r.plan) > 0 || len(r.asked) > len(r.settled) {
		select {
		case <-r.ctx.Done():
			if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
				r.blameSilent()
			}
			return second
		case <-next.C:
			if server, ok := r.ask(); ok {
				next.Reset(r.f.patience(server))
			}
		case a := <-r.results:
			if r.settled[a.server] {
				continue
			}
			r.settled[a.server] = true
			r.asked[a.server]()
			switch {
			case a.err != nil:
				r.f.health.failed(a.server)
			case isConclusive(a.reply.rcode):
				r.blameSilent()
				return a.reply
			case second == nil:
				second = a.reply
			}
			next.Reset(0)
		}
	}
	return second
}

// ask puts the question to the next server that has not settled it.
func (r *race) ask() (netip.AddrPort, bool) {
	for len(r.plan) > 0 {
		server := r.plan[0]
		r.plan = r.plan[1:]
		if r.settled[server] {
			continue
		}
		ctx, cancel := context.WithCancel(r.ctx)
		if first, again := r.asked[server]; again {
			r.asked[server] = func() { first(); cancel() }
		} else {
			r.asked[server] = cancel
		}
		r.asking.Go(func() {
			reply, err := r.f.exchange(ctx, server, r.query)
			if err == nil {
				r.f.health.answered(server)
			}
			r.results <- attempt{server, reply, err}
		})
		return server, true
	}
	return netip.AddrPort{}, false
}

// blameSilent notes who was asked and has not answered.
func (r *race) blameSilent() {
	for server := range r.asked {
		if !r.settled[server] {
			r.f.health.failed(server)
		}
	}
}

func (f *forwarder) patience(server netip.AddrPort) time.Duration {
	if f.health.isSuspect(server) {
		return f.pace.suspect
	}
	return f.pace.patience
}
