package option

// bootOptions are for machines that start from the network: RFC 2132 §9, RFC 3004, RFC 4578, RFC 5859, RFC 5071.
func bootOptions() []Option {
	return []Option{
		{60, "vendor-class-identifier", []string{"vendor-class"}, textKind()}, // "PXEClient" in a reply to PXE
		{66, "tftp-server-name", []string{"tftp-server"}, textKind()},
		{67, "bootfile-name", []string{"bootfile"}, textKind()},
		{77, "user-class", nil, bytesKind()},                     // RFC 3004; to clients that want it back
		{93, "client-arch", nil, bytesKind()},                    // RFC 4578, as the next two
		{94, "client-interface-id", nil, bytesKind()},            //
		{97, "client-machine-id", []string{"uuid"}, bytesKind()}, //
		{150, "tftp-server-address", nil, addressesKind()},
		{208, "pxelinux-magic", nil, bytesKind()},
		{209, "config-file", []string{"pxelinux-configfile"}, textKind()},
		{210, "path-prefix", []string{"pxelinux-pathprefix"}, textKind()},
		{211, "reboot-time", []string{"pxelinux-reboottime"}, u32()}, // seconds
	}
}
