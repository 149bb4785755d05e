package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	codec "github.com/miekg/dns"
)

// upstream is a resolver in this process that answers as its function says, over UDP
// and TCP on the same port.
type upstream struct {
	addr  netip.AddrPort
	udp   *net.UDPConn
	asked atomic.Int32 // over UDP
	tcp   atomic.Int32

	mu      sync.Mutex
	queries []*codec.Msg
	ports   map[uint16]bool
}

// newUpstream starts one. answer may return nil for silence; stream says that the
// query came over TCP.
func newUpstream(t testing.TB, answer func(q *codec.Msg, stream bool) *codec.Msg) *upstream {
	t.Helper()
	return newRawUpstream(t, func(wire []byte, stream bool) [][]byte {
		q := new(codec.Msg)
		if q.Unpack(wire) != nil {
			return nil
		}
		r := answer(q, stream)
		if r == nil {
			return nil
		}
		out, err := r.Pack()
		if err != nil {
			t.Error(err)
		}
		return [][]byte{out}
	})
}

func newRawUpstream(t testing.TB, answer func(wire []byte, stream bool) [][]byte) *upstream {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := tcp.Addr().(*net.TCPAddr).AddrPort()
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: addr, udp: udp, ports: make(map[uint16]bool)}
	var running sync.WaitGroup
	t.Cleanup(func() { tcp.Close(); udp.Close(); running.Wait() })
	running.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			u.asked.Add(1)
			u.note(buf[:n], from.Port())
			for _, reply := range answer(buf[:n], false) {
				udp.WriteToUDPAddrPort(reply, from)
			}
		}
	})
	running.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				for {
					wire, err := readFramed(conn)
					if err != nil {
						return
					}
					u.tcp.Add(1)
					for _, reply := range answer(wire, true) {
						writeFramed(conn, reply)
					}
				}
			})
		}
	})
	return u
}

func (u *upstream) note(wire []byte, port uint16) {
	q := new(codec.Msg)
	if q.Unpack(wire) != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queries = append(u.queries, q)
	u.ports[port] = true
}

// seen is the queries that came over UDP.
func (u *upstream) seen() []*codec.Msg {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*codec.Msg(nil), u.queries...)
}

// says answers every query with the given records, and OPT when there is one.
func says(rcode int, records ...string) func(*codec.Msg, bool) *codec.Msg {
	return func(q *codec.Msg, _ bool) *codec.Msg {
		r := new(codec.Msg).SetRcode(q, rcode)
		r.RecursionAvailable = true
		for _, text := range records {
			rr, err := codec.NewRR(text)
			if err != nil {
				panic(err)
			}
			if rr.Header().Rrtype == codec.TypeSOA && q.Question[0].Qtype != codec.TypeSOA {
				r.Ns = append(r.Ns, rr)
				continue
			}
			r.Answer = append(r.Answer, rr)
		}
		if q.IsEdns0() != nil {
			r.SetEdns0(4096, q.IsEdns0().Do())
		}
		return r
	}
}

func silent(*codec.Msg, bool) *codec.Msg { return nil }

// clock is a time that only tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time           { return time.Unix(1_000_000, 0).Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(by time.Duration) { c.offset.Add(int64(by)) }

// newForwardingServer asks the given upstreams, patient for as long as the test's pace says.
func newForwardingServer(t testing.TB, c *clock, p pace, servers ...netip.AddrPort) *Server {
	t.Helper()
	n := lxdbr0()
	n.Upstream = append([]netip.AddrPort{}, servers...) // nil would mean the host's
	s := newTestServer(t, Options{Now: c.now}, n)
	s.forward.pace = p
	ctx, cancel := context.WithCancel(context.Background())
	s.forward.open(ctx)
	t.Cleanup(func() { cancel(); s.forward.wait() })
	return s
}

var (
	patient = pace{total: 30 * time.Second, patience: 20 * time.Second, suspect: 20 * time.Second, tcp: 10 * time.Second}
	hasty   = pace{total: 400 * time.Millisecond, patience: 40 * time.Millisecond, suspect: 20 * time.Millisecond, tcp: 300 * time.Millisecond}
)

