package option

import "strconv"

// Owned is an option that nobody can set, because the protocol or the network decides it.
type Owned struct {
	Code uint8
	Name string
	Why  string
	Hint string
}

const deleteLine = "delete the line"

// FindOwned is the owned option that a key means, by name or number; false when it is none.
func FindOwned(key string) (Owned, bool) {
	for _, o := range owned() {
		if key == o.Name || key == strconv.Itoa(int(o.Code)) {
			return o, true
		}
	}
	return Owned{}, false
}

func owned() []Owned {
	return []Owned{
		{0, "pad", "it is no option but padding (RFC 2132 §3.1)", deleteLine},
		{1, "subnet-mask", "it follows from ipv4", "change the prefix length in ipv4"},
		{50, "dhcp-requested-address", "only clients send it (RFC 2132 §9.1)", deleteLine},
		{51, "dhcp-lease-time", "it follows from lease-time", `set lease-time = "1h" in the network itself`},
		{52, "dhcp-option-overload", "the server sets it when a message is full (RFC 2132 §9.3)", deleteLine},
		{53, "dhcp-message-type", "it is what a message says (RFC 2132 §9.6)", deleteLine},
		{54, "dhcp-server-identifier", "it is the network's gateway, by which clients reach the server (RFC 2132 §9.7)", "change the address in ipv4"},
		{55, "dhcp-parameter-request-list", "only clients send it (RFC 2132 §9.8)", deleteLine},
		{56, "dhcp-message", "it gives the reason of a refusal (RFC 2132 §9.9)", deleteLine},
		{57, "dhcp-max-message-size", "only clients send it (RFC 2132 §9.10)", deleteLine},
		{58, "dhcp-renewal-time", "it is half of lease-time, and shorter while a guest is moved", `set lease-time = "1h" in the network itself`},
		{59, "dhcp-rebinding-time", "it is seven eighths of lease-time, and shorter while a guest is moved", `set lease-time = "1h" in the network itself`},
		{61, "dhcp-client-identifier", "it is the client's own, echoed to it (RFC 6842)", deleteLine},
		{80, "rapid-commit", "the server answers it by itself where authoritative = true (RFC 4039)", deleteLine},
		{81, "fqdn", "it tells a client the name that it has in DNS (RFC 4702)", "set domain in the network itself"},
		{82, "relay-agent-information", "it is a relay's, echoed to it (RFC 3046)", deleteLine},
		{90, "authentication", "the server keeps it for its own key (RFC 6704)", deleteLine},
		{118, "subnet-selection", "it is the client's, echoed to it (RFC 3011)", deleteLine},
		{145, "forcerenew-nonce-capable", "the server answers it by itself (RFC 6704)", deleteLine},
		{255, "end", "it ends the list of options (RFC 2132 §3.2)", deleteLine},
	}
}
