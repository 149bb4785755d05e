package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernel asks rtnetlink questions over one lasting socket in berth's own namespace.
// Interfaces of other namespaces are read from here too (IFLA_TARGET_NETNSID, since Linux
// 4.20): nothing of ours ever stays in a guest. Not safe for concurrent use.
type kernel struct {
	conn *netlink.Conn // nil before the first question and after trouble
}

// answerTime bounds one question; the kernel answers in microseconds.
const answerTime = 5 * time.Second

func (k *kernel) close() {
	if k.conn != nil {
		k.conn.Close()
		k.conn = nil
	}
}

// ask sends one request and hands each message of the answer to each, until that returns
// false. A refusal by the kernel is a unix.Errno in the error; after any other trouble the
// next question goes over a new socket, since late answers may still come on this one.
func (k *kernel) ask(typ netlink.HeaderType, flags netlink.HeaderFlags, head []byte, attrs func(*netlink.AttributeEncoder), each func(netlink.Message) bool) error {
	encoder := netlink.NewAttributeEncoder()
	attrs(encoder)
	body, err := encoder.Encode()
	if err != nil {
		return err
	}
	err = k.exchange(netlink.Message{
		Header: netlink.Header{Type: typ, Flags: netlink.Request | flags},
		Data:   append(head, body...),
	}, each)
	var errno unix.Errno
	if err != nil && (!errors.As(err, &errno) || errno == unix.ENOBUFS) {
		k.close()
	}
	return err
}

// exchange reads the answer as a stream: a guest decides how long some are.
func (k *kernel) exchange(question netlink.Message, each func(netlink.Message) bool) error {
	if k.conn == nil {
		conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Strict: true})
		if err != nil {
			return fmt.Errorf("open rtnetlink: %w", err)
		}
		k.conn = conn
	}
	if err := k.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	sent, err := k.conn.Send(question)
	if err != nil {
		return err
	}
	for message, err := range k.conn.ReceiveIter() {
		if err != nil {
			return err
		}
		if message.Header.Sequence != sent.Header.Sequence {
			return fmt.Errorf("rtnetlink answered another question: %w", errMalformed)
		}
		if !each(message) {
			return nil
		}
	}
	return nil
}

// isAbsent reports whether the kernel said that there is no such interface or namespace, or
// none that berth may look into.
func isAbsent(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

func interfaceHead(index int) []byte {
	head := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(head[4:], uint32(index))
	return head
}

const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS

// link reads one interface of berth's own namespace.
func (k *kernel) link(index int) (link, error) {
	return k.linkIn(noNamespace, index)
}

// linkIn reads one interface of the namespace numbered nsid.
func (k *kernel) linkIn(nsid, index int) (link, error) {
	found, err := k.oneLink(interfaceHead(index), func(e *netlink.AttributeEncoder) {
		e.Uint32(unix.IFLA_EXT_MASK, skipStatistics)
		if nsid != noNamespace {
			e.Int32(unix.IFLA_TARGET_NETNSID, int32(nsid))
		}
	})
	if err == nil && found.index != index {
		err = errMalformed
	}
	if err != nil {
		return link{}, fmt.Errorf("read interface %d: %w", index, err)
	}
	return found, nil
}

func (k *kernel) oneLink(head []byte, attrs func(*netlink.AttributeEncoder)) (link, error) {
	var found link
	err := k.ask(unix.RTM_GETLINK, 0, head, attrs, func(m netlink.Message) bool {
		if l, err := parseLink(m.Data); err == nil {
			found = l
		}
		return true
	})
	return found, err
}

// ports lists the interfaces enslaved to a bridge. What changes meanwhile can make the
// list incomplete (never wrong), so an absence from it proves nothing.
func (k *kernel) ports(bridge int) ([]link, error) {
	const tries = 5
	for try := 1; ; try++ {
		var ports []link
		interrupted := false
		err := k.ask(unix.RTM_GETLINK, netlink.Dump, interfaceHead(0), func(e *netlink.AttributeEncoder) {
			e.Uint32(unix.IFLA_EXT_MASK, skipStatistics)
			e.Uint32(unix.IFLA_MASTER, uint32(bridge))
		}, func(m netlink.Message) bool {
			interrupted = interrupted || m.Header.Flags&netlink.DumpInterrupted != 0
			if l, err := parseLink(m.Data); err == nil && l.master == bridge {
				ports = append(ports, l)
			}
			return true
		})
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("list the ports of interface %d: %w", bridge, err)
		}
		interrupted = interrupted || err != nil
		if !interrupted || try == tries {
			return ports, nil
		}
	}
}

// bridge finds a bridge's ifindex by name; 0 when there is none, or it is none.
func (k *kernel) bridge(name string) (int, error) {
	l, err := k.oneLink(interfaceHead(0), func(e *netlink.AttributeEncoder) {
		e.String(unix.IFLA_IFNAME, name)
	})
	if isAbsent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read bridge %s: %w", name, err)
	}
	if l.name != name || l.kind != "bridge" {
		return 0, nil
	}
	return l.index, nil
}

// nsid asks which number berth's namespace has for the one open as fd; noNamespace for none.
func (k *kernel) nsid(fd int) (int, error) {
	const head = 4 // struct rtgenmsg, padded
	number := noNamespace
	err := k.ask(unix.RTM_GETNSID, 0, make([]byte, head), func(e *netlink.AttributeEncoder) {
		e.Uint32(unix.NETNSA_FD, uint32(fd))
	}, func(m netlink.Message) bool {
		attrs, err := netlink.NewAttributeDecoder(m.Data[min(head, len(m.Data)):])
		for err == nil && attrs.Next() {
			if attrs.Type() == unix.NETNSA_NSID {
				number = int(attrs.Int32())
			}
		}
		return true
	})
	if err != nil {
		return noNamespace, fmt.Errorf("read a namespace's number: %w", err)
	}
	return number, nil
}

// maxAddresses bounds what is read of one interface: a guest may add any number.
const maxAddresses = 4096

// addresses lists the IPv4 addresses of an interface of the namespace numbered nsid.
func (k *kernel) addresses(nsid, index int) ([]netip.Prefix, error) {
	head := make([]byte, unix.SizeofIfAddrmsg)
	head[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(head[4:], uint32(index))
	var prefixes []netip.Prefix
	err := k.ask(unix.RTM_GETADDR, netlink.Dump, head, func(e *netlink.AttributeEncoder) {
		e.Int32(unix.IFA_TARGET_NETNSID, int32(nsid))
	}, func(m netlink.Message) bool {
		if p, ok := parseAddress(m.Data, index); ok {
			prefixes = append(prefixes, p)
		}
		return len(prefixes) < maxAddresses
	})
	if err != nil {
		return nil, fmt.Errorf("read the addresses of interface %d: %w", index, err)
	}
	return prefixes, nil
}