const exampleA = "example.com. 300 IN A 192.0.2.80"

func TestForwardedAnswerAndItsCache(t *testing.T) {
	u := newUpstream(t, says(codec.RcodeSuccess, exampleA))
	c := &clock{}
	s := newForwardingServer(t, c, patient, u.addr)
	m := ask(t, s, "Example.COM.", codec.TypeA)
	if oneLine(m) != "NOERROR 192.0.2.80" || m.Authoritative || !m.RecursionAvailable || m.Question[0].Name != "Example.COM." {
		t.Fatalf("answer is\n%s", m)
	}
	if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != 1232 {
		t.Errorf("OPT must be ours, is %v", opt)
	}
	c.advance(100 * time.Second)
	m = askAs(t, s, guestAsks, new(codec.Msg).SetQuestion("eXAMPLE.com.", codec.TypeA))
	if m.Answer[0].Header().Ttl != 200 || m.Question[0].Name != "eXAMPLE.com." || m.IsEdns0() != nil {
		t.Errorf("from the cache after 100 s:\n%s", m)
	}
	if n := u.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times, want once", n)
	}
	c.advance(200 * time.Second)
	ask(t, s, "example.com.", codec.TypeA)
	if n := u.asked.Load(); n != 2 {
		t.Errorf("upstream was asked %d times, want again once the TTL is over", n)
	}
}

func TestWhatMakesAnotherQuestion(t *testing.T) {
	u := newUpstream(t, says(codec.RcodeSuccess, exampleA, "example.com. 900 IN SOA ns.example.com. a.example.com. 1 2 3 4 60"))
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	for _, change := range []func(*codec.Msg){
		func(*codec.Msg) {},
		func(m *codec.Msg) { m.CheckingDisabled = true },
		func(m *codec.Msg) { m.AuthenticatedData = true },
		func(m *codec.Msg) { m.RecursionDesired = false },
		func(m *codec.Msg) { m.IsEdns0().SetDo() },
		func(m *codec.Msg) { m.Question[0].Qtype = codec.TypeHTTPS },
	} {
		m := newQuery("example.com.", codec.TypeA)
		change(m)
		for range 2 {
			askAs(t, s, guestAsks, m)
		}
		seen := u.seen()
		last := seen[len(seen)-1]
		if last.CheckingDisabled != m.CheckingDisabled || last.AuthenticatedData != m.AuthenticatedData ||
			last.RecursionDesired != m.RecursionDesired || last.IsEdns0().Do() != m.IsEdns0().Do() {
			t.Errorf("upstream saw other flags than\n%s\nnamely\n%s", m, last)
		}
	}
	if n := u.asked.Load(); n != 6 {
		t.Errorf("upstream was asked %d times, want once for each of six", n)
	}
}

