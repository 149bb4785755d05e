package dns

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	codec "github.com/miekg/dns"
)

const (
	maxCalls  = 512 // questions that upstreams are being asked, at most
	perClient = 128 // of which one address waits for, at most
)

// forwarder asks upstream resolvers and remembers what they said. Clients that ask
// the same at the same time share one question.
type forwarder struct {
	now    func() time.Time
	cache  *cache
	health *health
	pace   pace

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	calls   map[cacheKey]*call
	waiting map[netip.Addr]int
	running sync.WaitGroup
}

// call is a question that upstreams are being asked, and who waits for the answer.
type call struct{ waiters []waiter }

type waiter struct {
	client  netip.Addr
	deliver func(*relayed) // must not block
}

func newForwarder(now func() time.Time, c *cache) *forwarder {
	return &forwarder{
		now: now, cache: c, pace: defaultPace,
		health:  &health{now: now, servers: make(map[netip.AddrPort]*record)},
		calls:   make(map[cacheKey]*call),
		waiting: make(map[netip.Addr]int),
	}
}

// open lets questions out until ctx ends.
func (f *forwarder) open(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctx = ctx
}

// wait returns when no question is open any more; its context must have ended.
func (f *forwarder) wait() {
	f.mu.Lock()
	f.ctx = nil
	f.mu.Unlock()
	f.running.Wait()
}

// ask lets the waiter know the reply later. It reports false when too many questions are
// open already, in all or from this client.
func (f *forwarder) ask(k cacheKey, servers []netip.AddrPort, query []byte, w waiter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil || f.ctx.Err() != nil || f.waiting[w.client] >= perClient {
		return false
	}
	c := f.calls[k]
	if c == nil {
		if len(f.calls) >= maxCalls {
			return false
		}
		c = &call{}
		f.calls[k] = c
		ctx := f.ctx
		f.running.Go(func() { f.finish(k, c, f.resolve(ctx, servers, query)) })
	}
	c.waiters = append(c.waiters, w)
	f.waiting[w.client]++
	return true
}

// finish stores a reply and hands it to all that wait for it.
func (f *forwarder) finish(k cacheKey, c *call, r *relayed) {
	f.cache.put(k, r) // before the call is closed: whoever comes next finds one of the two
	f.mu.Lock()
	delete(f.calls, k)
	for _, w := range c.waiters {
		if f.waiting[w.client]--; f.waiting[w.client] <= 0 {
			delete(f.waiting, w.client)
		}
	}
	f.mu.Unlock()
	for _, w := range c.waiters {
		w.deliver(r)
	}
}

// relay answers from the cache or sends the question upstream.
func (s *Server) relay(v *view, lq question, q *query, from asker, later func([]byte)) []byte {
	servers, lack := s.upstreams(v, lq)
	if lack != nil {
		if isUnder(lq.name, privateName) {
			return q.reply(answerNothingBelow(lq, privateName), true, nil)
		}
		return q.reply(answer{rcode: codec.RcodeServerFailure}, false, lack)
	}
	asked, err := packQuestion(q.msg.Question[0])
	if err != nil {
		return q.reply(answer{rcode: codec.RcodeFormatError}, false, nil)
	}
	k := cacheKey{route: routeOf(servers), question: string(foldQuestion(asked)), flags: q.flags()}
	if r := s.forward.cache.get(k, s.now()); r != nil {
		s.counters.cached.Add(1)
		return r.render(q, asked, s.now())
	}
	query, err := upstreamQuery(q)
	if err != nil {
		return q.reply(answer{rcode: codec.RcodeFormatError}, false, nil)
	}
	s.counters.forwarded.Add(1)
	w := waiter{from.addr.Addr(), func(r *relayed) { later(r.render(q, asked, s.now())) }}
	if !s.forward.ask(k, servers, query, w) {
		s.counters.refused.Add(1)
		return q.reply(answer{rcode: codec.RcodeServerFailure}, false,
			&extended{codec.ExtendedErrorCodeNotReady, "too many questions are open"})
	}
	return nil
}

// upstreams are the servers to ask, in order, or the reason why there are none.
func (s *Server) upstreams(v *view, q question) ([]netip.AddrPort, *extended) {
	servers, origin := q.network.upstream, "upstream of network "+q.network.name
	ours := func(a netip.AddrPort) bool { return a.Port() == s.port && v.gateways[a.Addr().Unmap()] }
	if servers == nil {
		origin = s.resolv.path
		var behindStub []netip.AddrPort
		servers, behindStub = s.resolv.servers()
		if slices.ContainsFunc(servers, ours) {
			behindStub = slices.DeleteFunc(slices.Clone(behindStub), func(a netip.AddrPort) bool { return slices.Contains(servers, a) })
			servers = slices.Concat(servers, behindStub)
		}
	}
	unfit := func(a netip.AddrPort) bool {
		// Never to ourselves: that would go round for ever.
		return ours(a) || isUnder(q.name, privateName) && !isPrivate(a.Addr())
	}
	if slices.ContainsFunc(servers, unfit) {
		servers = slices.DeleteFunc(slices.Clone(servers), unfit)
	}
	if len(servers) == 0 {
		return nil, &extended{codec.ExtendedErrorCodeNoReachableAuthority, "no upstream resolver: " + origin + " names none"}
	}
	return servers, nil
}

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

func routeOf(servers []netip.AddrPort) string {
	var b strings.Builder
	for _, a := range servers {
		b.WriteString(a.String())
		b.WriteByte(' ')
	}
	return b.String()
}

func foldQuestion(q []byte) []byte {
	folded := bytes.Clone(q)
	for i, c := range folded[:len(folded)-4] {
		folded[i] = lower(c)
	}
	return folded
}

func (q *query) flags() byte {
	var f byte
	if q.msg.RecursionDesired {
		f |= flagRD
	}
	if q.msg.AuthenticatedData {
		f |= flagAD
	}
	if q.msg.CheckingDisabled {
		f |= flagCD
	}
	if q.edns != nil && q.edns.Do() {
		f |= flagDO
	}
	return f
}

// upstreamQuery is the query that an upstream is sent. Its OPT record is always there and is ours:
// what the client and we say to each other about EDNS is another matter (RFC 6891 §6.2.6).
func upstreamQuery(q *query) ([]byte, error) {
	m := codec.Msg{
		MsgHdr: codec.MsgHdr{
			RecursionDesired:  q.msg.RecursionDesired,
			AuthenticatedData: q.msg.AuthenticatedData,
			CheckingDisabled:  q.msg.CheckingDisabled,
		},
		Question: q.msg.Question,
	}
	m.SetEdns0(ednsSize, q.edns != nil && q.edns.Do())
	return m.Pack()
}

// failure is the SERVFAIL that stands for upstreams that did not answer.
func (f *forwarder) failure(query []byte, servers []netip.AddrPort) *relayed {
	names := make([]string, len(servers))
	for i, a := range servers {
		names[i] = a.Addr().String()
	}
	text := fmt.Sprintf("no answer from %s", strings.Join(names, ", "))
	r := bareAnswer(query, codec.RcodeServerFailure, f.now())
	r.ede = appendEDE(nil, codec.ExtendedErrorCodeNetworkError, text[:min(len(text), 200)])
	r.expires = r.stored.Add(failureMemory)
	return r
}
