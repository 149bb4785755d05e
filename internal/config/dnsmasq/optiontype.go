package dnsmasq

// optionType is what dnsmasq knows about an option of DHCPv4: how its value is written.
type optionType struct {
	name     string
	code     uint8
	size     int // of a number, in bytes; 0: as many as it takes
	form     form
	internal bool // it can be set by its number only
}

// form is how a value is to be read where its shape alone does not tell.
type form uint8

const (
	byShape form = iota
	addressList
	plainText
	domainNames
	duration
)

// optionTypes are the options that dnsmasq 2.90 knows by name.
var optionTypes = [...]optionType{
	{name: "netmask", code: 1, form: addressList},
	{name: "time-offset", code: 2, size: 4},
	{name: "router", code: 3, form: addressList},
	{name: "dns-server", code: 6, form: addressList},
	{name: "log-server", code: 7, form: addressList},
	{name: "lpr-server", code: 9, form: addressList},
	{name: "hostname", code: 12, form: plainText, internal: true},
	{name: "boot-file-size", code: 13, size: 2},
	{name: "domain-name", code: 15, form: plainText},
	{name: "swap-server", code: 16, form: addressList},
	{name: "root-path", code: 17, form: plainText},
	{name: "extension-path", code: 18, form: plainText},
	{name: "ip-forward-enable", code: 19, size: 1},
	{name: "non-local-source-routing", code: 20, size: 1},
	{name: "policy-filter", code: 21, form: addressList},
	{name: "max-datagram-reassembly", code: 22, size: 2},
	{name: "default-ttl", code: 23, size: 1},
	{name: "mtu", code: 26, size: 2},
	{name: "all-subnets-local", code: 27, size: 1},
	{name: "broadcast", code: 28, form: addressList, internal: true},
	{name: "router-discovery", code: 31, size: 1},
	{name: "router-solicitation", code: 32, form: addressList},
	{name: "static-route", code: 33, form: addressList},
	{name: "trailer-encapsulation", code: 34, size: 1},
	{name: "arp-timeout", code: 35, size: 4},
	{name: "ethernet-encap", code: 36, size: 1},
	{name: "tcp-ttl", code: 37, size: 1},
	{name: "tcp-keepalive", code: 38, size: 4},
	{name: "nis-domain", code: 40, form: plainText},
	{name: "nis-server", code: 41, form: addressList},
	{name: "ntp-server", code: 42, form: addressList},
	{name: "vendor-encap", code: 43, internal: true},
	{name: "netbios-ns", code: 44, form: addressList},
	{name: "netbios-dd", code: 45, form: addressList},
	{name: "netbios-nodetype", code: 46, size: 1},
	{name: "netbios-scope", code: 47},
	{name: "x-windows-fs", code: 48, form: addressList},
	{name: "x-windows-dm", code: 49, form: addressList},
	{name: "requested-address", code: 50, form: addressList, internal: true},
	{name: "lease-time", code: 51, form: duration, internal: true},
	{name: "option-overload", code: 52, internal: true},
	{name: "message-type", code: 53, internal: true},
	{name: "server-identifier", code: 54, form: addressList, internal: true},
	{name: "parameter-request", code: 55, internal: true},
	{name: "message", code: 56, internal: true},
	{name: "max-message-size", code: 57, internal: true},
	{name: "T1", code: 58, form: duration},
	{name: "T2", code: 59, form: duration},
	{name: "vendor-class", code: 60},
	{name: "client-id", code: 61, internal: true},
	{name: "nis+-domain", code: 64, form: plainText},
	{name: "nis+-server", code: 65, form: addressList},
	{name: "tftp-server", code: 66, form: plainText},
	{name: "bootfile-name", code: 67, form: plainText},
	{name: "mobile-ip-home", code: 68, form: addressList},
	{name: "smtp-server", code: 69, form: addressList},
	{name: "pop3-server", code: 70, form: addressList},
	{name: "nntp-server", code: 71, form: addressList},
	{name: "irc-server", code: 74, form: addressList},
	{name: "user-class", code: 77},
	{name: "rapid-commit", code: 80},
	{name: "FQDN", code: 81, internal: true},
	{name: "agent-id", code: 82, internal: true},
	{name: "client-arch", code: 93, size: 2},
	{name: "client-interface-id", code: 94},
	{name: "client-machine-id", code: 97},
	{name: "posix-timezone", code: 100, form: plainText},
	{name: "tzdb-timezone", code: 101, form: plainText},
	{name: "ipv6-only", code: 108, size: 4},
	{name: "subnet-select", code: 118, internal: true},
	{name: "domain-search", code: 119, form: domainNames},
	{name: "sip-server", code: 120},
	{name: "classless-static-route", code: 121},
	{name: "vendor-id-encap", code: 125},
	{name: "tftp-server-address", code: 150, form: addressList},
	{name: "server-ip-address", code: 255, form: addressList},
}

// typeOf is what is known about an option, which is nothing of most, and of a number that is one within another option.
func typeOf(code uint8, written text, isWrapped bool) optionType {
	for _, o := range optionTypes {
		if o.code == code && (!isWrapped || !isNumber(written.s)) {
			return o
		}
	}
	return optionType{code: code}
}
