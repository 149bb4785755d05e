package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	codec "github.com/miekg/dns"
)

// handleNow handles bytes that need no upstream.
func handleNow(t testing.TB, s *Server, from asker, wire []byte) []byte {
	t.Helper()
	reply, pending := s.handle(from, wire, func([]byte) {})
	if pending {
		t.Fatalf("%x is sent upstream", wire)
	}
	return reply
}

func packed(t testing.TB, m *codec.Msg) []byte {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func TestMessagesThatAreNoQueries(t *testing.T) {
	s := newTestServer(t, Options{})
	good := packed(t, newQuery("cent01.lxd.", codec.TypeA))
	change := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	tests := []struct {
		name string
		wire []byte
		want int // rcode, -1 for silence
	}{
		{"empty", nil, -1},
		{"shorter than a header", good[:11], -1},
		{"an answer", change(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		{"an answer with an unknown opcode", change(func(b []byte) []byte { b[2] = 0xa8; return b }), -1},
		{"header only, one question claimed", good[:12], codec.RcodeFormatError},
		{"cut in the name", good[:16], codec.RcodeFormatError},
		{"cut in the type", good[:25], codec.RcodeFormatError},
		{"no question", change(func(b []byte) []byte { b[5] = 0; return b[:12] }), codec.RcodeFormatError},
		{"RFC 9619: two questions", change(func(b []byte) []byte { b[5] = 2; return b }), codec.RcodeFormatError},
		{"name that points at itself", change(func(b []byte) []byte { b[12], b[13] = 0xc0, 12; return b }), codec.RcodeFormatError},
		{"reserved label type", change(func(b []byte) []byte { b[12] = 0x80; return b }), codec.RcodeFormatError},
		{"opcode STATUS", change(func(b []byte) []byte { b[2] = 2 << 3; return b }), codec.RcodeNotImplemented},
		{"opcode NOTIFY", change(func(b []byte) []byte { b[2] = 4 << 3; return b }), codec.RcodeNotImplemented},
		{"opcode UPDATE", change(func(b []byte) []byte { b[2] = 5 << 3; return b }), codec.RcodeNotImplemented},
		{"opcode 15", change(func(b []byte) []byte { b[2] = 15 << 3; return b }), codec.RcodeNotImplemented},
		{"bytes after the message", append(append([]byte(nil), good...), 1, 2, 3), codec.RcodeSuccess},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply := handleNow(t, s, guestAsks, tt.wire)
			if tt.want < 0 {
				if reply != nil {
					t.Fatalf("answered with %x, want silence", reply)
				}
				return
			}
			if len(reply) < headerSize || int(reply[3]&15) != tt.want {
				t.Fatalf("answer %x, want rcode %d", reply, tt.want)
			}
			if reply[2]&0x80 == 0 || reply[2]>>3&15 != tt.wire[2]>>3&15 || string(reply[:2]) != string(tt.wire[:2]) {
				t.Errorf("answer %x lacks QR, the opcode or the id of %x", reply[:4], tt.wire[:4])
			}
		})
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	s := newTestServer(t, Options{})
	tests := []struct {
		name          string
		qtype, qclass uint16
		want          int
	}{
		{"version.bind.", codec.TypeTXT, codec.ClassCHAOS, codec.RcodeRefused},
		{"cent01.lxd.", codec.TypeA, codec.ClassHESIOD, codec.RcodeNotImplemented},
		{"cent01.lxd.", codec.TypeA, codec.ClassANY, codec.RcodeNotImplemented},
		{"lxd.", codec.TypeAXFR, codec.ClassINET, codec.RcodeRefused},
		{"lxd.", codec.TypeIXFR, codec.ClassINET, codec.RcodeRefused},
		{"example.com.", codec.TypeAXFR, codec.ClassINET, codec.RcodeRefused},
		{"lxd.", codec.TypeTKEY, codec.ClassINET, codec.RcodeNotImplemented},
	}
	for _, tt := range tests {
		m := newQuery(tt.name, tt.qtype)
		m.Question[0].Qclass = tt.qclass
		if got := askAs(t, s, guestAsks, m); got.Rcode != tt.want || got.IsEdns0() == nil {
			t.Errorf("%s class %d type %d: rcode %d (OPT %v), want %d with OPT", tt.name, tt.qclass, tt.qtype, got.Rcode, got.IsEdns0(), tt.want)
		}
	}
}

func TestOnlyTheNetworkAndTheHostAreServed(t *testing.T) {
	s := newTestServer(t, Options{})
	for addr, served := range map[string]bool{
		"10.64.177.9": true, "10.64.177.1": true, "127.0.0.1": true, "::ffff:10.64.177.9": true,
		"10.0.3.9": false, "192.0.2.7": false, "10.64.178.1": false, "2001:db8::1": false,
	} {
		from := asker{network: "lxdbr0", addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 4000)}
		got := askAs(t, s, from, newQuery("cent01.lxd.", codec.TypeA)).Rcode
		if (got == codec.RcodeSuccess) != served || !served && got != codec.RcodeRefused {
			t.Errorf("asked from %s: %s, served should be %v", addr, codec.RcodeToString[got], served)
		}
	}
	from := guestAsks
	from.addr = netip.AddrPortFrom(from.addr.Addr(), 0)
	if reply := handleNow(t, s, from, packed(t, newQuery("cent01.lxd.", codec.TypeA))); reply != nil {
		t.Error("port 0 can not be answered")
	}
}

func TestHeaderBitsOfALocalAnswer(t *testing.T) {
	s := newTestServer(t, Options{})
	m := newQuery("cent01.lxd.", codec.TypeA)
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = false, true, true
	r := askAs(t, s, guestAsks, m)
	if r.RecursionDesired || !r.CheckingDisabled || r.AuthenticatedData || !r.RecursionAvailable || !r.Authoritative || r.Truncated {
		t.Errorf("want RA, AA and CD alone:\n%s", r)
	}
}

func TestEDNS(t *testing.T) {
	s := newTestServer(t, Options{})
	t.Run("RFC 6891 §7: no OPT for who sent none", func(t *testing.T) {
		if r := askAs(t, s, guestAsks, new(codec.Msg).SetQuestion("cent01.lxd.", codec.TypeA)); len(r.Extra) != 0 {
			t.Errorf("answer has\n%s", r)
		}
	})
	t.Run("§6.1.1: OPT back with our size and their DO", func(t *testing.T) {
		m := newQuery("cent01.lxd.", codec.TypeA)
		m.IsEdns0().SetDo()
		opt := askAs(t, s, guestAsks, m).IsEdns0()
		if opt == nil || opt.UDPSize() != 1232 || !opt.Do() || opt.Version() != 0 || len(opt.Option) != 0 {
			t.Errorf("OPT is %v", opt)
		}
	})
	t.Run("§6.1.2: unknown options are ignored", func(t *testing.T) {
		m := newQuery("cent01.lxd.", codec.TypeA)
		m.IsEdns0().Option = []codec.EDNS0{&codec.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}}
		if r := askAs(t, s, guestAsks, m); oneLine(r) != "NOERROR 10.64.177.101" || len(r.IsEdns0().Option) != 0 {
			t.Errorf("answer is\n%s", r)
		}
	})
	t.Run("§6.1.3: BADVERS", func(t *testing.T) {
		m := newQuery("cent01.lxd.", codec.TypeA)
		m.IsEdns0().SetVersion(1)
		r := askAs(t, s, guestAsks, m)
		if r.Rcode != codec.RcodeBadVers || len(r.Answer) != 0 || r.IsEdns0().Version() != 0 {
			t.Errorf("answer is\n%s", r)
		}
	})
	t.Run("§6.1.1: two OPT are a format error", func(t *testing.T) {
		m := newQuery("cent01.lxd.", codec.TypeA)
		m.Extra = append(m.Extra, m.Extra[0])
		if r := handleNow(t, s, guestAsks, packed(t, m)); r[3]&15 != codec.RcodeFormatError {
			t.Errorf("answer is %x", r)
		}
	})
	t.Run("sizes below 512 mean 512", func(t *testing.T) {
		m := newQuery("cent01.lxd.", codec.TypeA)
		m.IsEdns0().SetUDPSize(0)
		if r := askAs(t, s, guestAsks, m); oneLine(r) != "NOERROR 10.64.177.101" {
			t.Errorf("answer is\n%s", r)
		}
	})
}

