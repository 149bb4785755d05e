package dhcp4

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// seeds are messages of every kind, and the shapes that broke other codecs.
func seeds(f *testing.F) {
	c := typical()
	for _, m := range [][]byte{
		c.message(discover), c.message(request, withAddr(optRequested, "10.0.0.150")), c.message(decline), c.message(release), c.message(inform),
		c.message(discover, withOption(optRapidCommit), withOption(optNonce, 1), withOption(optFQDN, 1, 0, 0, 'x')),
		c.message(discover, withGiaddr("10.0.0.5"), withOption(optRelay, 5, 4, 10, 0, 0, 0, 11, 4, 10, 0, 0, 5)),
		raw(), raw(255), raw(0), raw(53), raw(53, 1), raw(53, 1, 1, 61, 0, 61, 0, 255), raw(52, 1, 3, 53, 1, 1, 255),
		overloaded([]byte{52, 1, 3, 61, 1, 1, 255}, []byte{61, 1, 2, 52, 1, 3, 255}, []byte{61, 1, 3, 255}),
		raw(bytes.Repeat([]byte{61, 255}, 700)...), raw(bytes.Repeat([]byte{12, 0}, 700)...),
	} {
		f.Add(m)
	}
}

// FuzzMessage compares what this parser reads with what the reference reads. The reference knows no
// overload, so that only messages without it are compared byte for byte.
func FuzzMessage(f *testing.F) {
	seeds(f)
	var m message
	f.Fuzz(func(t *testing.T, b []byte) {
		if m.parse(b) != nil {
			return
		}
		d, err := dhcpv4.FromBytes(b)
		if err != nil {
			// The reference wants the end option, and refuses an htype that it does not know.
			if bytes.IndexByte(b[atOptions:], optEnd) >= 0 && m.hlen() <= 16 && !m.has(optOverload) && endsProperly(b[atOptions:]) {
				t.Fatalf("the reference refuses it: %v", err)
			}
			return
		}
		if m.xid() != binary.BigEndian.Uint32(d.TransactionID[:]) || int(m.op()) != int(d.OpCode) || m.hops() != d.HopCount || m.broadcast() != d.IsBroadcast() {
			t.Errorf("header differs: %s", d.Summary())
		}
		for _, a := range []struct {
			ours netip.Addr
			want []byte
		}{{m.ciaddr(), d.ClientIPAddr.To4()}, {m.giaddr(), d.GatewayIPAddr.To4()}} {
			if a.ours != addrFrom(a.want) {
				t.Errorf("address %s, the reference reads %v", a.ours, a.want)
			}
		}
		if m.has(optOverload) {
			return
		}
		for code := 1; code < optEnd; code++ {
			ours, sent := m.option(byte(code))
			want, there := d.Options[uint8(code)]
			if sent != there || !bytes.Equal(ours, want) {
				t.Errorf("option %d: %x (sent: %t), the reference reads %x (%t)", code, ours, sent, want, there)
			}
		}
	})
}

// endsProperly reports whether an end option comes at a place where an option begins, with nothing but pads behind it.
func endsProperly(b []byte) bool {
	for i := 0; i < len(b); {
		switch b[i] {
		case optPad:
			i++
		case optEnd:
			return len(bytes.Trim(b[i+1:], "\x00")) == 0
		default:
			if i+1 >= len(b) {
				return false
			}
			i += 2 + int(b[i+1])
		}
	}
	return false
}

