package option

// interfaceOptions are those of RFC 2132 §4 to §7: IP, the link and TCP.
func interfaceOptions() []Option {
	return []Option{
		{19, "ip-forwarding", []string{"ip-forward-enable"}, flagKind()},
		{20, "non-local-source-routing", []string{"non-local-source-routing-enable"}, flagKind()},
		{21, "policy-filter", nil, filterKind()},
		{22, "max-dgram-reassembly", []string{"max-datagram-reassembly"}, u16(576)},
		{23, "default-ip-ttl", []string{"default-ttl"}, u8(1)},
		{24, "path-mtu-aging-timeout", nil, u32()}, // seconds
		{25, "path-mtu-plateau-table", nil, numbersKind(68)},
		{26, "interface-mtu", []string{"mtu"}, u16(68)},
		{27, "all-subnets-local", nil, flagKind()},
		{28, "broadcast-address", []string{"broadcast"}, addressKind()},
		{29, "perform-mask-discovery", nil, flagKind()},
		{30, "mask-supplier", nil, flagKind()},
		{31, "router-discovery", nil, flagKind()},
		{32, "router-solicitation-address", []string{"router-solicitation"}, addressKind()},
		{33, "static-routes", []string{"static-route"}, staticRoutesKind()},
		{34, "trailer-encapsulation", nil, flagKind()},
		{35, "arp-cache-timeout", []string{"arp-timeout"}, u32()}, // seconds
		{36, "ieee802-3-encapsulation", []string{"ethernet-encap"}, flagKind()},
		{37, "default-tcp-ttl", []string{"tcp-ttl"}, u8(1)},
		{38, "tcp-keepalive-interval", []string{"tcp-keepalive"}, u32()}, // seconds
		{39, "tcp-keepalive-garbage", nil, flagKind()},
	}
}