func TestTruncationOfLocalAnswers(t *testing.T) {
	b := newBook()
	var addrs []string
	for i := range 200 {
		addrs = append(addrs, fmt.Sprintf("10.64.177.%d", i+2))
	}
	b.set("lxdbr0", "many", addrs...)
	s := newTestServer(t, Options{Names: b})
	plain := new(codec.Msg).SetQuestion("many.lxd.", codec.TypeA)
	large := newQuery("many.lxd.", codec.TypeA)
	large.IsEdns0().SetUDPSize(65000)
	for name, tt := range map[string]struct {
		query  *codec.Msg
		stream bool
		limit  int
		whole  bool
	}{
		"512 without EDNS":          {plain, false, 512, false},
		"1232 whatever is offered":  {large, false, 1232, false},
		"TCP, without EDNS":         {plain, true, 65535, true},
		"TCP, EDNS size is for UDP": {newQuery("many.lxd.", codec.TypeA), true, 65535, true},
	} {
		t.Run(name, func(t *testing.T) {
			from := guestAsks
			from.stream = tt.stream
			reply := handleNow(t, s, from, packed(t, tt.query))
			var r codec.Msg
			if err := r.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			if len(reply) > tt.limit || r.Truncated == tt.whole || tt.whole != (len(r.Answer) == 200) {
				t.Errorf("%d octets, TC %v, %d records; want at most %d, TC %v", len(reply), r.Truncated, len(r.Answer), tt.limit, !tt.whole)
			}
			if (tt.query.IsEdns0() != nil) != (r.IsEdns0() != nil) {
				t.Error("truncation must keep OPT")
			}
		})
	}
}

