package move

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// mover moves one guest. Its methods are the parts of a move; one goroutine at a time calls them.
type mover struct {
	Request
	change
	set     *set
	number  int   // of the request
	lan     *lan  // nil: see err
	rt      *talk // rtnetlink inside
	diag    *talk // sock_diag inside, when connections are to be closed
	frame   int   // packet socket inside, 0: none
	steps   []Step
	since   time.Time // when it became silent
	lost    time.Duration
	touched bool // something was changed
	err     error
}

// patience is how long a guest has to answer ARP; its kernel does so in microseconds, even when all its
// processes are frozen.
const patience = 400 * time.Millisecond

// removals is how often an old address that the guest puts back is removed before it has its way.
const removals = 3

func (m *mover) step(name string) { m.steps = append(m.steps, Step{name, time.Now()}) }

// open enters the namespace, opens all sockets there, and reads the NIC.
func (m *mover) open() error {
	if m.Guest.Namespace.Inode == 0 || m.Guest.NICIndex == 0 {
		return fmt.Errorf("%w: none is known", guest.ErrGone)
	}
	err := guest.Do(m.Guest.Namespace, m.openSockets)
	if err == nil {
		m.was, err = readNIC(m.rt, m.Guest.NICIndex)
	}
	if err == nil {
		m.step("entered")
	}
	return err
}

func (m *mover) openSockets() (err error) {
	if m.rt, err = openTalk(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if m.frame, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if m.drain <= 0 || len(m.gives) > 0 {
		// Kernels that lack it can not close connections; the move is as good without.
		m.diag, _ = openTalk(unix.NETLINK_SOCK_DIAG)
	}
	return nil
}

func (m *mover) close() {
	m.rt.close()
	m.diag.close()
	m.rt, m.diag = nil, nil
	if m.frame != 0 {
		m.set.bury(m.frame)
		m.frame = 0
	}
}

// run moves one guest that needs nobody else to move at the same time.
func (m *mover) run() {
	defer m.close()
	err := m.open()
	if err == nil {
		m.abort(m.gives)
		err = m.occupy()
	}
	if err == nil {
		err = m.verify()
	}
	if err != nil {
		m.fail(err)
		return
	}
	m.conclude()
}

// giveUp makes the guest silent, for another one of its cycle.
func (m *mover) giveUp() error {
	m.touched = true
	m.since = time.Now()
	if err := m.rt.commit(m.release()); err != nil {
		return err
	}
	m.step("given up")
	return nil
}

// occupy makes the guest have its new address, and tells everyone.
func (m *mover) occupy() error {
	m.touched = true
	if err := m.rt.commit(m.take()); err != nil {
		return err
	}
	m.step("added")
	m.set.arrived(m.number)
	m.speakAgain()
	m.announce(m.to)
	m.lan.remember(m.was.mac, []netip.Addr{m.to}, nil)
	m.step("announced")
	return nil
}

// speakAgain ends the silence.
func (m *mover) speakAgain() {
	if !m.since.IsZero() {
		m.lost += time.Since(m.since)
		m.since = time.Time{}
	}
}

// announce sends from inside, so that the frames take the guest's own way. What is lost is no harm: the
// verification asks.
func (m *mover) announce(addrs ...netip.Addr) {
	to := &unix.SockaddrLinklayer{Ifindex: m.was.index, Halen: 6}
	for _, a := range addrs {
		for _, frame := range announcements(m.was.mac, a) {
			_ = unix.Sendto(m.frame, frame, unix.MSG_DONTWAIT, to)
		}
	}
}

// goneAtOnce are the old addresses that nobody has now: without drain, and not another's.
func (m *mover) goneAtOnce() []netip.Addr {
	var gone []netip.Addr
	for _, a := range m.from {
		if m.drain <= 0 && a != m.to && !m.isGiven(a) {
			gone = append(gone, a)
		}
	}
	return gone
}

// verify makes sure that the guest really has its new address and only that: by reading its
// namespace, and by an answer over the wire.
func (m *mover) verify() error {
	deadline := time.Now().Add(patience)
	answer := m.lan.ask(m.to, m.was.mac)
	if err := m.inspect(); err != nil {
		answer.forget()
		return err
	}
	if err := answer.wait(deadline); err != nil {
		return err
	}
	m.step("verified")
	return nil
}

// inspect reads the addresses; an old one that the guest, or its DHCP client, put back goes again.
func (m *mover) inspect() error {
	for try := 0; ; try++ {
		now := nic{index: m.was.index}
		if err := now.readAddresses(m.rt); err != nil {
			return err
		}
		if target, _ := m.target(); !target.isThere(now.addrs) {
			return errRemoved
		}
		left := m.lingering(now.addrs)
		if len(left) == 0 {
			return nil
		}
		if try == removals {
			return errPutBack
		}
		if err := m.rt.commit(m.repeat(now.addrs)); err != nil {
			return err
		}
	}
}

var (
	errRemoved = errors.New("something inside removes it at once")
	errPutBack = errors.New("something inside puts the old address back at once")
)

// conclude closes what can not go on.
func (m *mover) conclude() {
	orders := m.finish()
	if len(orders) == 0 {
		return
	}
	var old []netip.Addr
	for _, a := range m.kept() {
		old = append(old, a.addr)
	}
	// Before the address goes: the resets that are sent need it.
	m.abort(old)
	// Should this fail, the kernel removes them in a moment.
	_ = m.rt.commit(orders)
	m.lan.remember(m.was.mac, nil, m.goneAtOnce())
	m.step("closed")
}

// fail undoes what was done.
func (m *mover) fail(cause error) {
	var undoing error
	if m.touched {
		undoing = m.putBack()
	}
	m.err = m.problem(cause, undoing)
}

// putBack gives the guest what it had, and tells everyone.
func (m *mover) putBack() error {
	err := m.rt.commit(m.restore())
	m.speakAgain()
	old := m.former()
	m.announce(old...)
	m.lan.remember(m.was.mac, old, []netip.Addr{m.to})
	if err == nil {
		m.step("undone")
	}
	return err
}

// former are the addresses that the guest left and has again.
func (m *mover) former() []netip.Addr {
	var old []netip.Addr
	for _, a := range m.leaving() {
		if !slices.Contains(old, a.addr) {
			old = append(old, a.addr)
		}
	}
	return old
}

// retreat is the first half of undoing a cycle: nobody may have an address that another takes back.
func (m *mover) retreat() {
	if !m.touched {
		return
	}
	if m.since.IsZero() {
		m.since = time.Now()
	}
	_ = m.rt.commit(m.drop()) // what fails here fails again when putting back, and is told then
}

// isDue reports whether the request can be begun.
func (m *mover) isDue(ctx context.Context) bool {
	if m.err == nil {
		m.err = ctx.Err()
	}
	return m.err == nil
}