func TestNegativeCaching(t *testing.T) {
	const soa = "example.com. 900 IN SOA ns.example.com. a.example.com. 1 2 3 4 60"
	tests := []struct {
		name   string
		answer func(*codec.Msg, bool) *codec.Msg
		keep   time.Duration
	}{
		{"RFC 2308 §5: the SOA's minimum", says(codec.RcodeNameError, soa), 60 * time.Second},
		{"NODATA", says(codec.RcodeSuccess, soa), 60 * time.Second},
		{"RFC 2308 §5: no SOA, not kept", says(codec.RcodeNameError), 0},
		{"NODATA without SOA, not kept", says(codec.RcodeSuccess), 0},
		{"alias to nothing", says(codec.RcodeSuccess, "example.com. 30 IN CNAME other.example.com.", soa), 30 * time.Second},
		{"the SOA's own TTL when that is shorter", says(codec.RcodeNameError, strings.Replace(soa, "900", "5", 1)), 5 * time.Second},
		{"capped", says(codec.RcodeNameError, "example.com. 90000 IN SOA ns.example.com. a.example.com. 1 2 3 4 80000"), longestNegative},
		{"positive, capped", says(codec.RcodeSuccess, "example.com. 900000 IN A 192.0.2.1"), longestPositive},
		{"positive, the shortest TTL", says(codec.RcodeSuccess, exampleA, "example.com. 7 IN A 192.0.2.81"), 7 * time.Second},
		{"TTL 0", says(codec.RcodeSuccess, "example.com. 0 IN A 192.0.2.1"), 0},
		{"RFC 9520: SERVFAIL", says(codec.RcodeServerFailure), failureMemory},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t, tt.answer)
			c := &clock{}
			s := newForwardingServer(t, c, patient, u.addr)
			want := int32(1)
			check := func(when string) {
				t.Helper()
				ask(t, s, "example.com.", codec.TypeA)
				if got := u.asked.Load(); got != want {
					t.Errorf("%s: upstream was asked %d times, want %d", when, got, want)
				}
			}
			check("at first")
			if tt.keep > 0 {
				c.advance(tt.keep - time.Second)
				check("just before the end")
				c.advance(time.Second)
			}
			want++
			check("after the end")
		})
	}
}

func TestLocalNamesAreNeverCachedNorSentUpstream(t *testing.T) {
	u := newUpstream(t, says(codec.RcodeSuccess, exampleA))
	b := newBook()
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	s.names = b
	for _, name := range []string{
		"cent01.lxd.", "nobody.lxd.", "cent01.", "nobody.", "lxd.", "localhost.", "x.invalid.", "x.test.", "x.local.", "x.onion.", "x.alt.",
		"x.home.arpa.", "5.177.64.10.in-addr.arpa.", "1.1.1.10.in-addr.arpa.", "1.1.168.192.in-addr.arpa.", "b._dns-sd._udp.0.177.64.10.in-addr.arpa.",
	} {
		for _, qtype := range []uint16{codec.TypeA, codec.TypeAAAA, codec.TypePTR, codec.TypeTXT, codec.TypeSRV, codec.TypeHTTPS, codec.TypeANY} {
			ask(t, s, name, qtype)
		}
	}
	if n := u.asked.Load(); n != 0 {
		t.Errorf("upstream was asked %d times: %v", n, u.seen()[0].Question)
	}
	if n := s.forward.cache.size(); n != 0 {
		t.Errorf("the cache holds %d entries", n)
	}
	b.set("lxdbr0", "cent01", "10.64.177.202")
	if got := oneLine(ask(t, s, "cent01.lxd.", codec.TypeA)); got != "NOERROR 10.64.177.202" {
		t.Errorf("after a move: %s", got)
	}
}

func TestInternalGoesToPrivateResolversOnly(t *testing.T) {
	u := newUpstream(t, says(codec.RcodeSuccess, "metadata.google.internal. 60 IN A 169.254.169.254"))
	s := newForwardingServer(t, &clock{}, patient, netip.MustParseAddrPort("192.0.2.53:53"), u.addr)
	if got := oneLine(ask(t, s, "metadata.google.internal.", codec.TypeA)); got != "NOERROR 169.254.169.254" {
		t.Errorf("answer is %s, want the private resolver's", got)
	}
}

func TestVerbatimRelay(t *testing.T) {
	// An unknown type, unknown data, Z and AD set, names in capitals, odd compression.
	reply := func(wire []byte, _ bool) [][]byte {
		end := skipName(wire, headerSize) + 4
		out := append([]byte(nil), wire[:end]...)
		out[2], out[3] = 0x85, 0xf0 // QR AA RD, RA Z AD CD
		out[7], out[9], out[11] = 1, 0, 1
		out = append(out, 0xc0, 12, 0xff, 0x01, 0, 1, 0, 0, 1, 0, 0, 5, 'h', 'e', 0xc0, 'l', 0xff)
		return [][]byte{append(out, 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0)}
	}
	u := newRawUpstream(t, reply)
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	query := packed(t, new(codec.Msg).SetQuestion("example.com.", 0xff01))
	want := reply(query, false)[0]
	want = want[:len(want)-11]
	want[11] = 0
	for range 2 {
		later := make(chan []byte, 1)
		got, pending := s.handle(guestAsks, query, func(b []byte) { later <- b })
		if pending {
			got = <-later
		}
		if string(got) != string(want) {
			t.Errorf("relayed\n%x\nwant\n%x", got, want)
		}
	}
}

