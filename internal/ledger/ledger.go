// Package ledger is the one owner of pins and leases: it decides who has which
// address, stores the decision, and only then shows it.
//
// There are two sets of tables. Decisions are made, one at a time, on the decided
// ones, so that two of them never give away the same address; readers see the
// shown ones, into which the journal's committer copies each decision once it is
// on disk. What can not be stored is undone in the decided tables. Neither lock is
// held during I/O, and everything but the comparison of a whole set of pins costs
// no more than what changes.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger/journal"
)

// Options is what Open needs; only Dir is required.
type Options struct {
	Dir       string           // the journal's directory, created when absent
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: silent
	Probation time.Duration    // how long a declined address is not given out; 0: 10 min
	FS        journal.FS       // nil: the machine's
	RotateAt  int64            // bytes of journal before it is rotated; 0: 8 MiB
	Retry     time.Duration    // between attempts at a failed disk; 0: 1 s, negative: at every write
}

// Ledger is the one owner of pins and leases. Its methods may be called from several goroutines.
type Ledger struct {
	opts    Options
	log     *slog.Logger
	journal *journal.Journal
	pinning chan struct{} // holds a token while a set of pins is being decided and stored

	mu        sync.Mutex // guards what decisions are made on; taken before show
	rev       uint64     // of the last decision
	decided   map[string]*book
	pools     map[string]*pool
	nextSweep time.Time // the earliest end of a block
	scratch   []byte    // the record being encoded

	unstored   map[key]bool    // whose lease was renewed in memory only, while the disk failed
	renumbered map[string]bool // networks whose leases may lie where they no longer can
	pinMark    uint64          // of the last comparison of pins; guarded by pinning

	show  sync.RWMutex // guards what is seen; not held while mu is being waited for
	shown shown

	observe   sync.RWMutex
	observer  func(network string, h ipam.Holder) (netip.Addr, bool)
	watchers  watchers
	complaint complaints
}

// shown is what readers see. Those who write to offers and nets hold both locks.
type shown struct {
	rev    uint64
	books  map[string]*book
	names  map[string]*nameIndex
	nets   map[string]*ipam.Network
	order  ipam.Networks
	offers offers
	moving map[key]netip.Addr       // until they arrive, these still have that address
	movers map[placeKey]ipam.Holder // the inverse of moving
	acks   map[key][]chan struct{}  // who waits for news of a client
}

// key is a holder on a network.
type key struct {
	network string
	holder  ipam.Holder
}

// placeKey is an address on a network.
type placeKey struct {
	network string
	addr    netip.Addr
}

// Open reads the ledger in o.Dir, which only one process may have open. It fails with an
// *ipam.Problem when another has, when the directory can not be read, or when what was stored is damaged. A disk that can be
// read but not written does not keep it from opening: see Status.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Probation == 0 {
		o.Probation = 10 * time.Minute
	}
	l := &Ledger{
		opts: o, log: o.Log,
		pinning: make(chan struct{}, 1),
		decided: map[string]*book{},
		pools:   map[string]*pool{},

		unstored: map[key]bool{}, renumbered: map[string]bool{},
	}
	l.shown.init()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	loading := newLoader(l)
	j, err := journal.Open(journal.Options{
		Dir: o.Dir, FS: o.FS, Log: o.Log, L: &l.mu,
		Replay: loading.record, Snapshot: l.snapshot,
		RotateAt: o.RotateAt, RetryAfter: o.Retry,
	})
	if err != nil {
		return nil, openProblem(o.Dir, err)
	}
	l.journal = j
	loading.finish(o.Now())
	return l, nil
}

// Lock keeps every process from opening the ledger in dir until it is closed. It fails with an
// *ipam.Problem when one has it open, and with fs.ErrNotExist when there is no such directory.
func Lock(dir string) (io.Closer, error) {
	lock, err := journal.Lock(dir)
	if err != nil {
		return nil, openProblem(dir, err)
	}
	return lock, nil
}

func openProblem(dir string, err error) error {
	var problem *ipam.Problem
	if errors.As(err, &problem) {
		return problem
	}
	var locked *journal.LockedError
	if errors.As(err, &locked) {
		hint := "stop it first: systemctl stop berth; or give this one a directory of its own with --state"
		return &ipam.Problem{Code: ipam.CodeHost, Text: locked.Error(), Hint: hint, Err: err}
	}
	p := &ipam.Problem{
		Code: ipam.CodeHost, Err: err, Text: fmt.Sprintf("the ledger can not be opened: %v", err),
		Hint: "mend " + dir + ", or choose another directory with --state",
	}
	if errors.Is(err, fs.ErrPermission) {
		p.Code, p.Hint = ipam.CodeDenied, "run berth as root, or give it a directory of its own with --state"
	}
	return p
}

// Close stores what is waiting and gives the directory back. Nothing may be decided afterwards.
func (l *Ledger) Close() error {
	l.watchers.close()
	if err := l.journal.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

func (s *shown) init() {
	s.books = map[string]*book{}
	s.names = map[string]*nameIndex{}
	s.nets = map[string]*ipam.Network{}
	s.offers = newOffers()
	s.moving = map[key]netip.Addr{}
	s.movers = map[placeKey]ipam.Holder{}
	s.acks = map[key][]chan struct{}{}
}

// Configure sets the networks in force. It decides nothing: follow it with SetPins,
// which also moves away whoever has an address that the networks no longer allow.
// What is stored for networks that are not named stays.
func (l *Ledger) Configure(nets ipam.Networks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.show.Lock()
	defer l.show.Unlock()
	last := maps.Clone(l.shown.nets)
	l.shown.order = slices.Clone(nets)
	clear(l.shown.nets)
	clear(l.pools)
	for _, n := range nets {
		l.shown.nets[n.Name] = n
		l.bookOf(n.Name)
		l.shown.bookOf(n.Name)
		if before := last[n.Name]; before == nil || before.Subnet != n.Subnet || before.Gateway != n.Gateway {
			l.renumbered[n.Name] = true
		}
		p := newPool(n)
		l.pools[n.Name] = p
		for _, a := range []netip.Addr{n.Gateway, n.Subnet.Addr(), n.Broadcast()} {
			p.set(a, !isUsable(n, a))
		}
		b := l.decided[n.Name]
		for a := range b.owners {
			p.set(a, true)
		}
		for a := range b.pinned {
			p.set(a, true)
		}
		for a := range b.blocks {
			p.set(a, true)
		}
	}
	for at := range l.shown.offers.byAddr {
		l.touch(at.network, at.addr)
	}
}

// touch notes in the pool whether an address is in use by now. The caller holds mu.
func (l *Ledger) touch(network string, a netip.Addr) {
	p := l.pools[network]
	if p == nil {
		return
	}
	if _, ok := p.index(a); !ok {
		return
	}
	b := l.decided[network]
	_, used := b.owners[a]
	if !used {
		used = b.pinned[a] != nil
	}
	if !used {
		_, used = b.blocks[a]
	}
	if !used {
		used = l.shown.offers.byAddr[placeKey{network, a}] != nil
	}
	p.set(a, used || !isUsable(p.net, a))
}

// now is the present, as it will be read back from the journal.
func (l *Ledger) now() time.Time { return time.Unix(0, l.opts.Now().UnixNano()).UTC() }
