package option

// serviceOptions are those of RFC 2132 §8, and of the RFC 2242 for NetWare: servers and what
// belongs to them.
func serviceOptions() []Option {
	return []Option{
		{40, "nis-domain", nil, textKind()},
		{41, "nis-servers", []string{"nis-server"}, addressesKind()},
		{42, "ntp-servers", []string{"ntp-server"}, addressesKind()},
		{43, "vendor-encapsulated-options", []string{"vendor-encap", "vendor-specific"}, bytesKind()},
		{44, "netbios-name-servers", []string{"netbios-ns", "wins-servers"}, addressesKind()},
		{45, "netbios-dd-server", []string{"netbios-dd"}, addressesKind()},
		{46, "netbios-node-type", []string{"netbios-nodetype"}, numberKind(1, 1, 8)}, // 1 B, 2 P, 4 M, 8 H
		{47, "netbios-scope", nil, textKind()},
		{48, "font-servers", []string{"x-windows-fs"}, addressesKind()},
		{49, "x-display-manager", []string{"x-windows-dm"}, addressesKind()},
		{62, "nwip-domain", nil, textKind()},
		{63, "nwip-suboptions", nil, bytesKind()},
		{64, "nisplus-domain", []string{"nis+-domain"}, textKind()},
		{65, "nisplus-servers", []string{"nis+-server"}, addressesKind()},
		{68, "mobile-ip-home-agent", []string{"mobile-ip-home"}, addressesKind()},
		{69, "smtp-server", nil, addressesKind()},
		{70, "pop-server", []string{"pop3-server"}, addressesKind()},
		{71, "nntp-server", nil, addressesKind()},
		{72, "www-server", nil, addressesKind()},
		{73, "finger-server", nil, addressesKind()},
		{74, "irc-server", nil, addressesKind()},
		{75, "streettalk-server", nil, addressesKind()},
		{76, "streettalk-directory-assistance-server", nil, addressesKind()},
	}
}
