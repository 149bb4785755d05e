package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"berth/internal/ipam"
	"berth/internal/leasefile"
	"berth/internal/ledger"
)

const (
	mirrorGather  = 50 * time.Millisecond  // after a change, for what comes with it
	mirrorPause   = 250 * time.Millisecond // between two writings, at least
	mirrorPatient = 900 * time.Millisecond // at most: a change is in the file within a second
	mirrorShare   = 10                     // a writing takes one part in so many of the time
)

// mirror keeps a lease file in dnsmasq's form for each network, for tools that read one. It reads the
// ledger as everybody does, and keeps nobody waiting.
type mirror struct {
	dir      string
	book     mirrorBook
	networks func() ipam.Networks
	report   func(ipam.Problems)
	log      *slog.Logger

	nudged  chan struct{}     // the networks have changed
	seed    maphash.Seed      // of written
	written map[string]uint64 // by path, a hash of what is there
	text    []byte            // used again
	failed  string            // what was complained of last
}

// mirrorBook is what the mirror reads.
type mirrorBook interface {
	Watch() (events <-chan ledger.Event, stop func())
	Leases() []ipam.Lease
	LookupAddr(a netip.Addr) (name, network string, ok bool)
	LookupName(network, name string) (addrs []netip.Addr, exists bool)
}

func newMirror(dir string, book mirrorBook, networks func() ipam.Networks, report func(ipam.Problems), log *slog.Logger) *mirror {
	return &mirror{
		dir: dir, book: book, networks: networks, report: report, log: log,
		nudged: make(chan struct{}, 1), seed: maphash.MakeSeed(), written: map[string]uint64{},
	}
}

// String names the task.
func (m *mirror) String() string { return "lease file mirror" }

// nudge has the files written anew: the networks have changed. It never blocks.
func (m *mirror) nudge() {
	select {
	case m.nudged <- struct{}{}:
	default: // already told
	}
}

// Run keeps the files current until ctx ends; they stay, as they are then.
func (m *mirror) Run(ctx context.Context) error {
	events, stop := m.book.Watch()
	defer stop()
	m.recall()
	for {
		began := time.Now()
		next := m.write(began)
		took := time.Since(began)
		if !m.await(ctx, events, next) || !pauseFor(ctx, max(mirrorGather, mirrorRest(took)-time.Since(began))) {
			m.write(time.Now()) // what came last
			return nil
		}
		drain(events)
	}
}

// recall has files of an earlier run removed that are about networks which are no more.
func (m *mirror) recall() {
	paths, _ := filepath.Glob(filepath.Join(m.dir, "dnsmasq.*.leases")) // the pattern is a good one
	for _, path := range paths {
		m.written[path] = 0
	}
}

// drain drops what has happened before a writing begins: it will be in it.
func drain(events <-chan ledger.Event) {
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// mirrorRest is how long after the beginning of a writing that took so long the next may begin.
func mirrorRest(took time.Duration) time.Duration {
	return min(max(mirrorShare*took, mirrorPause), mirrorPatient)
}

// await waits until the files may be out of date: next is when a lease runs out, zero for never.
// false: ctx ended, or the ledger did.
func (m *mirror) await(ctx context.Context, events <-chan ledger.Event, next time.Time) bool {
	var expired <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(time.Until(next))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-m.nudged:
			return true
		case <-expired:
			return true
		case _, ok := <-events:
			return ok
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// write brings all files up to date, and returns when the first of the leases in them runs out.
func (m *mirror) write(now time.Time) (next time.Time) {
	byNetwork := make(map[string][]ipam.Lease)
	for _, l := range m.book.Leases() {
		if l.Idle || !l.Expiry.IsZero() && !l.Expiry.After(now) {
			continue
		}
		byNetwork[l.Network] = append(byNetwork[l.Network], l)
		if !l.Expiry.IsZero() && (next.IsZero() || l.Expiry.Before(next)) {
			next = l.Expiry
		}
	}
	var problems ipam.Problems
	gone := make(map[string]bool)
	for path := range m.written {
		gone[path] = true
	}
	for _, n := range m.networks() {
		path := filepath.Join(m.dir, "dnsmasq."+n.Name+".leases")
		delete(gone, path)
		file := leasefile.File{Leases: m.leases(n, byNetwork[n.Name])}
		m.text = file.Append(m.text[:0])
		hash := maphash.Bytes(m.seed, m.text)
		if last, ok := m.written[path]; ok && last == hash {
			continue
		}
		if err := replaceMirror(path, m.text); err != nil {
			delete(m.written, path)
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeHost, Err: err, Text: fmt.Sprintf("the lease file for other tools is out of date: %v", err), Hint: "df -h " + m.dir,
			})
			continue
		}
		m.written[path] = hash
	}
	for path := range gone {
		_ = os.Remove(path) // nobody reads on about a network that is no more
		delete(m.written, path)
	}
	m.complain(problems)
	return next
}

// complain says what is wrong in the status always, and in the log once.
func (m *mirror) complain(problems ipam.Problems) {
	m.report(problems)
	text := problems.Error()
	if text != "" && text != m.failed {
		m.log.Warn("lease file not written", "err", problems)
	}
	m.failed = text
}

// leases are a network's leases as dnsmasq would list them: the newest first, each with the address that
// its holder is to have by now.
func (m *mirror) leases(n *ipam.Network, all []ipam.Lease) []leasefile.Lease {
	slices.SortFunc(all, func(a, b ipam.Lease) int {
		return cmp.Or(b.Start.Compare(a.Start), a.Addr.Compare(b.Addr))
	})
	out := make([]leasefile.Lease, len(all))
	claimed := make(map[string]bool)
	for i, l := range slices.Backward(all) { // who had a name first has it
		id, _ := hex.DecodeString(l.ClientID) // what is stored is hexadecimal
		out[i] = leasefile.Lease{Expiry: l.Expiry, Hardware: leasefile.HardwareOf(l.MAC), Addr: l.Addr, ClientID: id}
		if name, network, ok := m.book.LookupAddr(l.Addr); ok && network == n.Name {
			out[i].Hostname = name
			continue
		}
		if l.Hostname == "" || claimed[l.Hostname] {
			continue
		}
		// A name that is somebody's is not had by claiming it.
		if _, taken := m.book.LookupName(n.Name, l.Hostname); !taken {
			claimed[l.Hostname] = true
			out[i].Hostname = l.Hostname
		}
	}
	return out
}

// replaceMirror replaces path as a whole. It is not synced: the ledger is the truth, and it is written anew at start.
func replaceMirror(path string, text []byte) error {
	temporary := path + ".new"
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary) // the first error says why
		return err
	}
	return nil
}