func TestOPTInTheMiddleIsTakenOut(t *testing.T) {
	u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg {
		r := says(codec.RcodeSuccess, exampleA)(q, false)
		glue, _ := codec.NewRR("ns.example.com. 60 IN A 192.0.2.1")
		r.Extra = append(r.Extra, glue)
		return r
	})
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	m := askAs(t, s, guestAsks, new(codec.Msg).SetQuestion("example.com.", codec.TypeA))
	if oneLine(m) != "NOERROR 192.0.2.80" || len(m.Extra) != 1 || m.Extra[0].Header().Name != "ns.example.com." {
		t.Errorf("answer is\n%s", m)
	}
}

func TestTruncatedIsRepeatedOverTCP(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("example.com. 300 IN A 192.0.2.%d", i))
	}
	full := says(codec.RcodeSuccess, many...)
	u := newUpstream(t, func(q *codec.Msg, stream bool) *codec.Msg {
		r := full(q, stream)
		if !stream {
			r.Answer, r.Truncated = nil, true
		}
		return r
	})
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	if m := ask(t, s, "example.com.", codec.TypeA); !m.Truncated || len(m.Answer) != 0 || m.IsEdns0() == nil {
		t.Errorf("over UDP, want TC:\n%s", m)
	}
	from := guestAsks
	from.stream = true
	if m := askAs(t, s, from, newQuery("example.com.", codec.TypeA)); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("over TCP: TC %v, %d records", m.Truncated, len(m.Answer))
	}
	if u.asked.Load() != 1 || u.tcp.Load() != 1 {
		t.Errorf("asked %d times over UDP and %d over TCP, want one each", u.asked.Load(), u.tcp.Load())
	}
}

func TestForgeriesAreIgnored(t *testing.T) {
	evil := func(q *codec.Msg) *codec.Msg {
		return says(codec.RcodeSuccess, "example.com. 300 IN A 203.0.113.66")(q, false)
	}
	tests := []struct {
		name  string
		forge func(q *codec.Msg) *codec.Msg
	}{
		{"RFC 5452 §9.1: another id", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Id++; return r }},
		{"another name", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Question[0].Name = "example.net."; return r }},
		{"another type", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Question[0].Qtype = 33; return r }},
		{"a type that only differs by case", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Question[0].Qtype = 1 | 0x20; return r }},
		{"another class", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Question[0].Qclass = 3; return r }},
		{"no question", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Question = nil; return r }},
		{"a query", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Response = false; return r }},
		{"another opcode", func(q *codec.Msg) *codec.Msg { r := evil(q); r.Opcode = codec.OpcodeNotify; return r }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newRawUpstream(t, func(wire []byte, _ bool) [][]byte {
				q := new(codec.Msg)
				if err := q.Unpack(wire); err != nil {
					t.Error(err)
				}
				truth := packed(t, says(codec.RcodeSuccess, exampleA)(q, false))
				return [][]byte{{1}, packed(t, tt.forge(q.Copy())), truth}
			})
			s := newForwardingServer(t, &clock{}, patient, u.addr)
			if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "NOERROR 192.0.2.80" {
				t.Errorf("answer is %s", got)
			}
		})
	}
	t.Run("who guesses too often is asked over TCP", func(t *testing.T) {
		u := newRawUpstream(t, func(wire []byte, stream bool) [][]byte {
			if stream {
				q := new(codec.Msg)
				if err := q.Unpack(wire); err != nil {
					t.Error(err)
				}
				return [][]byte{packed(t, says(codec.RcodeSuccess, exampleA)(q, true))}
			}
			return make([][]byte, 2*maxStrays)
		})
		s := newForwardingServer(t, &clock{}, patient, u.addr)
		if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "NOERROR 192.0.2.80" || u.tcp.Load() != 1 {
			t.Errorf("answer is %s, %d times asked over TCP", got, u.tcp.Load())
		}
	})
}