// FuzzAnswer sends any message through the whole server. Whatever it is, a reply is one that the reference
// can read, answers that very question, comes out of the port it came in at, and promises only what is the client's.
func FuzzAnswer(f *testing.F) {
	c := typical()
	f.Add(c.message(discover), uint8(0))
	f.Add(c.message(request, withAddr(optRequested, "10.0.0.150"), withAddr(optServerID, "10.0.0.1")), uint8(0))
	f.Add(c.message(request, withAddr(optRequested, "10.0.0.7")), uint8(1))
	f.Add(c.message(request, withCiaddr("10.0.0.150")), uint8(2))
	f.Add(c.message(inform, withCiaddr("10.0.0.150")), uint8(3))
	f.Add(c.message(discover, withGiaddr("10.0.0.5"), withOption(optRelay, 5, 4, 10, 0, 0, 0, 11, 4, 10, 0, 0, 5)), uint8(0))
	f.Add(c.message(request, withCiaddr("10.0.0.9"), withOption(optNonce, 1), withOption(optFQDN, 5, 0, 0, 1, 'x', 0)), uint8(6))
	f.Fuzz(func(t *testing.T, m []byte, how uint8) {
		if len(m) > ethernet-ipLen-udpLen {
			return
		}
		book := newBook(testNetwork())
		victim := ipam.ByName("c2")
		book.lease(victim, "10.0.0.160")
		if how&1 != 0 {
			book.lease(ipam.ByName("c1"), "10.0.0.150")
		}
		if how&2 != 0 {
			book.pin(ipam.ByName("c1"), "10.0.0.50")
		}
		p, _ := bare(book)
		out := &collector{}
		p.out.Store(&tapRef{out})
		x := new(exchange)
		dst := "255.255.255.255"
		if how&4 != 0 {
			dst = "10.0.0.1"
		}
		start := time.Now()
		p.s.opts.Now = func() time.Time { return start.Add(time.Hour) } // every delay is over
		p.answerNow(x, rawFrame(mac(1), everyMAC, "0.0.0.0", dst, clientPort, serverPort, m))
		for _, b := range out.frames {
			if err := checkFrame(b); err != nil {
				t.Fatal(err)
			}
			d, err := dhcpv4.FromBytes(b[headersLen:])
			if err != nil {
				t.Fatalf("the reference can not read the reply: %v", err)
			}
			if !bytes.Equal(d.TransactionID[:], m[4:8]) || d.OpCode != dhcpv4.OpcodeBootReply {
				t.Errorf("the reply is to another question: %s", d.Summary())
			}
			if len(b)-ethernetLen > max(minMaxSize, x.query.maxSize) {
				t.Errorf("%d bytes, the client takes %d", len(b)-ethernetLen, x.query.maxSize)
			}
			if a := addrFrom(d.YourIPAddr.To4()); a == addr("10.0.0.160") || a.IsValid() && testNetwork().Refuse(a) != nil {
				t.Errorf("yiaddr %s is not the client's to have", a)
			}
			if d.MessageType() == dhcpv4.MessageTypeNak && !d.YourIPAddr.IsUnspecified() {
				t.Errorf("NAK with yiaddr %s", d.YourIPAddr)
			}
			if id, sent := x.query.option(optClientID); sent && len(id) < 100 && !bytes.Equal(d.Options.Get(dhcpv4.OptionClientIdentifier), id) {
				t.Errorf("option 61 %x came back as %x", id, d.Options.Get(dhcpv4.OptionClientIdentifier))
			}
		}
		if r := book.get(victim); r.addr != addr("10.0.0.160") || r.idle {
			t.Errorf("the neighbour's lease became %+v", r)
		}
		if _, gone := book.quarantine[addr("10.0.0.160")]; gone {
			t.Error("the neighbour's address is out of use")
		}
	})
}

// collector is a tap that keeps what is sent.
type collector struct {
	sink
	frames [][]byte
}

func (c *collector) Write(b []byte) (int, error) {
	c.frames = append(c.frames, bytes.Clone(b))
	return len(b), nil
}

// FuzzReply has the reference read any options that we wrote, for a client that takes any size.
func FuzzReply(f *testing.F) {
	f.Add(uint8(119), bytes.Repeat([]byte("x"), 300), uint8(43), []byte("y"), uint16(1472), []byte{1, 3, 6})
	f.Add(uint8(121), []byte{24, 192, 168, 7, 10, 0, 0, 9}, uint8(3), []byte{}, uint16(0), []byte{121, 3})
	f.Add(uint8(224), bytes.Repeat([]byte("x"), 270), uint8(225), bytes.Repeat([]byte("y"), 120), uint16(576), []byte{})
	f.Fuzz(func(t *testing.T, c1 uint8, v1 []byte, c2 uint8, v2 []byte, size uint16, list []byte) {
		if c1 == c2 || len(list) > 100 {
			return
		}
		n := testNetwork()
		n.Options = []ipam.Option{{Code: c1, Data: v1}, {Code: c2, Data: v2}}
		m, dropped := composed(t, guest(1).discover(withOption(optMaxSize, byte(size>>8), byte(size)), withOption(optParameterList, list...)), n, decision{reply: offer}, offered)
		if len(m) < minMessage || len(m) > min(max(int(size), minMaxSize), ethernet)-ipLen-udpLen {
			t.Fatalf("%d bytes for a client that takes %d", len(m), size)
		}
		d, err := dhcpv4.FromBytes(m)
		if err != nil {
			t.Fatalf("the reference can not read it: %v", err)
		}
		var back message
		if err := back.parse(m); err != nil {
			t.Fatalf("we can not read it: %v", err)
		}
		if d.IPAddressLeaseTime(0) != time.Hour || d.ServerIdentifier().String() != "10.0.0.1" {
			t.Errorf("lease time or server identifier is gone: %s", d.Summary())
		}
		for _, o := range n.Options {
			own := isOwn(o.Code) || o.Code == optRoutes || o.Code == optRoutesMS // decided, or completed, by us
			wanted := len(list) == 0 || bytes.IndexByte(list, o.Code) >= 0 || o.Code == optMask
			if got, sent := back.option(o.Code); !own && dropped == 0 && wanted && len(o.Data) > 0 && (!sent || !bytes.Equal(got, o.Data)) {
				t.Errorf("option %d: %x came back as %x", o.Code, o.Data, got)
			}
		}
	})
}
