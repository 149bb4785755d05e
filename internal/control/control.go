// Package control is the API of the daemon, both ends: HTTP and JSON over a unix
// socket. The objects here are the stable ones that --json prints.
package control

import (
	"context"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// State says how well a guest's address agrees with what is wanted.
type State string

// The states of a guest.
const (
	Settled  State = "settled"  // ledger, DNS, kernel and DHCP client agree on the pin
	Settling State = "settling" // the guest has its pin; its DHCP client does not know yet
	Dynamic  State = "dynamic"  // running, not pinned, with a lease
	Drift    State = "drift"    // running with another address than wanted
	Stopped  State = "stopped"  // known from before, not plugged in now
	Absent   State = "absent"   // pinned, never seen
	Static   State = "static"   // running with an address that nobody gave it
)

// Guest is one row of berth ls.
type Guest struct {
	Name       string       `json:"name"`
	Network    string       `json:"network"`
	Domain     string       `json:"domain,omitempty"`
	Pinned     []netip.Addr `json:"pinned"`
	Leased     []netip.Addr `json:"leased"`
	Configured []netip.Addr `json:"configured"` // really on its interface, draining ones left out
	Draining   []netip.Addr `json:"draining,omitempty"`
	DNS        []netip.Addr `json:"dns"`
	MAC        string       `json:"mac"`
	Port       string       `json:"port"`
	Runtime    string       `json:"runtime"`
	Client     string       `json:"client"`
	State      State        `json:"state"`
	Since      time.Time    `json:"since,omitzero"`    // when this state was first seen by this daemon
	Expiry     time.Time    `json:"expiry,omitzero"`   // of the lease
	Expected   time.Time    `json:"expected,omitzero"` // while settling: when the client will know at the latest
	Note       string       `json:"note,omitempty"`    // why it drifts, or who squats
}

// Step is a moment of a move, in microseconds since the daemon accepted the change.
type Step struct {
	Step string `json:"step"`
	AtUS int64  `json:"at_us"`
}

// MaxDrain is the longest that a moved guest can keep its old address.
const MaxDrain = 24 * time.Hour

// PinRequest asks that Name has Addr.
type PinRequest struct {
	Name   string         `json:"name"`
	Addr   netip.Addr     `json:"addr"`
	Drain  *time.Duration `json:"drain,omitempty"`  // nil: the network's
	Wait   time.Duration  `json:"wait,omitempty"`   // how long to wait for the guest to have it; 0: 10 s
	Settle bool           `json:"settle,omitempty"` // wait until its DHCP client believes it too
	DryRun bool           `json:"dry_run,omitempty"`
}

// UnpinRequest asks that Name keeps its address as an ordinary lease.
type UnpinRequest struct {
	Name   string `json:"name"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// SwapRequest asks that two guests exchange their pins.
type SwapRequest struct {
	Names  [2]string      `json:"names"`
	Drain  *time.Duration `json:"drain,omitempty"`
	Wait   time.Duration  `json:"wait,omitempty"`
	DryRun bool           `json:"dry_run,omitempty"`
}

// Result is what became of one guest.
type Result struct {
	Name   string       `json:"name"`
	From   []netip.Addr `json:"from"`
	To     []netip.Addr `json:"to"`
	State  State        `json:"state"`
	TookUS int64        `json:"took_us"`        // from the acceptance of the change to the verified address
	LostUS int64        `json:"lost_us"`        // for how long the guest had neither address
	Until  time.Time    `json:"until,omitzero"` // while settling: when its client will know at the latest
	Client string       `json:"client,omitempty"`
	Steps  []Step       `json:"steps"`
	Error  string       `json:"error,omitempty"`
}

// Outcome is the answer to a change: the guests it touched, or, for a dry run, the
// plan. The one the command names comes first.
type Outcome struct {
	DryRun   bool            `json:"dry_run,omitempty"`
	Rev      uint64          `json:"rev"`
	Plan     []PlannedMove   `json:"plan,omitempty"`
	Results  []Result        `json:"results"`
	Warnings []*ipam.Problem `json:"warnings,omitempty"`
}

// PlannedMove is a line of a dry run.
type PlannedMove struct {
	Name    string     `json:"name"`
	Network string     `json:"network"`
	From    netip.Addr `json:"from,omitzero"`
	To      netip.Addr `json:"to"`
	Running bool       `json:"running"`
	Evicted bool       `json:"evicted,omitempty"`
	Text    string     `json:"text"`
}

// Warning is lasting trouble.
type Warning struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint"`
	Since time.Time `json:"since"`
}

// NetworkStatus is one network of berth status.
type NetworkStatus struct {
	Name     string       `json:"name"`
	Gateway  netip.Prefix `json:"gateway"`
	Range    string       `json:"range"`
	Domain   string       `json:"domain"`
	NAT      bool         `json:"nat"`
	Ports    int          `json:"ports"`
	Pins     int          `json:"pins"`
	Leases   int          `json:"leases"`
	Free     int          `json:"free"`     // addresses of the range that nobody has
	Resolver string       `json:"resolver"` // whether the host itself resolves the names, or how to make it
}

// Status is berth status.
type Status struct {
	Version  string          `json:"version"`
	Healthy  bool            `json:"healthy"`
	PID      int             `json:"pid"`
	Started  time.Time       `json:"started"`
	Config   string          `json:"config"` // the file that the networks come from
	Pins     string          `json:"pins"`
	Files    []string        `json:"files"` // all that Config stands for, as they are in force: itself, and what it has read
	Rev      uint64          `json:"rev"`
	Networks []NetworkStatus `json:"networks"`
	Warnings []Warning       `json:"warnings"`
}

// Why is the reason for an address, strongest fact first.
type Why struct {
	Subject string   `json:"subject"`
	Addr    string   `json:"addr,omitempty"`
	Name    string   `json:"name,omitempty"`
	Origin  string   `json:"origin"` // pin, lease, offer, gateway, draining, free, outside, none
	Source  string   `json:"source,omitempty"`
	Because []string `json:"because"`
}

// Daemon is what the server side needs of the daemon. Errors that are
// *ipam.Problem or ipam.Problems reach the user as they are. A change that was begun
// is finished although ctx ends, as it does when the caller hangs up: half a move would be
// worse than an unread answer.
type Daemon interface {
	Guests(ctx context.Context) ([]Guest, error)
	Pin(ctx context.Context, req PinRequest) (Outcome, error)
	Unpin(ctx context.Context, req UnpinRequest) (Outcome, error)
	Swap(ctx context.Context, req SwapRequest) (Outcome, error)
	Reload(ctx context.Context, dryRun bool) (Outcome, error)
	Import(ctx context.Context, req ImportRequest) (Import, error)
	Why(ctx context.Context, subject string) (Why, error)
	Status(ctx context.Context) (Status, error)
}
