package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// networkdName is systemd-networkd's.
const networkdName = "systemd-networkd"

// managed is systemd-networkd, which is told over the guest's own system bus.
type managed struct {
	guest guest.Guest
	told  int
}

// networkd is recognised by what it says of the link. A link whose configuration is complete without a lease
// was set up by hand.
func networkd(s *scene) (Client, claim) {
	if len(s.called(networkdName)) == 0 {
		return nil, absent
	}
	c := &managed{guest: s.guest}
	link := s.read("run/systemd/netif/links")
	if link == "" {
		return c, running
	}
	hasLease := value(link, "DHCP_LEASE") != "" || s.read("run/systemd/netif/leases") != ""
	switch state := value(link, "ADMIN_STATE"); {
	case value(link, "NETWORK_FILE") == "" || state == "unmanaged" || state == "linger":
		return nil, absent
	case !hasLease && state == "configured":
		return nil, absent
	}
	return c, claimed
}

// Name implements Client.
func (m *managed) Name() string { return networkdName }

// settleTime bounds one call: the daemon answers in milliseconds, a hostile bus never.
const settleTime = 800 * time.Millisecond

// patientCalls is how often the gentle call is made before the other.
const patientCalls = 2

// Settle implements Client. RenewLink loses not a packet, but needs the address that the daemon believes in:
// its socket is bound to it, and once that is gone it would be mute until it rebinds. Then, or when
// it does not help, ReconfigureLink starts anew, which costs some ten milliseconds without an address.
func (m *managed) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	s, err := look(ctx, m.guest)
	if err != nil {
		return err
	}
	defer s.close()
	member := "RenewLink"
	if m.told++; m.told > patientCalls || m.isMute(ctx, s) {
		member = "ReconfigureLink"
	}
	bus, err := dialBus(ctx, s.root, m.guest.Namespace)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTSOCK) || errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%s: no system bus in the guest: %w", networkdName, ErrWait)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", networkdName, err)
	}
	defer bus.close()
	err = bus.call("org.freedesktop.network1", "/org/freedesktop/network1",
		"org.freedesktop.network1.Manager", member, int32(m.guest.NICIndex))
	if refused := (*busError)(nil); errors.As(err, &refused) && refused.isUnknown() {
		return fmt.Errorf("%s does not know %s: %w", networkdName, member, ErrWait)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", networkdName, member, err)
	}
	return nil
}

// isMute reports whether the address of the daemon's lease is not there any more.
func (m *managed) isMute(ctx context.Context, s *scene) bool {
	believed, err := netip.ParseAddr(value(s.read("run/systemd/netif/leases"), "ADDRESS"))
	if err != nil {
		return false
	}
	prefixes, err := guest.Addresses(ctx, m.guest)
	if err != nil {
		return false
	}
	for _, p := range prefixes {
		if p.Addr() == believed {
			return false
		}
	}
	return true
}
