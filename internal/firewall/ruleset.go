package firewall

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ruleset is the table as netlink speaks of it.
type ruleset struct {
	sets   []set
	chains []chain
}

type set struct {
	nftables.Set // without its table
	elements     []nftables.SetElement
}

type chain struct {
	name  string
	kind  nftables.ChainType
	hook  nftables.ChainHook
	prio  nftables.ChainPriority
	rules [][]expr.Any
}

// ruleset builds what String says, in the same order.
func (s Spec) ruleset() ruleset {
	bridges := set{Set: nftables.Set{Name: "bridges", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian, Comment: versionComment}}
	gateways := set{Set: nftables.Set{Name: "gateways", KeyType: nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr), Concatenation: true}}
	addresses := set{Set: nftables.Set{Name: "addresses", KeyType: nftables.TypeIPAddr, KeyByteOrder: binaryutil.BigEndian}}
	subnets := set{Set: nftables.Set{Name: "subnets", KeyType: nftables.TypeIPAddr, Interval: true}}
	var masquerade [][]expr.Any
	for _, n := range s.Networks {
		if !n.NoAccept {
			bridges.add(ifname(n.Bridge))
			gateways.add(append(ifname(n.Bridge), n.Gateway.AsSlice()...))
			gateways.add(append(ifname("lo"), n.Gateway.AsSlice()...))
			addresses.add(n.Gateway.AsSlice())
		}
		subnets.add(n.Subnet.Addr().AsSlice())
		if end, ok := after(n.Subnet); ok {
			subnets.elements = append(subnets.elements, nftables.SetElement{Key: end, IntervalEnd: true})
		}
		if n.NAT {
			masquerade = append(masquerade, rule(
				meta(expr.MetaKeyOIFNAME, 1), compare(expr.CmpOpNeq, ifname(n.Bridge)),
				isIPv4(), sourceIn(n.Subnet), destination(1), lookup("subnets", true), one(&expr.Masq{})))
		}
	}
	return ruleset{
		sets: []set{bridges, gateways, addresses, subnets},
		chains: []chain{
			{"input", nftables.ChainTypeFilter, unix.NF_INET_LOCAL_IN, 0, [][]expr.Any{
				rule(meta(expr.MetaKeyIIFNAME, 1), lookup("bridges", false), port(unix.IPPROTO_UDP, 67), accept()),
				rule(isIPv4(), meta(expr.MetaKeyIIFNAME, 1), destination(2), lookup("gateways", false), port(unix.IPPROTO_UDP, 53), accept()),
				rule(isIPv4(), meta(expr.MetaKeyIIFNAME, 1), destination(2), lookup("gateways", false), port(unix.IPPROTO_TCP, 53), accept()),
				rule(isIPv4(), destination(1), lookup("addresses", false), port(unix.IPPROTO_UDP, 53), drop()),
				rule(isIPv4(), destination(1), lookup("addresses", false), port(unix.IPPROTO_TCP, 53), drop()),
			}},
			{"forward", nftables.ChainTypeFilter, unix.NF_INET_FORWARD, 0, [][]expr.Any{
				rule(meta(expr.MetaKeyIIFNAME, 1), lookup("bridges", false), accept()),
				rule(meta(expr.MetaKeyOIFNAME, 1), lookup("bridges", false), accept()),
			}},
			{"postrouting", nftables.ChainTypeNAT, unix.NF_INET_POST_ROUTING, 100, masquerade},
		},
	}
}

func (s *set) add(key []byte) { s.elements = append(s.elements, nftables.SetElement{Key: key}) }

// after is the first address behind p; false when p reaches the end of the address space.
func after(p netip.Prefix) ([]byte, bool) {
	first := binary.BigEndian.Uint32(p.Addr().AsSlice())
	end := uint64(first) + 1<<(32-p.Bits())
	if end > 1<<32-1 {
		return nil, false
	}
	return binary.BigEndian.AppendUint32(nil, uint32(end)), true
}

// ifname is an interface's name as the kernel compares it: 16 bytes, zero padded.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// rule joins the parts of one rule.
func rule(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func one(e expr.Any) []expr.Any { return []expr.Any{e} }

// meta loads into a register; register 2 follows on 1's sixteen bytes, so that the two
// together are the key of a concatenated set.
func meta(key expr.MetaKey, register uint32) []expr.Any {
	return one(&expr.Meta{Key: key, Register: register})
}

func compare(op expr.CmpOp, data []byte) []expr.Any {
	return one(&expr.Cmp{Op: op, Register: 1, Data: data})
}

func isIPv4() []expr.Any {
	return rule(meta(expr.MetaKeyNFPROTO, 1), compare(expr.CmpOpEq, []byte{unix.NFPROTO_IPV4}))
}

// Offsets of the addresses in the IPv4 header (RFC 791 §3.1) and of the destination
// port in those of TCP and UDP (RFC 9293 §3.1, RFC 768).
const (
	sourceOffset      = 12
	destinationOffset = 16
	portOffset        = 2
)

func destination(register uint32) []expr.Any {
	return one(&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: destinationOffset, Len: 4})
}

// sourceIn compares as many bytes as the prefix fills, as nft does, and masks only when it ends within one.
func sourceIn(p netip.Prefix) []expr.Any {
	addr := p.Addr().AsSlice()
	if p.Bits()%8 == 0 {
		n := p.Bits() / 8
		return rule(
			one(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: sourceOffset, Len: uint32(n)}),
			compare(expr.CmpOpEq, addr[:n]))
	}
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return rule(
		one(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: sourceOffset, Len: 4}),
		one(&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)}),
		compare(expr.CmpOpEq, addr))
}

func port(protocol byte, number uint16) []expr.Any {
	return rule(
		meta(expr.MetaKeyL4PROTO, 1), compare(expr.CmpOpEq, []byte{protocol}),
		one(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: portOffset, Len: 2}),
		compare(expr.CmpOpEq, binary.BigEndian.AppendUint16(nil, number)))
}

func lookup(set string, invert bool) []expr.Any {
	return one(&expr.Lookup{SourceRegister: 1, SetName: set, Invert: invert})
}

func accept() []expr.Any { return one(&expr.Verdict{Kind: expr.VerdictAccept}) }
func drop() []expr.Any   { return one(&expr.Verdict{Kind: expr.VerdictDrop}) }
