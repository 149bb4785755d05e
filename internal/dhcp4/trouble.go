package dhcp4

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"berth/internal/ipam"
)

const (
	warnInterval = time.Minute
	// troubleMemory is for how long trouble stands that is not seen again. A client that gets no
	// answer asks again more often than that (RFC 2131 §4.1: at most 64 s, and a second either way).
	troubleMemory = 2 * time.Minute
	// maxTroubled bounds the clients of a port that are named for one kind of trouble.
	maxTroubled = 4
)

// complaint is a kind of trouble with a port that an operator should know of.
type complaint int

const (
	complainFull complaint = iota
	complainCrowd
	complainDisk
	complainImpostor
	complainDeclines
	complainPlace
	numComplaints
)

// String is what the log says.
func (c complaint) String() string {
	return [numComplaints]string{
		complainFull:     "no answer: the range is full",
		complainCrowd:    "no answer: the port has its share of the range",
		complainDisk:     "no answer: not stored",
		complainImpostor: "no answer: the hardware address is another guest's",
		complainDeclines: "decline not heeded: there were too many",
		complainPlace:    "no answer: the address kept for the client is outside the subnet",
	}[c]
}

// troubles is the standing trouble of one port: which clients are not served, and why. What a client suffers
// from is over when it is served, or was not seen for a while. Its methods may be called from several goroutines.
type troubles struct {
	mu     sync.Mutex
	seen   map[complaint]map[ipam.Holder]trouble
	logged [numComplaints]time.Time
}

type trouble struct {
	last    time.Time
	problem *ipam.Problem
}

// add notes trouble; it reports whether the log should say so as well.
func (t *troubles) add(c complaint, h ipam.Holder, p *ipam.Problem, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[complaint]map[ipam.Holder]trouble{}
	}
	if t.seen[c] == nil {
		t.seen[c] = map[ipam.Holder]trouble{}
	}
	if _, ok := t.seen[c][h]; !ok && len(t.seen[c]) >= maxTroubled {
		t.expire(now)
	}
	if _, ok := t.seen[c][h]; ok || len(t.seen[c]) < maxTroubled {
		t.seen[c][h] = trouble{now, p}
	}
	if last := t.logged[c]; !last.IsZero() && now.Sub(last) < warnInterval {
		return false
	}
	t.logged[c] = now
	return true
}

// offered ends the trouble of finding an address for a client.
func (t *troubles) offered(h ipam.Holder) { t.end(h, complainFull, complainCrowd, complainPlace) }

// served ends the trouble of a client that has its address now.
func (t *troubles) served(h ipam.Holder) {
	t.end(h, complainFull, complainCrowd, complainPlace, complainDisk, complainImpostor)
}

func (t *troubles) end(h ipam.Holder, kinds ...complaint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range kinds {
		delete(t.seen[c], h)
	}
}

func (t *troubles) expire(now time.Time) {
	for _, clients := range t.seen {
		for h, s := range clients {
			if now.Sub(s.last) >= troubleMemory {
				delete(clients, h)
			}
		}
	}
}

// problems lists the trouble that stands.
func (t *troubles) problems(now time.Time) ipam.Problems {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	var all ipam.Problems
	for _, clients := range t.seen {
		for _, s := range clients {
			all = append(all, s.problem)
		}
	}
	return all
}

// complain notes trouble with a client, and warns of it at most once a minute for each port and kind. err may be nil.
func (p *port) complain(c complaint, who ipam.Client, net *ipam.Network, err error) {
	if errors.Is(err, context.Canceled) {
		return // the server stops, or the port is gone: no trouble
	}
	if p.troubles.add(c, who.Holder, p.problem(c, who, net, err), p.s.opts.Now()) {
		args := []any{"name", who.Holder.String(), "mac", who.MAC.String(), "port", p.name}
		if err != nil {
			args = append(args, "err", err)
		}
		p.s.log.Warn(c.String(), args...)
	}
}

// problem says to the operator what is wrong with a client.
func (p *port) problem(c complaint, who ipam.Client, net *ipam.Network, err error) *ipam.Problem {
	larger := "make dhcp-range larger in berth.toml, or pin the guest to an address outside it: berth pin NAME ADDRESS"
	switch c {
	case complainFull:
		return &ipam.Problem{
			Code: ipam.CodeFull, Err: err, Hint: larger,
			Text: fmt.Sprintf("the range %s of network %s is full: no address for %s", net.Range, net.Name, who.Holder),
		}
	case complainCrowd:
		return &ipam.Problem{
			Code: ipam.CodeFull, Hint: larger,
			Text: fmt.Sprintf("the clients behind port %s have %d addresses of the range %s of network %s, as many as one port may have: none for %s",
				p.name, share(net), net.Range, net.Name, who.Holder),
		}
	case complainImpostor:
		return &ipam.Problem{
			Code: ipam.CodeConflict, Hint: "give one of the two interfaces another hardware address",
			Text: fmt.Sprintf("port %s: %s is the hardware address of a guest that is plugged in elsewhere; it gets no address", p.name, who.MAC),
		}
	case complainDeclines:
		return &ipam.Problem{
			Code: ipam.CodeConflict, Hint: "somebody may use addresses of the range that are not his: berth ls shows who is static",
			Text: fmt.Sprintf("port %s: %s declines one address after the other; no more are taken out of use for it", p.name, who.Holder),
		}
	case complainPlace:
		return &ipam.Problem{
			Code: ipam.CodeRange, Hint: "pin it to an address of the subnet, or berth unpin it: berth ls",
			Text: fmt.Sprintf("the address kept for %s is outside %s of network %s; it gets none", who.Holder, net.Subnet, net.Name),
		}
	}
	var cause *ipam.Problem
	if errors.As(err, &cause) {
		return &ipam.Problem{
			Code: cause.Code, Err: err, Hint: cause.Hint,
			Text: fmt.Sprintf("DHCP does not answer %s: %s", who.Holder, cause.Text),
		}
	}
	return &ipam.Problem{
		Code: ipam.CodeHost, Err: err, Hint: "journalctl -u berth, and look at the disk: df -h",
		Text: fmt.Sprintf("DHCP does not answer %s: %v", who.Holder, err),
	}
}

// Problems is what keeps the server from serving now, or has kept it from serving a client in the last minutes,
// ordered by text. It is empty when all is well.
func (s *Server) Problems() ipam.Problems {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all ipam.Problems
	if s.running != nil && s.unguarded != nil {
		all = append(all, problemOf(s.unguarded, "DHCP on "+s.net.Load().Name))
	}
	for _, p := range s.ports {
		if err := p.deaf.Load(); err != nil && s.running != nil {
			all = append(all, problemOf(*err, "DHCP on port "+p.name))
		}
		all = append(all, p.troubles.problems(now)...)
	}
	slices.SortFunc(all, func(a, b *ipam.Problem) int { return cmp.Compare(a.Text, b.Text) })
	// What ails the network is one problem, at however many ports.
	return slices.CompactFunc(all, func(a, b *ipam.Problem) bool { return a.Text == b.Text })
}

func problemOf(err error, what string) *ipam.Problem {
	var p *ipam.Problem
	if errors.As(err, &p) {
		return p
	}
	return &ipam.Problem{Code: ipam.CodeHost, Err: err, Text: fmt.Sprintf("%s: %v", what, err), Hint: "ip link show type bridge_slave"}
}
