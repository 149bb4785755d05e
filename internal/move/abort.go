package move

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of struct inet_diag_req_v2, inet_diag_sockid, and inet_diag_msg.
const (
	diagRequest = 8 + diagID
	diagID      = 48
	diagMessage = 72
)

// openStates are those of TCP in which a peer is waiting: all but LISTEN, CLOSE and TIME_WAIT.
const openStates = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11

// maxAborts is how many connections are closed at most; a guest decides how many it has.
const maxAborts = 8192

// abort closes the TCP connections of addresses that are about to go: otherwise both ends wait for each other
// until they time out. Connections of dual-stack servers have the address in its IPv6 form.
func (m *mover) abort(addrs []netip.Addr) {
	if m.diag == nil || len(addrs) == 0 {
		return
	}
	var orders []order
	deadline := time.Now().Add(answerTime)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		found, err := listConnections(m.diag, family, addrs, maxAborts-len(orders), deadline)
		if err != nil {
			return // a kernel without sock_diag
		}
		orders = append(orders, found...)
		if len(orders) >= maxAborts || time.Now().After(deadline) {
			break
		}
	}
	_ = m.diag.commit(orders) // some will have ended by themselves; a kernel without SOCK_DESTROY refuses all
}

// listConnections makes the orders to close them.
func listConnections(t *talk, family byte, addrs []netip.Addr, most int, deadline time.Time) ([]order, error) {
	var orders []order
	request := make([]byte, diagRequest)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], openStates)
	err := t.dump("list connections", unix.SOCK_DIAG_BY_FAMILY, request, func() { orders = nil }, func(m message) error {
		if len(orders) >= most || time.Now().After(deadline) {
			return errEnough
		}
		if len(m.body) < diagMessage || !slices.Contains(addrs, sourceOf(family, m.body[4:])) {
			return nil
		}
		kill := slices.Clone(request)
		copy(kill[8:], m.body[4:4+diagID]) // with the cookie: this very connection
		orders = append(orders, order{
			doing: "close a connection", typ: unix.SOCK_DESTROY, body: kill,
			allow: []unix.Errno{unix.ENOENT},
		})
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // a kernel without that family
	}
	return orders, err
}

// sourceOf reads a socket's own address.
func sourceOf(family byte, id []byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(id[4:8]))
	}
	return netip.AddrFrom16([16]byte(id[4:20])).Unmap()
}
