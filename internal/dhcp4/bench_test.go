package dhcp4

import (
	"context"
	"io"
	"testing"

	"berth/internal/ipam"
)

// sink is a tap that counts what is sent.
type sink struct{ frames, bytes int }

func (s *sink) Read([]byte) (int, error) { return 0, io.EOF }
func (s *sink) Close() error             { return nil }
func (s *sink) Write(b []byte) (int, error) {
	s.frames++
	s.bytes += len(b)
	return len(b), nil
}

// bare is a port with no goroutine, whose replies go to a sink.
func bare(book Book) (*port, *sink) {
	n := testNetwork()
	ports := &plugs{sources: map[int]Source{}}
	for i := 1; i <= 3; i++ {
		ports.set(i, "c"+string(rune('0'+i)), mac(byte(i)))
	}
	s := NewServer(n, book, ports, Options{PortRate: -1})
	bridge := bridgeMAC
	s.mac.Store(&bridge)
	p, out := s.newPort(1, "veth1"), &sink{}
	p.out.Store(&tapRef{out})
	return p, out
}

// answerNow does all that happens between a frame and its reply.
func (p *port) answerNow(x *exchange, frame []byte) {
	n := copy(x.in[:], frame)
	if p.decide(context.Background(), x, n) {
		p.finish(context.Background(), x)
	}
}

// typical is what systemd-networkd sends.
func typical() client {
	return guest(1, withText(optHostname, "c1"), withOption(optClientID, 0xff, 1, 2, 3, 4, 0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4, 5, 6, 7, 8),
		withOption(optMaxSize, 5, 192), withOption(optParameterList, 1, 3, 6, 12, 15, 33, 42, 120, 121))
}

func TestAnsweringAllocatesNothing(t *testing.T) {
	n := testNetwork()
	book := newBook(n)
	book.lease(ipam.ByName("c1"), "10.0.0.150")
	p, out := bare(book)
	x := new(exchange)
	tests := []struct {
		name    string
		frame   []byte
		replies bool
	}{
		{"DISCOVER", typical().discover(), true},
		{"INFORM", typical().unicast(inform, "10.0.0.150"), true},
		{"options in pieces and in three fields", guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, overloaded([]byte{53, 1, 1, 52, 1, 3, 61, 1, 1, 255}, []byte{61, 1, 2, 255}, []byte{61, 1, 3, 255})), true},
		{"a message for another server", typical().selecting("10.0.0.150", withAddr(optServerID, "10.0.0.2")), false},
		{"truncated options", guest(1).frame("0.0.0.0", "255.255.255.255", everyMAC, raw(53, 1, 1, 61, 9)), false},
		{"forged relay information", typical().discover(withOption(optRelay, 1, 1, 'x')), false},
		{"a release that is not one's own", typical().release("10.0.0.7"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.answerNow(x, tt.frame) // grows what is used again
			before := out.frames
			if got := testing.AllocsPerRun(100, func() { p.answerNow(x, tt.frame) }); got != 0 {
				t.Errorf("%v allocations", got)
			}
			if replied := out.frames > before; replied != tt.replies {
				t.Errorf("replied %t, want %t", replied, tt.replies)
			}
		})
	}
}

func BenchmarkDiscover(b *testing.B) {
	p, out := bare(newBook(testNetwork()))
	x, frame := new(exchange), typical().discover()
	b.ReportAllocs()
	for b.Loop() {
		p.answerNow(x, frame)
	}
	if out.frames < b.N {
		b.Fatalf("%d replies to %d requests", out.frames, b.N)
	}
}

func BenchmarkRenew(b *testing.B) {
	book := newBook(testNetwork())
	book.lease(ipam.ByName("c1"), "10.0.0.150")
	p, out := bare(book)
	x, frame := new(exchange), typical().renewing("10.0.0.150")
	b.ReportAllocs()
	for b.Loop() {
		p.answerNow(x, frame)
	}
	if out.frames < b.N {
		b.Fatalf("%d replies to %d requests", out.frames, b.N)
	}
}

// BenchmarkCodec is the part of it that is ours alone: read the frame, write the reply.
func BenchmarkCodec(b *testing.B) {
	var q query
	var r reply
	n, frame, out := testNetwork(), typical().discover(), make([]byte, frameSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := q.parse(frame); err != nil {
			b.Fatal(err)
		}
		r.compose(&q, n, &decision{reply: offer}, offered, n.LeaseTime)
		size := r.write(out[headersLen:], &q)
		seal(out, size, bridgeMAC, n.Gateway, address{mac(1), offered.Addr, clientPort})
	}
}
