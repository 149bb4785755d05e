package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// A record is what was decided together: the revision, then operations, each a kind and its
// fields in fixed order. Strings and addresses carry their length; times are nanoseconds
// since 1970, zero for none. A field can only be added by a new kind.

func appendRecord(dst []byte, rev uint64, ops []op) []byte {
	dst = binary.AppendUvarint(dst, rev)
	for i := range ops {
		dst = appendOp(dst, &ops[i])
	}
	return dst
}

func appendOp(dst []byte, o *op) []byte {
	dst = append(dst, byte(o.kind))
	dst = appendString(dst, o.network)
	switch o.kind {
	case opLease:
		dst = appendHolder(dst, o.holder)
		dst = appendAddr(dst, o.lease.Addr)
		dst = appendAddr(dst, o.lease.Acked)
		dst = append(dst, o.lease.MAC[:]...)
		dst = append(dst, o.lease.PinMAC[:]...)
		dst = appendString(dst, o.lease.ClientID)
		dst = appendString(dst, o.lease.Hostname)
		dst = appendTime(dst, o.lease.Start)
		dst = appendTime(dst, o.lease.Expiry)
		dst = appendBool(dst, o.lease.Idle)
	case opPin:
		dst = appendHolder(dst, o.holder)
		dst = appendString(dst, o.pin.Name)
		dst = appendAddr(dst, o.pin.Addr)
		dst = binary.AppendVarint(dst, int64(o.pin.LeaseTime))
		dst = appendString(dst, o.pin.Source.File)
		dst = binary.AppendUvarint(dst, uint64(o.pin.Source.Line))
		dst = binary.AppendUvarint(dst, uint64(o.pin.Source.Col))
	case opForget, opUnpin:
		dst = appendHolder(dst, o.holder)
	case opBlock:
		dst = appendAddr(dst, o.addr)
		dst = appendHolder(dst, o.block.Holder)
		dst = appendTime(dst, o.block.Until)
		dst = appendBool(dst, o.block.Declined)
	case opUnblock:
		dst = appendAddr(dst, o.addr)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendHolder(dst []byte, h ipam.Holder) []byte {
	return append(appendString(dst, h.Guest), h.MAC[:]...)
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		b := a.As4()
		return append(append(dst, 4), b[:]...)
	case a.Is6():
		b := a.As16()
		return append(append(dst, 16), b[:]...)
	}
	return append(dst, 0)
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(dst, 0)
	}
	return binary.AppendVarint(dst, t.UnixNano())
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// decoder reads a record; the first error sticks.
type decoder struct {
	data    []byte
	err     error
	network string // the last one read, which most operations share
}

var errShort = errors.New("the record is cut short")

// record calls f with each operation and returns the revision.
func (d *decoder) record(data []byte, f func(op)) (uint64, error) {
	d.data, d.err = data, nil
	rev := d.uvarint()
	for len(d.data) > 0 && d.err == nil {
		if o := d.op(); d.err == nil {
			f(o)
		}
	}
	return rev, d.err
}

func (d *decoder) op() op {
	o := op{kind: opKind(d.byte())}
	if network := d.bytes(); string(network) != d.network {
		d.network = string(network)
	}
	o.network = d.network
	switch o.kind {
	case opLease:
		o.holder = d.holder()
		o.lease = &binding{Lease: ipam.Lease{Network: o.network, Holder: o.holder}}
		o.lease.Addr = d.addr()
		o.lease.Acked = d.addr()
		o.lease.MAC = d.mac()
		o.lease.PinMAC = d.mac()
		o.lease.ClientID = string(d.bytes())
		o.lease.Hostname = string(d.bytes())
		o.lease.Start = d.time()
		o.lease.Expiry = d.time()
		o.lease.Idle = d.byte() != 0
	case opPin:
		o.holder = d.holder()
		o.pin = &pin{network: o.network}
		o.pin.Holder = o.holder
		o.pin.Name = string(d.bytes())
		o.pin.Addr = d.addr()
		o.pin.LeaseTime = time.Duration(d.varint())
		o.pin.Source = ipam.Source{File: string(d.bytes()), Line: int(d.uvarint()), Col: int(d.uvarint())}
	case opForget, opUnpin:
		o.holder = d.holder()
	case opBlock:
		o.addr = d.addr()
		o.block.Holder = d.holder()
		o.block.Until = d.time()
		o.block.Declined = d.byte() != 0
	case opUnblock:
		o.addr = d.addr()
	default:
		d.fail(fmt.Errorf("unknown operation %d: stored by a newer version of berth?", o.kind))
	}
	return o
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.data) {
		d.fail(errShort)
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.fail(errShort)
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) mac() ipam.MAC { return ipam.MACFrom(d.take(6)) }

func (d *decoder) holder() ipam.Holder {
	return ipam.Holder{Guest: string(d.bytes()), MAC: d.mac()}
}

func (d *decoder) addr() netip.Addr {
	n := int(d.byte())
	if n == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(d.take(n))
	if !ok {
		d.fail(errShort)
	}
	return a
}

func (d *decoder) time() time.Time {
	ns := d.varint()
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