func TestNameThatIsTooLongWithItsDomain(t *testing.T) {
	b := newBook()
	label := strings.Repeat("a", 63)
	for i, want := range map[int]string{
		57: "NOERROR " + strings.Join([]string{label, label, label, label[:57], "lxd."}, "."), // 253 octets, RFC 1035 §2.3.4
		58: "NXDOMAIN [SOA 177.64.10.in-addr.arpa.]",
	} {
		b.ptrs[netip.MustParseAddr("10.64.177.77")] = [2]string{strings.Join([]string{label, label, label, label[:i]}, "."), "lxdbr0"}
		s := newTestServer(t, Options{Names: b})
		if got := oneLine(ask(t, s, "77.177.64.10.in-addr.arpa.", codec.TypePTR)); got != want {
			t.Errorf("last label of %d octets: %s", i, got)
		}
	}
}

// FuzzHandle sends arbitrary bytes: whatever they are, an answer is one to them, is
// well formed and keeps to its size.
func FuzzHandle(f *testing.F) {
	for _, m := range []*codec.Msg{
		newQuery("cent01.lxd.", codec.TypeA), newQuery("lxd.", codec.TypeSOA), newQuery("1.0.0.127.in-addr.arpa.", codec.TypePTR),
		newQuery("example.com.", codec.TypeHTTPS), new(codec.Msg).SetAxfr("lxd."), newQuery(`a\.b\000.lxd.`, codec.TypeANY),
	} {
		f.Add(packed(f, m))
	}
	s := newTestServer(f, Options{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		reply, pending := s.handle(guestAsks, wire, func([]byte) {})
		switch {
		case pending:
			t.Fatal("sent upstream, where there is none")
		case reply == nil:
			if len(wire) >= headerSize && wire[2]&0x80 == 0 {
				t.Fatal("a query is met with silence")
			}
			return
		}
		if string(reply[:2]) != string(wire[:2]) || reply[2]&0x80 == 0 || len(reply) > ednsSize {
			t.Fatalf("no proper answer: %x", reply)
		}
		var r codec.Msg
		if err := r.Unpack(reply); err != nil {
			t.Fatalf("answer %x: %v", reply, err)
		}
		var q codec.Msg
		if len(r.Question) == 1 && (q.Unpack(wire) != nil || r.Question[0] != q.Question[0]) {
			t.Fatalf("the question of %x is not that of %x", reply, wire)
		}
	})
}

func BenchmarkLocalA(b *testing.B) {
	s := newTestServer(b, Options{})
	wire := packed(b, newQuery("cent01.lxd.", codec.TypeA))
	b.ReportAllocs()
	for b.Loop() {
		if reply, _ := s.handle(guestAsks, wire, nil); len(reply) < 40 {
			b.Fatal("no answer")
		}
	}
}
