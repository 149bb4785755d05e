package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// maxImport bounds a request to take leases over: a few lease files, as JSON.
const maxImport = 64 << 20

// LeaseFile is a lease file of dnsmasq. Its text is sent along, so that what the caller may not read
// is not read for him.
type LeaseFile struct {
	Path string `json:"path"` // what places are told by
	Text string `json:"text"`
}

// ImportRequest asks that the leases of another server become this one's.
type ImportRequest struct {
	Source string      `json:"source,omitempty"` // "dnsmasq", "lxd-bridge" or "lxc-net"; "": nothing is known but the files
	Files  []LeaseFile `json:"files"`
	DryRun bool        `json:"dry_run,omitempty"`
}

// ImportedLease is a lease that was taken over.
type ImportedLease struct {
	Name     string     `json:"name"` // of the guest, else the hardware address
	Network  string     `json:"network"`
	Addr     netip.Addr `json:"addr"`
	MAC      string     `json:"mac"`
	Hostname string     `json:"hostname,omitempty"` // as its client claims it
	Expiry   time.Time  `json:"expiry,omitzero"`    // absent: never
	Expired  bool       `json:"expired,omitempty"`  // it has run out; the address is kept for its holder all the same
}

// Import is what became of the leases that were found.
type Import struct {
	DryRun   bool            `json:"dry_run,omitempty"`
	Rev      uint64          `json:"rev,omitempty"`
	Files    []string        `json:"files"`
	Imported []ImportedLease `json:"imported"`
	Same     int             `json:"same"`     // how many were so already
	LeftOut  []*ipam.Problem `json:"left_out"` // what was not taken over, and why
	Unserved []*ipam.Problem `json:"unserved"` // dry run: what the source's configuration says and berth does not honour
}

// Import has the daemon take leases over.
func (c *Client) Import(ctx context.Context, req ImportRequest) (Import, error) {
	var done Import
	return done, c.call(ctx, http.MethodPost, "/v1/import", req, &done)
}

// takeOver handles POST /v1/import.
func takeOver(d Daemon) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req ImportRequest
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxImport))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&req); err != nil {
			answer(w, nil, &ipam.Problem{Code: ipam.CodeUsage, Text: fmt.Sprintf("request: %v", err), Hint: "berth import --help"})
			return
		}
		done, err := d.Import(r.Context(), req)
		answer(w, done, err)
	}
}