func TestEveryQueryHasItsOwnIdAndPort(t *testing.T) {
	u := newUpstream(t, says(codec.RcodeNameError))
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	ids := make(map[uint16]bool)
	for i := range 64 {
		ask(t, s, fmt.Sprintf("h%d.example.com.", i), codec.TypeA)
	}
	for _, q := range u.seen() {
		ids[q.Id] = true
	}
	// A repetition or two can happen by chance; fixed ones can not.
	if len(ids) < 60 || len(u.ports) < 50 {
		t.Errorf("64 queries had %d ids and %d ports", len(ids), len(u.ports))
	}
}

func TestStrictOrder(t *testing.T) {
	good := says(codec.RcodeSuccess, exampleA)
	tests := []struct {
		name   string
		first  func(*codec.Msg, bool) *codec.Msg
		want   string
		second int32 // how often the second is asked
	}{
		{"the first answers", says(codec.RcodeSuccess, "example.com. 60 IN A 192.0.2.1"), "NOERROR 192.0.2.1", 0},
		{"NXDOMAIN is an answer", says(codec.RcodeNameError), "NXDOMAIN", 0},
		{"silence", silent, "NOERROR 192.0.2.80", 1},
		{"SERVFAIL", says(codec.RcodeServerFailure), "NOERROR 192.0.2.80", 1},
		{"REFUSED", says(codec.RcodeRefused), "NOERROR 192.0.2.80", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, second := newUpstream(t, tt.first), newUpstream(t, good)
			p := patient
			if tt.name == "silence" {
				p.patience = 10 * time.Millisecond
			}
			s := newForwardingServer(t, &clock{}, p, first.addr, second.addr)
			if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != tt.want {
				t.Errorf("answer is %s, want %s", got, tt.want)
			}
			if n := second.asked.Load(); n != tt.second {
				t.Errorf("the second was asked %d times, want %d", n, tt.second)
			}
		})
	}
	t.Run("nobody listens there", func(t *testing.T) {
		gone := newUpstream(t, good)
		gone.udp.Close()
		second := newUpstream(t, good)
		s := newForwardingServer(t, &clock{}, patient, gone.addr, second.addr)
		if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "NOERROR 192.0.2.80" {
			t.Errorf("answer is %s: a closed port must not cost the time of a silent server", got)
		}
	})
	t.Run("all say that they can not: the first one's words", func(t *testing.T) {
		first, second := newUpstream(t, says(codec.RcodeRefused)), newUpstream(t, says(codec.RcodeServerFailure))
		s := newForwardingServer(t, &clock{}, patient, first.addr, second.addr)
		if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "REFUSED" {
			t.Errorf("answer is %s", got)
		}
	})
	t.Run("a lost packet is sent again", func(t *testing.T) {
		var n atomic.Int32
		u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg {
			if n.Add(1) == 1 {
				return nil
			}
			return good(q, false)
		})
		p := patient
		p.patience = 10 * time.Millisecond
		s := newForwardingServer(t, &clock{}, p, u.addr)
		if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "NOERROR 192.0.2.80" {
			t.Errorf("answer is %s", got)
		}
	})
}

func TestEDNSIsLeftOutForWhoDoesNotKnowIt(t *testing.T) {
	u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg {
		if q.IsEdns0() != nil {
			return new(codec.Msg).SetRcode(q, codec.RcodeFormatError)
		}
		return says(codec.RcodeSuccess, exampleA)(q, false)
	})
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	if got := oneLine(ask(t, s, "example.com.", codec.TypeA)); got != "NOERROR 192.0.2.80" {
		t.Errorf("answer is %s", got)
	}
}

