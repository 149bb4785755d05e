package move

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// lan is a bridge as the host sees it: where answers are asked for, by the way that packets of the host
// will take, and where the host itself remembers who has which address. A packet socket: the
// bridge's own neighbour entries may be stale, and have no say in what is sent and heard here.
type lan struct {
	index int
	mac   ipam.MAC
	frame *os.File

	listening sync.WaitGroup

	mu    sync.Mutex
	asked map[netip.Addr][]*asking

	host struct {
		sync.Mutex
		*talk
	}
}

// asking is somebody who waits for an answer from mac.
type asking struct {
	lan      *lan
	addr     netip.Addr
	mac      ipam.MAC
	answered chan struct{}
}

// openLAN finds the bridge and starts to listen for ARP there. Close it with stop.
func openLAN(bridge string) (*lan, error) {
	t, err := openTalk(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	l := &lan{asked: make(map[netip.Addr][]*asking)}
	l.host.talk = t
	if err := l.find(bridge); err != nil {
		t.close()
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	l.frame = os.NewFile(uintptr(fd), bridge)
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	arp := uint16(unix.ETH_P_ARP>>8 | unix.ETH_P_ARP&0xff<<8)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: l.index}); err != nil {
		t.close()
		l.frame.Close()
		return nil, fmt.Errorf("listen on %s: %w", bridge, err)
	}
	l.listening.Go(l.listen)
	return l, nil
}

func (l *lan) find(bridge string) error {
	body := appendText(linkHead(0), unix.IFLA_IFNAME, bridge)
	return l.host.ask("find bridge "+bridge, unix.RTM_GETLINK, body, func(m message) {
		if len(m.body) < unix.SizeofIfInfomsg {
			return
		}
		l.index = int(binary.NativeEndian.Uint32(m.body[4:]))
		for a := range attributes(m.body[unix.SizeofIfInfomsg:]) {
			if a.typ == unix.IFLA_ADDRESS {
				l.mac = ipam.MACFrom(a.data)
			}
		}
	})
}

// stop ends the listening and leaves the socket, whose closing takes long, to the caller.
func (l *lan) stop() *os.File {
	_ = l.frame.SetReadDeadline(time.Unix(1, 0))
	l.listening.Wait()
	l.host.close()
	return l.frame
}

func (l *lan) listen() {
	buf := make([]byte, 256)
	for {
		n, err := l.frame.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			// ENETDOWN and the like are told once, and do not end the socket. Should one never end, no answer
			// comes either, and whoever waits for one gives up by himself.
			if !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.EINTR) {
				return
			}
			continue
		}
		if mac, addr, ok := parseReply(buf[:n], l.mac); ok {
			l.answer(addr, mac)
		}
	}
}

func (l *lan) answer(addr netip.Addr, mac ipam.MAC) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[addr] = slices.DeleteFunc(l.asked[addr], func(a *asking) bool {
		if a.mac != mac {
			return false
		}
		close(a.answered)
		return true
	})
	if len(l.asked[addr]) == 0 {
		delete(l.asked, addr)
	}
}

// ask asks who has addr; only an answer by mac counts. The first question goes to mac alone.
func (l *lan) ask(addr netip.Addr, mac ipam.MAC) *asking {
	a := &asking{lan: l, addr: addr, mac: mac, answered: make(chan struct{})}
	l.mu.Lock()
	l.asked[addr] = append(l.asked[addr], a)
	l.mu.Unlock()
	l.send(question(mac, l.mac, addr))
	return a
}

// send tries; what is lost is sent again by whoever waits for an answer.
func (l *lan) send(frame []byte) { _, _ = l.frame.Write(frame) }

var errNoAnswer = errors.New("no answer to ARP")

// wait waits for the answer until the deadline, and asks everyone again and again meanwhile.
func (a *asking) wait(deadline time.Time) error {
	defer a.forget()
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		left := time.Until(deadline)
		timer := time.NewTimer(min(pause, max(left, 0)))
		select {
		case <-a.answered:
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if left <= 0 {
			return errNoAnswer
		}
		a.lan.send(question(everyone(), a.lan.mac, a.addr))
	}
}

func (a *asking) forget() {
	a.lan.mu.Lock()
	defer a.lan.mu.Unlock()
	a.lan.asked[a.addr] = slices.DeleteFunc(a.lan.asked[a.addr], func(b *asking) bool { return b == a })
	if len(a.lan.asked[a.addr]) == 0 {
		delete(a.lan.asked, a.addr)
	}
}

// remember corrects what the host itself knows of the link: who has each address of here, and
// that nobody is known to have those of gone. It creates no entries, and trouble does no harm:
// the announcements say the same.
func (l *lan) remember(mac ipam.MAC, here, gone []netip.Addr) {
	var orders []order
	for _, a := range here {
		body := appendAttribute(l.neighbour(a, unix.NUD_STALE), unix.NDA_LLADDR, mac[:])
		orders = append(orders, order{typ: unix.RTM_NEWNEIGH, flags: unix.NLM_F_REPLACE, body: body})
	}
	for _, a := range gone {
		orders = append(orders, order{typ: unix.RTM_DELNEIGH, body: l.neighbour(a, 0)})
	}
	l.host.Lock()
	defer l.host.Unlock()
	_ = l.host.commit(orders)
}

func (l *lan) neighbour(a netip.Addr, state uint16) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(b[4:], uint32(l.index))
	binary.NativeEndian.PutUint16(b[8:], state)
	return appendAddr(b, unix.NDA_DST, a)
}
