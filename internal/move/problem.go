package move

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/ipam"
)

// name is how users know the guest.
func (m *mover) name() string {
	switch {
	case m.Guest.Name != "":
		return m.Guest.Name
	case !m.Guest.MAC.IsZero():
		return m.Guest.MAC.String()
	}
	return m.Guest.Port
}

// problem makes an error for a person: which step failed, and what the guest has now.
func (m *mover) problem(cause, undoing error) error {
	if errors.Is(cause, unix.ENODEV) {
		cause = fmt.Errorf("%w: %w", guest.ErrGone, cause)
	}
	p := &ipam.Problem{Code: ipam.CodeMove, Err: cause}
	has := "it is as it was"
	switch {
	case undoing != nil && !errors.Is(cause, guest.ErrGone):
		has = fmt.Sprintf("not all could be undone: %v", undoing)
		p.Err = errors.Join(cause, undoing)
	case m.touched && len(m.former()) > 0:
		has = fmt.Sprintf("it has %s again", m.former()[0])
	}
	say := func(text, hint string) {
		p.Text, p.Hint = fmt.Sprintf("%s can not be given %s: %s", m.name(), m.to, text), hint
	}
	nic := "the NIC " + m.Guest.NIC
	switch {
	case errors.Is(cause, guest.ErrGone):
		say("it, or its interface, is gone", "it gets the address when it starts again")
	case errors.Is(cause, errDown):
		say(nic+" inside is down", "set it up there: ip link set "+m.Guest.NIC+" up")
	case errors.Is(cause, errNoAnswer):
		say("it did not answer ARP for it; "+has, "look for what drops ARP inside (nft list ruleset, sysctl net.ipv4.conf.all.arp_ignore) or on the bridge (nft list ruleset)")
	case errors.Is(cause, errRemoved):
		say("something inside removes it at once; "+has, "look inside for what sets addresses of "+nic)
	case errors.Is(cause, errPutBack):
		say("something inside puts the old address back at once; "+has, "look inside for what sets addresses of "+nic)
	case errors.Is(cause, unix.EPERM), errors.Is(cause, unix.EACCES):
		p.Code = ipam.CodeDenied
		say("no permission to change its namespace", "run berth as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
	default:
		say(fmt.Sprintf("%v; %s", cause, has), "")
	}
	return p
}

// refusal is a request that can not be begun.
func (m *mover) refusal(format string, args ...any) error {
	return &ipam.Problem{
		Code: ipam.CodeMove,
		Text: fmt.Sprintf("%s can not be given %s: %s", m.name(), m.Request.To, fmt.Sprintf(format, args...)),
	}
}