func TestADeadFirstUpstreamCostsItsTimeTwiceOnly(t *testing.T) {
	dead, good := newUpstream(t, silent), newUpstream(t, says(codec.RcodeNameError))
	c := &clock{}
	p := patient
	p.patience = 30 * time.Millisecond
	s := newForwardingServer(t, c, p, dead.addr, good.addr)
	names := 0
	next := func() { ask(t, s, fmt.Sprintf("h%d.example.com.", names), codec.TypeA); names++ }
	for range 10 {
		next()
	}
	if n := dead.asked.Load(); n != 2 {
		t.Errorf("the dead one was asked %d times for 10 questions, want 2", n)
	}
	if s.forward.health.failing(dead.addr).IsZero() || !s.forward.health.failing(good.addr).IsZero() {
		t.Error("status does not tell which upstream fails")
	}
	c.advance(shortestAvoidance)
	s.forward.pace.suspect = 10 * time.Millisecond
	next()
	if n := dead.asked.Load(); n != 3 {
		t.Errorf("the dead one was asked %d times, want one probe after the avoidance", n)
	}
}

func TestNoUpstreamAnswersServfailThatSaysSo(t *testing.T) {
	ede := func(m *codec.Msg) string {
		t.Helper()
		opt := m.IsEdns0()
		if m.Rcode != codec.RcodeServerFailure || opt == nil || len(opt.Option) != 1 {
			t.Fatalf("want SERVFAIL with an extended error:\n%s", m)
		}
		return opt.Option[0].String()
	}
	t.Run("silent", func(t *testing.T) {
		u := newUpstream(t, silent)
		s := newForwardingServer(t, &clock{}, hasty, u.addr)
		if got := ede(ask(t, s, "example.com.", codec.TypeA)); !strings.Contains(got, "no answer from 127.0.0.1") {
			t.Errorf("extended error %q", got)
		}
		if u.asked.Load() != 2 {
			t.Errorf("asked %d times, want 2", u.asked.Load())
		}
		ask(t, s, "example.com.", codec.TypeA)
		if u.asked.Load() != 2 {
			t.Error("RFC 9520 §3.2: the failure is not remembered")
		}
		if m := askAs(t, s, guestAsks, new(codec.Msg).SetQuestion("example.com.", codec.TypeA)); m.Rcode != codec.RcodeServerFailure || m.IsEdns0() != nil {
			t.Errorf("without EDNS:\n%s", m)
		}
	})
	t.Run("none configured", func(t *testing.T) {
		s := newForwardingServer(t, &clock{}, hasty)
		if got := ede(ask(t, s, "example.com.", codec.TypeA)); !strings.Contains(got, "upstream") {
			t.Errorf("extended error %q", got)
		}
	})
	t.Run("only ourselves", func(t *testing.T) {
		s := newForwardingServer(t, &clock{}, hasty, netip.MustParseAddrPort("10.64.177.1:53"))
		if got := ede(ask(t, s, "example.com.", codec.TypeA)); !strings.Contains(got, "no upstream resolver") {
			t.Errorf("extended error %q", got)
		}
	})
	t.Run("garbage", func(t *testing.T) {
		u := newRawUpstream(t, func(wire []byte, _ bool) [][]byte {
			end := skipName(wire, headerSize) + 4
			out := append([]byte(nil), wire[:end]...)
			out[2] |= 0x80
			out[7], out[11] = 9, 0
			return [][]byte{out}
		})
		s := newForwardingServer(t, &clock{}, hasty, u.addr)
		ede(ask(t, s, "example.com.", codec.TypeA))
	})
	t.Run("the upstream's own extended error passes", func(t *testing.T) {
		u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg {
			r := says(codec.RcodeServerFailure)(q, false)
			r.IsEdns0().Option = []codec.EDNS0{&codec.EDNS0_EDE{InfoCode: codec.ExtendedErrorCodeDNSBogus, ExtraText: "bad signature"}}
			return r
		})
		s := newForwardingServer(t, &clock{}, patient, u.addr)
		if got := ede(ask(t, s, "example.com.", codec.TypeA)); !strings.Contains(got, "bad signature") {
			t.Errorf("extended error %q", got)
		}
	})
}

