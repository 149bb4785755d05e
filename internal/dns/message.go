package dns

import (
	"encoding/binary"
	"net/netip"
	"strings"

	codec "github.com/miekg/dns"
)

const (
	headerSize = 12
	plainSize  = 512   // what a client without EDNS can take over UDP (RFC 1035 §2.3.4)
	ednsSize   = 1232  // never fragmented (RFC 9715 §3)
	streamSize = 65535 // over TCP
)

// asker is where a query came from.
type asker struct {
	network string // whose gateway's address was asked
	addr    netip.AddrPort
	stream  bool // over TCP
}

// query is a question together with what its answer must echo.
type query struct {
	msg  codec.Msg
	edns *codec.OPT // nil: the client does not speak EDNS
	size int        // the longest answer it takes
}

// handle answers one message. The answer is nil when the message deserves silence,
// or when an upstream resolver must be asked first: then pending is true, and later is
// called once with the answer, from another goroutine.
func (s *Server) handle(from asker, wire []byte, later func([]byte)) (reply []byte, pending bool) {
	if len(wire) < headerSize || wire[2]&0x80 != 0 || from.addr.Port() == 0 {
		s.counters.dropped.Add(1)
		return nil, false // never an answer to an answer
	}
	s.counters.queries.Add(1)
	v := s.view.Load()
	n := v.network(from.network)
	if n == nil || !s.mayAsk(n, from.addr.Addr()) {
		s.counters.refused.Add(1)
		return bareReply(wire, codec.RcodeRefused), false
	}
	if opcode := wire[2] >> 3 & 15; opcode != codec.OpcodeQuery {
		return bareReply(wire, codec.RcodeNotImplemented), false
	}
	q, rcode := readQuery(wire, from.stream)
	if q == nil {
		return bareReply(wire, rcode), false
	}
	if rcode == codec.RcodeSuccess {
		rcode = refusal(q.msg.Question[0])
	}
	if rcode != codec.RcodeSuccess {
		return q.reply(answer{rcode: rcode}, false, nil), false
	}
	asked := q.msg.Question[0]
	lq := question{name: canonical(asked.Name), asked: asked.Name, qtype: asked.Qtype, network: n}
	if a, ok := v.local(s.names, lq); ok {
		s.counters.local.Add(1)
		if src := from.addr.Addr().Unmap(); v.gateways[src] || !n.subnet.Contains(src) {
			a.forgetAtOnce()
		}
		return q.reply(a, true, nil), false
	}
	reply = s.relay(v, lq, q, from, later)
	return reply, reply == nil
}

// mayAsk reports whether the server serves the address: berth is no open resolver.
func (s *Server) mayAsk(n *network, a netip.Addr) bool {
	a = a.Unmap()
	return n.subnet.Contains(a) || a.IsLoopback() || s.host.has(a)
}

// readQuery parses a query. With a nil query nothing more than the header can be
// echoed; an rcode other than success is the answer.
func readQuery(wire []byte, stream bool) (*query, int) {
	if binary.BigEndian.Uint16(wire[4:]) != 1 {
		return nil, codec.RcodeFormatError // RFC 9619 §4
	}
	q := &query{size: plainSize}
	if err := q.msg.Unpack(wire); err != nil || len(q.msg.Question) != 1 {
		return nil, codec.RcodeFormatError
	}
	for _, rr := range q.msg.Extra {
		opt, ok := rr.(*codec.OPT)
		switch {
		case !ok:
		case q.edns != nil || opt.Hdr.Name != ".":
			return nil, codec.RcodeFormatError // RFC 6891 §6.1.1
		default:
			q.edns = opt
		}
	}
	if q.edns != nil {
		q.size = min(max(int(q.edns.UDPSize()), plainSize), ednsSize)
	}
	if stream {
		q.size = streamSize
	}
	if q.edns != nil && q.edns.Version() != 0 {
		return q, codec.RcodeBadVers // RFC 6891 §6.1.3
	}
	return q, codec.RcodeSuccess
}

// refusal is the rcode for questions that are neither answered nor passed on.
func refusal(q codec.Question) int {
	switch {
	case q.Qclass == codec.ClassCHAOS:
		return codec.RcodeRefused // the server's version is nobody's business
	case q.Qclass != codec.ClassINET:
		return codec.RcodeNotImplemented
	}
	switch q.Qtype {
	case codec.TypeAXFR, codec.TypeIXFR:
		return codec.RcodeRefused
	case codec.TypeNone, codec.TypeOPT, codec.TypeTSIG, codec.TypeTKEY, codec.TypeMAILA, codec.TypeMAILB:
		return codec.RcodeNotImplemented
	}
	return codec.RcodeSuccess
}

// canonical is a name in lower case without the final dot. A label with an escaped
// octet in it, which no guest has, becomes a lone backslash, so that a dot
// inside a label never looks like one between labels.
func canonical(name string) string {
	if strings.IndexByte(name, '\\') >= 0 {
		labels := codec.SplitDomainName(name)
		for i, l := range labels {
			if strings.IndexByte(l, '\\') >= 0 {
				labels[i] = `\`
			}
		}
		name = strings.Join(labels, ".")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// extended is an Extended DNS Error (RFC 8914).
type extended struct {
	code uint16
	text string
}

// reply packs an answer of our own.
func (q *query) reply(a answer, authoritative bool, ede *extended) []byte {
	r := codec.Msg{
		MsgHdr: codec.MsgHdr{
			Id: q.msg.Id, Response: true, Authoritative: authoritative,
			RecursionDesired: q.msg.RecursionDesired, RecursionAvailable: true,
			CheckingDisabled: q.msg.CheckingDisabled, // RFC 4035 §3.2.2
			Rcode:            a.rcode,
		},
		Compress: true,
		Question: q.msg.Question,
		Answer:   a.records,
		Extra:    a.glue,
	}
	if a.soa != nil {
		r.Ns = []codec.RR{a.soa}
	}
	if q.edns != nil {
		r.Extra = append(r.Extra, q.opt(ede))
	}
	if len(a.records) > 1 {
		r.Truncate(q.size) // what is shorter fits in any answer
	}
	wire, err := r.Pack()
	if err == nil {
		return wire
	}
	// A name too long for a message: the ledger's, never the client's.
	r.Rcode, r.Answer, r.Ns, r.Extra = codec.RcodeServerFailure, nil, nil, nil
	wire, err = r.Pack()
	if err != nil {
		return nil
	}
	return wire
}

// opt is the OPT record of an answer (RFC 6891 §6.1.1): ours, not the client's.
func (q *query) opt(ede *extended) *codec.OPT {
	o := &codec.OPT{Hdr: codec.RR_Header{Name: ".", Rrtype: codec.TypeOPT}}
	o.SetUDPSize(ednsSize)
	if q.edns.Do() {
		o.SetDo()
	}
	if ede != nil {
		o.Option = []codec.EDNS0{&codec.EDNS0_EDE{InfoCode: ede.code, ExtraText: ede.text}}
	}
	return o
}

// bareReply answers with a header only, for messages not worth reading.
func bareReply(wire []byte, rcode int) []byte {
	r := make([]byte, headerSize)
	copy(r, wire[:2])
	r[2] = 0x80 | wire[2]&0x79 // QR, the opcode and RD as they came
	r[3] = byte(rcode)
	return r
}
