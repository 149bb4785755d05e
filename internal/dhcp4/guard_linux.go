package dhcp4

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// listen67 occupies UDP port 67 on a bridge. Never with SO_REUSEPORT or SO_REUSEADDR: the kernel would
// then share the requests out between two servers instead of failing.
func listen67(bridge string) (io.Closer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket for port 67: %w", err)
	}
	f := os.NewFile(uintptr(fd), "port 67 on "+bridge)
	nothing, err := assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err == nil {
		err = errors.Join(
			wrap("attach filter", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, nothing)),
			wrap("bind to "+bridge, unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, bridge)),
		)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: serverPort})
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, takenProblem(bridge, ownersOf(serverPort), err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, &ipam.Problem{
			Code: ipam.CodeDenied, Err: err, Text: "serving DHCP on " + bridge + " is not permitted",
			Hint: "run berth as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE",
		}
	}
	return nil, fmt.Errorf("UDP port 67 on %s: %w", bridge, err)
}

// takenProblem says who has port 67, and how to end that.
func takenProblem(bridge string, owners []owner, cause error) *ipam.Problem {
	p := &ipam.Problem{
		Code: ipam.CodeHost, Err: cause,
		Text: "UDP port 67 on " + bridge + " is taken by another program",
		Hint: "find it with: ss -ulnp 'sport = 67'",
	}
	if len(owners) == 0 {
		return p
	}
	o := owners[0]
	p.Text = fmt.Sprintf("UDP port 67 on %s is taken by %s (process %d)", bridge, o.comm, o.pid)
	for _, also := range owners[1:] {
		p.Text += fmt.Sprintf(", or %s (process %d)", also.comm, also.pid)
	}
	switch {
	case len(owners) > 1: // not all of them need be in the way: a socket may be bound to another interface
		p.Hint = "see which serves " + bridge + ": ss -ulnp 'sport = 67'; then stop that one"
	case o.comm == "berth":
		p.Hint = "another berth serves already: berth status"
	case o.unit != "":
		p.Hint = "stop it: systemctl disable --now " + o.unit
	default:
		p.Hint = fmt.Sprintf("stop it: kill %d; or keep it off this bridge (dnsmasq: except-interface=%s and bind-interfaces)", o.pid, bridge)
	}
	return p
}
