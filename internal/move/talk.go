package move

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// talk is a netlink socket that stays in the namespace it was opened in. Direct system
// calls, blocking with a timeout: the kernel works off a request inside the send, so that its answers
// are there when the send returns. Not safe for concurrent use.
type talk struct {
	fd  int
	seq uint32
	buf []byte
}

const (
	answerTime = 200 * time.Millisecond // the kernel answers in microseconds
	dumpTime   = 500 * time.Millisecond // a guest decides how long a listing is
	dumpTries  = 5                      // a listing that a change interrupted may lack entries
	talkBuffer = 4 << 20                // room for the acknowledgements of the largest batch
)

// openTalk opens a netlink socket of the family in the calling thread's namespace.
func openTalk(family int) (*talk, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	timeout := unix.NsecToTimeval(answerTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// Each of these makes things better, none is needed: older kernels filter less and explain less.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, talkBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, talkBuffer)
	return &talk{fd: fd, buf: make([]byte, 32<<10)}, nil
}

func (t *talk) close() {
	if t != nil {
		unix.Close(t.fd)
	}
}

// order is one request of a batch.
type order struct {
	doing string // for the error
	typ   uint16
	flags uint16
	body  []byte
	allow []unix.Errno // refusals that are as good as done
}

// commit sends the orders in one piece and reads every acknowledgement. The kernel carries out
// the others even when one is refused; the error names the first that was.
func (t *talk) commit(orders []order) error {
	if len(orders) == 0 {
		return nil
	}
	var batch []byte
	first := t.seq + 1
	for _, o := range orders {
		t.seq++
		batch = appendMessage(batch, o.typ, o.flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK, t.seq, o.body)
	}
	if err := t.send(batch); err != nil {
		return err
	}
	var refused error
	for acked := 0; acked < len(orders); {
		err := t.receive(func(m message) error {
			i := int(m.seq - first)
			if m.typ != unix.NLMSG_ERROR || i < 0 || i >= len(orders) {
				return nil
			}
			acked++
			if err := orders[i].judge(m); err != nil && refused == nil {
				refused = err
			}
			return nil
		})
		if err != nil {
			return errors.Join(refused, err)
		}
	}
	return refused
}

// judge turns an acknowledgement into an error.
func (o order) judge(m message) error {
	errno, why := m.refusal()
	if errno == 0 {
		return nil
	}
	for _, allowed := range o.allow {
		if errno == allowed {
			return nil
		}
	}
	if why != "" {
		return fmt.Errorf("%s: %w (%s)", o.doing, errno, why)
	}
	return fmt.Errorf("%s: %w", o.doing, errno)
}

// errEnough ends a listing early.
var errEnough = errors.New("enough")

// dump hands every message of a listing to each, until that returns an error; errEnough is none.
// begin is called before the first message, and again when a listing is started anew.
func (t *talk) dump(doing string, typ uint16, body []byte, begin func(), each func(message) error) error {
	for try := 1; ; try++ {
		begin()
		interrupted, err := t.list(typ, body, each)
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", doing, err)
		case !interrupted || try == dumpTries:
			// A guest that never stops changing is moved by what was seen: the acknowledgements tell.
			return nil
		}
	}
}

func (t *talk) list(typ uint16, body []byte, each func(message) error) (interrupted bool, err error) {
	t.seq++
	seq := t.seq
	if err := t.send(appendMessage(nil, typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, body)); err != nil {
		return false, err
	}
	deadline := time.Now().Add(dumpTime)
	for done := false; !done; {
		if time.Now().After(deadline) {
			return false, unix.ETIMEDOUT
		}
		err := t.receive(func(m message) error {
			if m.seq != seq {
				return nil // of a listing that was ended early
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.typ {
			case unix.NLMSG_DONE:
				done = true
				return nil
			case unix.NLMSG_ERROR:
				done = true
				if errno, _ := m.refusal(); errno != 0 {
					return errno
				}
				return nil
			}
			return each(m)
		})
		if err != nil {
			return interrupted, err
		}
	}
	return interrupted, nil
}

// ask sends one question that is answered by one message.
func (t *talk) ask(doing string, typ uint16, body []byte, each func(message)) error {
	t.seq++
	seq, answered := t.seq, false
	if err := t.send(appendMessage(nil, typ, unix.NLM_F_REQUEST, seq, body)); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for !answered {
		err := t.receive(func(m message) error {
			if m.seq != seq {
				return nil
			}
			answered = true
			if m.typ == unix.NLMSG_ERROR {
				if errno, _ := m.refusal(); errno != 0 {
					return errno
				}
				return nil
			}
			each(m)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}

func (t *talk) send(b []byte) error {
	for {
		err := unix.Sendto(t.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive reads one datagram and hands its messages to each.
func (t *talk) receive(each func(message) error) error {
	for {
		n, from, err := unix.Recvfrom(t.fd, t.buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return unix.ETIMEDOUT
		case err != nil:
			return err
		}
		// Root of the guest may write to this socket too: only the kernel is number 0.
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		return eachMessage(t.buf[:n], each)
	}
}

// message is one netlink message; body belongs to the receive buffer.
type message struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

func eachMessage(b []byte, each func(message) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return errMalformed
		}
		m := message{
			typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), body: b[unix.SizeofNlMsghdr:length],
		}
		if err := each(m); err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// refusal reads NLMSG_ERROR: 0 for an acknowledgement, and the kernel's own words if it has any.
func (m message) refusal() (unix.Errno, string) {
	if len(m.body) < 4 {
		return unix.EBADMSG, ""
	}
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
	const head = 4 + unix.SizeofNlMsghdr // the capped copy of the request
	if errno == 0 || m.flags&unix.NLM_F_ACK_TLVS == 0 || m.flags&unix.NLM_F_CAPPED == 0 || len(m.body) < head {
		return errno, ""
	}
	why := ""
	for a := range attributes(m.body[head:]) {
		if a.typ == unix.NLMSGERR_ATTR_MSG {
			why = a.text()
		}
	}
	return errno, why
}
