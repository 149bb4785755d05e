package option

// hostOptions are those of RFC 2132 §3: what a host as such is told.
func hostOptions() []Option {
	return []Option{
		{2, "time-offset", nil, s32()}, // seconds east of UTC; RFC 4833 has better ones
		{3, "routers", []string{"router"}, addressesKind()},
		{4, "time-servers", []string{"time-server"}, addressesKind()},
		{5, "ien116-name-servers", []string{"name-servers"}, addressesKind()},
		{6, "domain-name-servers", []string{"dns-server", "dns-servers"}, addressesKind()},
		{7, "log-servers", []string{"log-server"}, addressesKind()},
		{8, "cookie-servers", []string{"cookie-server"}, addressesKind()},
		{9, "lpr-servers", []string{"lpr-server"}, addressesKind()},
		{10, "impress-servers", []string{"impress-server"}, addressesKind()},
		{11, "resource-location-servers", []string{"resource-location-server"}, addressesKind()},
		{codeHostName, "host-name", []string{"hostname"}, textKind()},
		{13, "boot-size", []string{"boot-file-size"}, u16(0)}, // blocks of 512 bytes
		{14, "merit-dump", nil, textKind()},
		{15, "domain-name", nil, textKind()},
		{16, "swap-server", nil, addressKind()},
		{17, "root-path", nil, textKind()},
		{18, "extensions-path", []string{"extension-path"}, textKind()},
	}
}
