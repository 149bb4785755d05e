package dns

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	codec "github.com/miekg/dns"
)

// isConclusive reports whether a server's answer is not worth asking the next one.
func isConclusive(rcode int) bool {
	return rcode != codec.RcodeServerFailure && rcode != codec.RcodeRefused &&
		rcode != codec.RcodeNotImplemented && rcode != codec.RcodeFormatError
}

// exchange asks one server: over UDP, over TCP when the answer does not fit, and
// without EDNS when the server does not know it (RFC 6891 §6.2.2).
func (f *forwarder) exchange(ctx context.Context, server netip.AddrPort, query []byte) (*relayed, error) {
	r, err := f.exchangeAs(ctx, server, query)
	if err == nil && (r.rcode == codec.RcodeFormatError || r.rcode == codec.RcodeNotImplemented) {
		plain := bytes.Clone(query[:len(query)-optSize])
		binary.BigEndian.PutUint16(plain[10:], 0)
		return f.exchangeAs(ctx, server, plain)
	}
	return r, err
}

const optSize = 11 // an OPT record without options, the last thing in a query

func (f *forwarder) exchangeAs(ctx context.Context, server netip.AddrPort, query []byte) (*relayed, error) {
	query = bytes.Clone(query)
	rand.Read(query[:2])
	wire, err := exchangeUDP(ctx, server, query)
	if err == nil && wire[2]&0x02 == 0 {
		return f.accept(wire, query)
	}
	if err != nil && !errors.Is(err, errStrays) {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.pace.tcp)
	defer cancel()
	full, tcpErr := exchangeTCP(ctx, server, query)
	switch {
	case tcpErr == nil:
		return f.accept(full, query)
	case err == nil:
		return f.accept(wire, query) // truncated as it is: better than nothing
	}
	return nil, tcpErr
}

func (f *forwarder) accept(wire, query []byte) (*relayed, error) {
	if binary.BigEndian.Uint16(wire[4:]) == 0 {
		return bareAnswer(query, int(wire[3]&15), f.now()), nil
	}
	return newRelayed(wire, f.now())
}

// bareAnswer is a reply with nothing but the question and an rcode.
func bareAnswer(query []byte, rcode int, now time.Time) *relayed {
	body := skipName(query, headerSize) + 4
	wire := bytes.Clone(query[:body])
	wire[2] |= 0x80
	wire[3] = wire[3]&0x10 | 0x80 | byte(rcode)
	clear(wire[6:headerSize])
	r := &relayed{wire: wire, body: body, rcode: rcode, stored: now, expires: now}
	if rcode == codec.RcodeServerFailure {
		r.expires = now.Add(failureMemory)
	}
	return r
}

func appendEDE(b []byte, code uint16, text string) []byte {
	b = binary.BigEndian.AppendUint16(b, codec.EDNS0EDE)
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(text)))
	b = binary.BigEndian.AppendUint16(b, code)
	return append(b, text...)
}

// maxStrays is how many packets that are no answer are taken for accidents. After
// that somebody is guessing, and the question is put over TCP.
const maxStrays = 16

var errStrays = errors.New("too many packets that are no answer")

// exchangeUDP sends the query from a port of its own, chosen by the kernel at random, and
// takes packets from that server only, as the socket is connected (RFC 5452 §9.2).
func exchangeUDP(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	buf := make([]byte, 4096)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		if isAnswerTo(query, buf[:n]) {
			return bytes.Clone(buf[:n]), nil
		}
	}
	return nil, errStrays
}

func exchangeTCP(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err := writeFramed(conn, query); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	reply, err := readFramed(conn)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", server, err)
	case !isAnswerTo(query, reply):
		return nil, fmt.Errorf("ask %s: the answer is to another question", server)
	}
	return reply, nil
}

// writeFramed sends one message with its length before it, in one segment (RFC 7766 §8).
func writeFramed(w io.Writer, msg []byte) error {
	b := make([]byte, 2, 2+len(msg))
	binary.BigEndian.PutUint16(b, uint16(len(msg)))
	_, err := w.Write(append(b, msg...))
	return err
}

func readFramed(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}
