package option

// bootOptions are for machines that start from the network: RFC 2132 §9, RFC 5859, RFC 5071.
func bootOptions() []Option {
	return []Option{
		{60, "vendor-class-identifier", []string{"vendor-class"}, textKind()}, // "PXEClient" in a reply to PXE
		{66, "tftp-server-name", []string{"tftp-server"}, textKind()},
		{67, "bootfile-name", []string{"bootfile"}, textKind()},
		{150, "tftp-server-address", nil, addressesKind()},
		{208, "pxelinux-magic", nil, bytesKind()},
		{209, "config-file", []string{"pxelinux-configfile"}, textKind()},
		{210, "path-prefix", []string{"pxelinux-pathprefix"}, textKind()},
		{211, "reboot-time", []string{"pxelinux-reboottime"}, u32()}, // seconds
	}
}
