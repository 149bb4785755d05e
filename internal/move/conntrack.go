package move

import (
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of ctnetlink.
const (
	ctGet         = 1<<8 | 1 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
	ctDelete      = 1<<8 | 2
	ctTupleOrig   = 1 // CTA_TUPLE_ORIG
	ctTupleReply  = 2
	ctZone        = 18
	ctID          = 12
	ctTupleIP     = 1
	ctTupleIPFrom = 1 // CTA_IP_V4_SRC
)

// maxForgotten bounds what is deleted, and with the time of a listing what is done for it.
const maxForgotten = 8192

// vacated are the addresses that went without drain.
func (s *set) vacated() []netip.Addr {
	var gone []netip.Addr
	for _, m := range s.movers {
		if m.err == nil && m.touched {
			gone = append(append(gone, m.goneAtOnce()...), m.gives...)
		}
	}
	return gone
}

// forget deletes what the host's connection tracking knows of addresses that went without drain: their
// next holder's packets would be taken for the former's. Trouble does no harm; a kernel without it has nothing to forget.
func forget(gone []netip.Addr) {
	// Listing none takes as long as listing many: the kernel goes through its whole table.
	if count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count"); err != nil || string(count) == "0\n" {
		return
	}
	t, err := openTalk(unix.NETLINK_NETFILTER)
	if err != nil {
		return
	}
	defer t.close()
	_ = t.commit(tracked(t, gone))
}

// tracked makes the orders to delete the connections that one of addrs began or was asked for.
func tracked(t *talk, addrs []netip.Addr) []order {
	var orders []order
	head := []byte{unix.AF_INET, 0, 0, 0} // struct nfgenmsg
	deadline := time.Now().Add(answerTime)
	err := t.dump("list tracked connections", ctGet, head, func() { orders = nil }, func(m message) error {
		if len(orders) >= maxForgotten || time.Now().After(deadline) {
			return errEnough
		}
		if len(m.body) < len(head) {
			return nil
		}
		body, ours := slices.Clone(head), false
		for a := range attributes(m.body[len(head):]) {
			switch a.typ {
			case ctTupleOrig, ctTupleReply:
				// Each direction begins at one of the ends.
				ours = ours || slices.Contains(addrs, beginsAt(a.data))
				if a.typ == ctTupleOrig {
					body = appendAttribute(body, a.typ|unix.NLA_F_NESTED, a.data)
				}
			case ctID, ctZone:
				body = appendAttribute(body, a.typ, a.data)
			}
		}
		if ours {
			orders = append(orders, order{
				doing: "forget a tracked connection", typ: ctDelete, body: body,
				allow: []unix.Errno{unix.ENOENT},
			})
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return orders
}

// beginsAt reads the source of a tuple.
func beginsAt(tuple []byte) netip.Addr {
	for part := range attributes(tuple) {
		if part.typ != ctTupleIP {
			continue
		}
		for a := range attributes(part.data) {
			if a.typ == ctTupleIPFrom && len(a.data) == 4 {
				return netip.AddrFrom4([4]byte(a.data))
			}
		}
	}
	return netip.Addr{}
}