func TestQuestionsInFlightAreShared(t *testing.T) {
	release := make(chan struct{})
	u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg { <-release; return says(codec.RcodeSuccess, exampleA)(q, false) })
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	replies := make(chan []byte, 20)
	for i := range 20 {
		m := newQuery([]string{"example.com.", "EXAMPLE.com."}[i%2], codec.TypeA)
		if _, pending := s.handle(guestAsks, packed(t, m), func(b []byte) { replies <- b }); !pending {
			t.Fatal("answered at once")
		}
	}
	if got := oneLine(ask(t, s, "cent01.lxd.", codec.TypeA)); got != "NOERROR 10.64.177.101" {
		t.Errorf("a local name while upstream is slow: %s", got)
	}
	close(release)
	for range 20 {
		var r codec.Msg
		if err := r.Unpack(<-replies); err != nil || oneLine(&r) != "NOERROR 192.0.2.80" {
			t.Fatalf("%v\n%v", err, r)
		}
	}
	if n := u.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times for 20 clients", n)
	}
}

func TestLimitsOfOpenQuestions(t *testing.T) {
	u := newUpstream(t, silent)
	s := newForwardingServer(t, &clock{}, patient, u.addr)
	send := func(client string, i int) (*codec.Msg, bool) {
		from := asker{network: "lxdbr0", addr: netip.AddrPortFrom(netip.MustParseAddr(client), 4000)}
		reply, pending := s.handle(from, packed(t, newQuery(fmt.Sprintf("h%d.example.com.", i), codec.TypeA)), func([]byte) {})
		if pending {
			return nil, true
		}
		r := new(codec.Msg)
		if err := r.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		return r, false
	}
	for i := range perClient {
		if _, pending := send("10.64.177.9", i); !pending {
			t.Fatalf("question %d is refused", i)
		}
	}
	if r, pending := send("10.64.177.9", perClient); pending || r.Rcode != codec.RcodeServerFailure {
		t.Errorf("one client has more than %d questions open", perClient)
	}
	if _, pending := send("10.64.177.10", perClient); !pending {
		t.Error("one client's questions keep another's out")
	}
	for i := perClient + 1; i < maxCalls; i++ {
		if _, pending := send(fmt.Sprintf("10.64.177.%d", 20+i/perClient), i); !pending {
			t.Fatalf("question %d is refused", i)
		}
	}
	if r, pending := send("10.64.177.200", maxCalls); pending || r.Rcode != codec.RcodeServerFailure {
		t.Errorf("more than %d questions are open", maxCalls)
	}
}

