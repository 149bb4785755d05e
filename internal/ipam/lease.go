package ipam

import (
	"net/netip"
	"time"
)

// Client is one who asks by DHCP, as the server identified it.
type Client struct {
	Holder   Holder // who an address will belong to
	MAC      MAC    // the hardware address it speaks with (chaddr)
	PinMAC   MAC    // equal to MAC when pins by hardware address apply to it, else zero
	ClientID string // option 61, raw bytes; "" when not sent
	Hostname string // option 12 as claimed; never trusted for identity
	Vendor   string // option 60
}

// Origin says why an address belongs to somebody.
type Origin string

// The origins, strongest first.
const (
	FromPin   Origin = "pin"
	FromLease Origin = "lease" // bound now, or sticky from before
	FromOffer Origin = "offer" // held in memory until the client asks for it
)

// Entitlement is what the ledger says a client may have now. Addr is invalid when
// nothing has been decided for it yet.
type Entitlement struct {
	Addr      netip.Addr
	Origin    Origin
	Acked     netip.Addr    // what its DHCP client was last told; invalid when never
	Expiry    time.Time     // until when the last ACK holds
	LeaseTime time.Duration // from the pin line; 0: the network's
	Name      string        // the name it has in DNS, "" for none
}

// Lease is a binding that DHCP made. It outlives its expiry: an address once given
// stays with its holder (is "sticky") until a full range takes it back.
type Lease struct {
	Network  string     `json:"network"`
	Holder   Holder     `json:"holder"`
	Addr     netip.Addr `json:"addr"`           // what the holder should have
	Acked    netip.Addr `json:"acked,omitzero"` // what its client was last told; differs while a change is settling
	MAC      MAC        `json:"mac,omitzero"`
	ClientID string     `json:"client_id,omitempty"` // hexadecimal
	Hostname string     `json:"hostname,omitempty"`
	Start    time.Time  `json:"start,omitzero"`
	Expiry   time.Time  `json:"expiry,omitzero"` // zero and Idle false: never
	Idle     bool       `json:"idle,omitempty"`  // released, or never asked for by DHCP
}

// Reassignment is a holder's change from one address to another that a new set of
// pins brings about. From is invalid when the holder had none; To is never invalid.
type Reassignment struct {
	Network string        `json:"network"`
	Holder  Holder        `json:"holder"`
	MAC     MAC           `json:"mac,omitzero"` // as last seen, zero when never
	From    netip.Addr    `json:"from,omitzero"`
	To      netip.Addr    `json:"to"`
	Drain   time.Duration `json:"drain"`
	Evicted bool          `json:"evicted,omitempty"` // moved away for somebody else's pin
}
