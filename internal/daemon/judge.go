package daemon

import (
	"fmt"
	"slices"
	"time"

	"berth/internal/control"
	"berth/internal/reconcile"
)

// judge says how well the facts agree, why they do not, and while a DHCP client
// settles, when it will know at the latest. It is pure.
func (f *facts) judge() (state control.State, note string, expected time.Time) {
	if f.squats != "" {
		return control.Drift, f.squats, time.Time{}
	}
	switch {
	case f.view == nil && f.behind == nil:
		return f.judgeUnplugged(), "", time.Time{}
	case f.view == nil, f.view.Guest.Namespace.IsZero():
		return f.judgeByLease()
	case f.pin != nil:
		return f.judgePinned()
	}
	return f.judgeUnpinned()
}

// judgeUnplugged is for who is not there now.
func (f *facts) judgeUnplugged() control.State {
	switch {
	case f.lease == nil:
		return control.Absent
	case f.pin == nil && f.holder.Guest == "" && !f.lease.Idle && f.lease.Expiry.After(f.now):
		return control.Dynamic // a client nobody can name: its lease is all there is to see
	}
	return control.Stopped
}

// judgeByLease is for who can not be looked into: a VM, or a client behind a guest's port.
func (f *facts) judgeByLease() (control.State, string, time.Time) {
	bound := f.lease != nil && f.lease.Acked.IsValid() && !f.lease.Idle
	switch {
	case f.pin != nil && bound && f.lease.Acked == f.pin.Addr:
		return control.Settled, "", time.Time{}
	case f.pin != nil && bound:
		return control.Settling, "it can not be entered: it takes its pin when its DHCP client asks", f.lease.Expiry
	case f.pin == nil && bound:
		return control.Dynamic, "", time.Time{}
	}
	return control.Settling, "waits for its DHCP client to ask", time.Time{}
}

func (f *facts) judgePinned() (control.State, string, time.Time) {
	has, want := f.view.Addrs, f.pin.Addr
	switch {
	case slices.Contains(has, want):
		told := f.lease != nil && f.lease.Acked == want && !f.lease.Idle
		if told || f.client == reconcile.NoClient {
			return control.Settled, "", time.Time{}
		}
		if f.lease != nil && !f.lease.Idle {
			return control.Settling, "", f.lease.Expiry
		}
		return control.Settling, "", time.Time{}
	case f.trouble != nil:
		return control.Drift, fmt.Sprintf("could not be moved to %s: %v; berth tries again", want, f.trouble), time.Time{}
	case len(has) == 0:
		return control.Settling, "has no address yet: waits for its DHCP client to ask", time.Time{}
	}
	return control.Drift, fmt.Sprintf("has %s instead of its pin %s; berth moves it", join(has), want), time.Time{}
}

func (f *facts) judgeUnpinned() (control.State, string, time.Time) {
	has := f.view.Addrs
	switch {
	case f.lease == nil && len(has) > 0:
		return control.Static, "", time.Time{}
	case len(has) == 0:
		return control.Settling, "has no address yet: waits for its DHCP client to ask", time.Time{}
	case !slices.Contains(has, f.lease.Addr) && (f.lease.Idle || !f.lease.Acked.IsValid()):
		return control.Static, "", time.Time{}
	case !slices.Contains(has, f.lease.Addr):
		return control.Drift, fmt.Sprintf("has %s instead of its lease %s", join(has), f.lease.Addr), time.Time{}
	case f.lease.Acked.IsValid() && f.lease.Acked != f.lease.Addr:
		return control.Settling, "", f.lease.Expiry
	}
	return control.Dynamic, "", time.Time{}
}