func TestHostResolvers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		// By rename, as resolvconf and NetworkManager do it.
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := &clock{}
	r := &resolvConf{now: c.now, path: filepath.Join(dir, "resolv.conf"), behindStub: filepath.Join(dir, "behind")}
	n := lxdbr0()
	n.Upstream = nil
	s := newTestServer(t, Options{Now: c.now}, n)
	s.resolv = r
	check := func(name, want string) {
		t.Helper()
		c.advance(checkEvery)
		v := s.view.Load()
		servers, lack := s.upstreams(v, question{network: v.networks[0]})
		if got := strings.TrimSpace(routeOf(servers)); got != want || (lack == nil) == (want == "") {
			t.Errorf("%s: %q (%v), want %q", name, got, lack, want)
		}
	}
	check("no file", "")
	write("resolv.conf", "# c\nsearch lxd\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver fe80::1%eth0\nnameserver x\noptions edns0\nnameserver 0.0.0.0\n")
	check("in order", "192.0.2.1:53 [2001:db8::1]:53 [fe80::1%eth0]:53")
	write("behind", "nameserver 10.64.177.1\nnameserver 192.0.2.7\n")
	write("resolv.conf", "nameserver 127.0.0.53\n")
	check("the stub, which asks us too", "192.0.2.7:53")
	write("resolv.conf", "nameserver 10.64.177.1\n")
	check("our own address", "192.0.2.7:53")
	write("resolv.conf", "nameserver 127.0.0.1\nnameserver 10.64.177.1\nnameserver 192.0.2.9\n")
	check("a resolver on this host, ours after it", "127.0.0.1:53 192.0.2.9:53 192.0.2.7:53")
	write("resolv.conf", "")
	check("nothing in it", "")
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(3)
	at := time.Unix(1000, 0)
	entry := func(size int) *relayed {
		return &relayed{wire: make([]byte, size), stored: at, expires: at.Add(time.Minute)}
	}
	key := func(i int) cacheKey { return cacheKey{question: fmt.Sprint(i)} }
	for i := range 3 {
		c.put(key(i), entry(100))
	}
	c.get(key(0), at)
	c.put(key(3), entry(100))
	for i, kept := range []bool{true, false, true, true} {
		if got := c.get(key(i), at) != nil; got != kept {
			t.Errorf("entry %d kept is %v, want %v: the one not used longest goes", i, got, kept)
		}
	}
	if c.get(key(0), at.Add(time.Minute)) != nil || c.size() != 2 {
		t.Errorf("an entry whose time is over stays; size %d", c.size())
	}
	large := newCache(1 << 20)
	for i := range 400 {
		large.put(key(i), entry(60_000))
	}
	if large.bytes > maxCacheBytes || large.size() < 200 {
		t.Errorf("%d entries with %d octets", large.size(), large.bytes)
	}
	for e := large.recent.Front(); e != nil; e = large.recent.Front() {
		large.dropLocked(e)
	}
	if large.bytes != 0 {
		t.Errorf("an empty cache counts %d octets", large.bytes)
	}
}

func TestHealthBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &health{now: time.Now, servers: make(map[netip.AddrPort]*record)}
		a, b := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53")
		avoided := func() bool { return h.order([]netip.AddrPort{a, b})[0] == b }
		h.failed(a)
		if avoided() || h.isSuspect(a) {
			t.Error("one failure must not change the order")
		}
		for i, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
			h.failed(a)
			h.failed(a) // of a question that was open at the same time
			time.Sleep(want - 1)
			if !avoided() {
				t.Errorf("failure %d: not avoided for %s", i+2, want)
			}
			time.Sleep(time.Nanosecond)
			if avoided() {
				t.Errorf("failure %d: avoided for longer than %s", i+2, want)
			}
		}
		h.answered(a)
		if h.isSuspect(a) || !h.failing(a).IsZero() {
			t.Error("an answer does not clear the record")
		}
	})
}

// FuzzRelayed takes whatever an upstream may send apart and renders it.
func FuzzRelayed(f *testing.F) {
	q := new(codec.Msg).SetQuestion("example.com.", codec.TypeA)
	f.Add(packed(f, says(codec.RcodeSuccess, exampleA)(newQuery("example.com.", codec.TypeA), false)))
	f.Add(packed(f, says(codec.RcodeNameError, "example.com. 900 IN SOA ns.example.com. a.example.com. 1 2 3 4 60")(q, false)))
	at := time.Unix(1000, 0)
	sent := packed(f, q)
	asked := sent[headerSize:]
	f.Fuzz(func(t *testing.T, wire []byte) {
		if !isAnswerTo(sent, wire) || binary.BigEndian.Uint16(wire[4:]) != 1 {
			return
		}
		r, err := newRelayed(append([]byte(nil), wire...), at)
		if err != nil {
			return
		}
		for _, edns := range []*codec.OPT{nil, newQuery("example.com.", codec.TypeA).IsEdns0()} {
			out := r.render(&query{msg: *q, edns: edns, size: ednsSize}, asked, at.Add(time.Hour))
			if len(out) > ednsSize+512 || binary.BigEndian.Uint16(out) != q.Id {
				t.Fatalf("rendered as %x", out)
			}
			if _, err := readOutline(out); err != nil {
				t.Fatalf("what is relayed does not parse: %x\nfrom %x", out, wire)
			}
		}
	})
}
