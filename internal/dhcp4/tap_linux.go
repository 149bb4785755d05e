package dhcp4

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// snapLen is how much of a frame is read; longer requests are no requests.
const snapLen = 4096

func systemKernel() kernel {
	return kernel{bridgeOf: findBridge, listen: listen67, tap: openTap}
}

// findBridge asks for one interface, not for all: with hundreds of ports that makes a difference.
func findBridge(name string) (int, ipam.MAC, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, ipam.MAC{}, fmt.Errorf("interface %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return 0, ipam.MAC{}, fmt.Errorf("interface %s is a %s", name, link.Type())
	}
	return link.Attrs().Index, ipam.MACFrom(link.Attrs().HardwareAddr), nil
}

// openTap opens a packet socket on a port. ETH_P_ALL, because with ETH_P_IP the bridge takes the
// frame before the socket sees it.
func openTap(index int) (tap, error) {
	// Without a protocol nothing comes in before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("port %d", index))
	program, err := assemble(requestFilter())
	if err == nil {
		err = errors.Join(
			wrap("attach filter", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)),
			// Otherwise the kernel copies every frame to the guest before the filter looks at it.
			wrap("ignore outgoing frames", unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)),
			wrap("bind to the port", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: index})),
		)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	// The privileged form is not capped by the host's settings; a burst of requests of many
	// nested clients is to be had without loss. Being refused it is no harm.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	return portTap{f, index}, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// requestFilter lets untagged Ethernet frames pass that hold a whole IPv4 datagram for UDP port 67.
func requestFilter() []bpf.Instruction {
	return []bpf.Instruction{
		// A frame of another VLAN is not this network's, though its tag is hidden from the bytes.
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 9},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: typeIPv4, SkipTrue: 7},
		bpf.LoadAbsolute{Off: ethernetLen + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: 5},
		bpf.LoadAbsolute{Off: ethernetLen + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 3}, // a fragment
		bpf.LoadMemShift{Off: ethernetLen},
		bpf.LoadIndirect{Off: ethernetLen + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: snapLen},
	}
}

func assemble(program []bpf.Instruction) (*unix.SockFprog, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}, nil
}

// portTap is a packet socket of a port.
type portTap struct {
	*os.File
	index int
}

// Read waits for a frame. A port that is down is waited for as well; one that is gone is an error: the
// socket would stay mute for ever, also when the interface comes back.
func (t portTap) Read(b []byte) (int, error) {
	for watched := false; ; watched = true {
		n, err := t.File.Read(b)
		switch {
		case err == nil && watched:
			return n, t.SetReadDeadline(time.Time{})
		case err == nil:
			return n, nil
		case !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		}
		if bound, err := t.boundTo(); err != nil || bound != t.index {
			return 0, errors.Join(errPortGone, err)
		}
		// An interface goes down before it goes away, and the socket is told only the first.
		if err := t.SetReadDeadline(time.Now().Add(reopenInterval)); err != nil {
			return 0, err
		}
	}
}

var errPortGone = errors.New("the interface is gone")

// boundTo is the interface that the socket hears; -1 when that was taken away.
func (t portTap) boundTo() (index int, err error) {
	c, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctl := c.Control(func(fd uintptr) {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(int(fd)); err == nil {
			index = sa.(*unix.SockaddrLinklayer).Ifindex
		}
	})
	return index, errors.Join(ctl, err)
}
