package option

import (
	"slices"
	"strconv"
	"strings"
)

// Owned is an option that nobody can set, because the protocol or the network decides it.
type Owned struct {
	Code uint8
	Name string   // as ISC dhcpd calls it
	Also []string // what other servers call it
	Why  string
	Hint string
}

const deleteLine = "delete the line"

// FindOwned is the owned option that a key means, by name or number; false when it is none.
func FindOwned(key string) (Owned, bool) {
	for _, o := range owned() {
		if key == strconv.Itoa(int(o.Code)) || slices.ContainsFunc(append(o.Also, o.Name), func(s string) bool { return strings.EqualFold(s, key) }) {
			return o, true
		}
	}
	return Owned{}, false
}

func owned() []Owned {
	return []Owned{
		{0, "pad", nil, "it is no option but padding (RFC 2132 §3.1)", deleteLine},
		{1, "subnet-mask", []string{"netmask"}, "it follows from ipv4", "change the prefix length in ipv4"},
		{50, "dhcp-requested-address", []string{"requested-address"}, "only clients send it (RFC 2132 §9.1)", deleteLine},
		{51, "dhcp-lease-time", []string{"lease-time"}, "it follows from lease-time", `set lease-time = "1h" in the network itself`},
		{52, "dhcp-option-overload", []string{"option-overload"}, "the server sets it when a message is full (RFC 2132 §9.3)", deleteLine},
		{53, "dhcp-message-type", []string{"message-type"}, "it is what a message says (RFC 2132 §9.6)", deleteLine},
		{54, "dhcp-server-identifier", []string{"server-identifier"}, "it is the network's gateway, by which clients reach the server (RFC 2132 §9.7)", "change the address in ipv4"},
		{55, "dhcp-parameter-request-list", []string{"parameter-request"}, "only clients send it (RFC 2132 §9.8)", deleteLine},
		{56, "dhcp-message", []string{"message"}, "it gives the reason of a refusal (RFC 2132 §9.9)", deleteLine},
		{57, "dhcp-max-message-size", []string{"max-message-size"}, "only clients send it (RFC 2132 §9.10)", deleteLine},
		{58, "dhcp-renewal-time", []string{"T1"}, "it is half of lease-time, and shorter while a guest is moved", `set lease-time = "1h" in the network itself`},
		{59, "dhcp-rebinding-time", []string{"T2"}, "it is seven eighths of lease-time, and shorter while a guest is moved", `set lease-time = "1h" in the network itself`},
		{61, "dhcp-client-identifier", []string{"client-id"}, "it is the client's own, echoed to it (RFC 6842)", deleteLine},
		{80, "rapid-commit", nil, "the server answers it by itself where authoritative = true (RFC 4039)", deleteLine},
		{81, "fqdn", nil, "it tells a client the name that it has in DNS (RFC 4702)", "set domain in the network itself"},
		{82, "relay-agent-information", []string{"agent-id"}, "it is a relay's, echoed to it (RFC 3046)", deleteLine},
		{90, "authentication", nil, "the server keeps it for its own key (RFC 6704)", deleteLine},
		{118, "subnet-selection", []string{"subnet-select"}, "it is the client's, echoed to it (RFC 3011)", deleteLine},
		{145, "forcerenew-nonce-capable", nil, "the server answers it by itself (RFC 6704)", deleteLine},
		{255, "end", nil, "it ends the list of options (RFC 2132 §3.2)", deleteLine},
	}
}
