package ra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// twin is a bridge in memory, on which everything that is sent is kept with its time.
type twin struct {
	hints chan<- struct{}

	mu      sync.Mutex
	link    link
	lookErr error
	openErr error
	opened  int
	sent    []sent
	sendErr error
	in      chan packet
	heard   chan heard
}

type sent struct {
	at   time.Time
	to   netip.Addr
	body []byte
}

func newTwin() *twin {
	return &twin{
		link: link{index: 5, mac: ipam.MAC{2, 0, 0, 0, 0, 1}, up: true, carrier: true, source: addr("fe80::ff:fe00:1")},
		in:   make(chan packet), heard: make(chan heard),
	}
}

func (w *twin) kernel() kernel {
	return kernel{
		look: func(string) (link, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.link, w.lookErr
		},
		watch: func(ctx context.Context, _ string, out chan<- struct{}) {
			w.hints = out
			<-ctx.Done()
		},
		open: func(string, link) (wire, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.opened++
			return &twinWire{twin: w, closed: make(chan struct{})}, w.openErr
		},
		hear: func(string, link) (ear, error) { return &twinEar{twin: w, closed: make(chan struct{})}, nil },
	}
}

// set changes the bridge as the kernel would, with an event.
func (w *twin) set(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	hint(w.hints)
}

type twinWire struct {
	*twin
	closed chan struct{}
	once   sync.Once
}

func (w *twinWire) send(message []byte, to netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sendErr != nil {
		return w.sendErr
	}
	w.sent = append(w.sent, sent{time.Now(), to, message})
	return nil
}

func (w *twinWire) receive() (packet, error) {
	select {
	case p := <-w.in:
		return p, nil
	case <-w.closed:
		return packet{}, net.ErrClosed
	}
}

func (w *twinWire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

type twinEar struct {
	*twin
	closed chan struct{}
	once   sync.Once
}

func (e *twinEar) receive() (heard, error) {
	select {
	case h := <-e.heard:
		return h, nil
	case <-e.closed:
		return heard{}, net.ErrClosed
	}
}

func (e *twinEar) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// since gives what was sent from an index on.
func (w *twin) since(n int) []sent {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent[n:])
}

var lab = Config{
	Bridge: "lxdbr0", Router: true,
	Prefixes: []Prefix{{Prefix: prefix("fd94:d372:e27f:2987::/64"), OnLink: true, Autonomous: true}},
	DNS:      []netip.Addr{addr("fd94:d372:e27f:2987::1")}, Search: []string{"lxd"},
}

// inBubble runs a server on a twin inside a bubble of synctest, where time is not real.
func inBubble(t *testing.T, c Config, f func(t *testing.T, s *Server, w *twin)) {
	synctest.Test(t, func(t *testing.T) {
		w := newTwin()
		s := NewServer(c, Options{})
		s.kernel = w.kernel()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		<-s.Ready()
		synctest.Wait()
		f(t, s, w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func solicit(from string) packet {
	return packet{from: addr(from), hops: 255, body: []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}}
}

func TestUnsolicitedGoOutByTheClock(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, _ *Server, w *twin) {
		start := time.Now()
		time.Sleep(time.Hour)
		all := w.since(0)
		if len(all) < 7 || len(all) > 20 {
			t.Fatalf("%d in an hour", len(all))
		}
		for i, m := range all {
			if m.to != allNodes {
				t.Errorf("one went to %s", m.to)
			}
			if i == 0 && !m.at.Equal(start) {
				t.Errorf("the first came after %v", m.at.Sub(start))
			}
			if i > 0 && m.at.Sub(all[i-1].at) < minDelay {
				t.Errorf("two within %v", m.at.Sub(all[i-1].at))
			}
		}
	})
}

func TestWhoAsksIsAnswered(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, _ *Server, w *twin) {
		time.Sleep(time.Minute)
		n, asked := len(w.since(0)), time.Now()
		w.in <- solicit("fe80::5%lxdbr0")
		w.in <- solicit("fe80::5%lxdbr0") // asks twice
		w.in <- packet{from: addr("fe80::6%lxdbr0"), hops: 64, body: []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}}
		time.Sleep(maxAnswerDelay)
		got := w.since(n)
		if len(got) != 1 || got[0].to != addr("fe80::5%lxdbr0") || got[0].at.Sub(asked) > maxAnswerDelay {
			t.Fatalf("answers %v", got)
		}
		n += 1
		w.in <- solicit("::") // has no address to be answered at
		time.Sleep(maxAnswerDelay)
		if got := w.since(n); len(got) != 1 || got[0].to != allNodes {
			t.Fatalf("answers %v", got)
		}
		n += 1
		w.in <- solicit("::")
		time.Sleep(minDelay - maxAnswerDelay - time.Millisecond)
		if got := w.since(n); len(got) != 0 {
			t.Fatalf("§6.2.6: within 3 s %v", got)
		}
		time.Sleep(2*maxAnswerDelay + time.Millisecond)
		if got := w.since(n); len(got) != 1 || got[0].to != allNodes {
			t.Fatalf("answers %v", got)
		}
	})
}

func TestAFloodOfQuestionsCostsLittle(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, _ *Server, w *twin) {
		time.Sleep(time.Minute)
		n := len(w.since(0))
		for i := range 10_000 {
			w.in <- solicit(fmt.Sprintf("fe80::%x%%lxdbr0", i+1))
			if i%1000 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(minDelay)
		got, multicasts := w.since(n), 0
		for _, m := range got {
			if m.to == allNodes {
				multicasts++
			}
		}
		if multicasts == 0 {
			t.Error("those who got no answer of their own were not told at all")
		}
		if len(got) > 13*(answerRate+1) || multicasts > 5 {
			t.Errorf("%d answers, %d of them to all", len(got), multicasts)
		}
	})
}

func TestAChangeIsToldAtOnce(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, s *Server, w *twin) {
		time.Sleep(time.Minute)
		n := len(w.since(0))
		s.SetConfig(lab) // the same
		if got := w.since(n); len(got) != 0 {
			t.Fatalf("nothing changed, but sent %v", got)
		}
		c := lab
		c.Prefixes = []Prefix{{Prefix: prefix("fd00:5::/64"), OnLink: true, Autonomous: true}}
		s.SetConfig(c)
		got := w.since(n)
		if len(got) != 1 || got[0].to != allNodes || !got[0].at.Equal(time.Now()) {
			t.Fatalf("sent %v", got)
		}
		var prefixes []string
		if err := eachOption(got[0].body[16:], func(kind byte, v []byte) {
			if kind == optPrefix {
				prefixes = append(prefixes, fmt.Sprintf("%x preferred %x", v[14:22], v[6:10]))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"fd00000500000000 preferred 0000a8c0", "fd94d372e27f2987 preferred 00000000"}; !slices.Equal(prefixes, want) {
			t.Errorf("prefixes %q, want %q", prefixes, want)
		}
		s.SetConfig(lab) // and back: not within 3 s to all, but at once to who asks
		if got := w.since(n + 1); len(got) != 0 {
			t.Fatalf("§6.2.6: sent %v", got)
		}
		w.in <- solicit("fe80::5%lxdbr0")
		time.Sleep(maxAnswerDelay)
		if got := w.since(n + 1); len(got) != 1 || !strings.Contains(string(got[0].body), "\xfd\x94\xd3\x72") {
			t.Fatalf("sent %v", got)
		}
		time.Sleep(minDelay - maxAnswerDelay)
		if got := w.since(n + 2); len(got) != 1 || got[0].to != allNodes {
			t.Fatalf("sent %v", got)
		}
	})
}

func TestTheBridgeComesAndGoes(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, s *Server, w *twin) {
		wantProblem := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := s.Problems().Error(); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("problems %q, want %q", got, want)
			}
		}
		wantProblem("")
		well := w.link
		for _, tt := range []struct {
			name    string
			change  func()
			problem string
		}{
			{"deleted", func() { w.lookErr = errNoBridge }, "there is no such bridge"},
			{"made anew", func() { w.lookErr, w.link.index = nil, 6 }, ""},
			{"down", func() { w.link.up = false }, "it is down"},
			{"IPv6 off", func() { w.link.up, w.link.disabled = true, true }, "IPv6 is switched off"},
			{"tentative", func() { w.link.disabled, w.link.pending = false, true }, ""},
			{"well", func() { w.link = well }, ""},
			{"no guest", func() { w.link.carrier = false }, ""},
			{"first guest", func() { w.link.carrier = true }, ""},
		} {
			time.Sleep(minDelay)
			n := len(w.since(0))
			w.set(tt.change)
			wantProblem(tt.problem)
			if sends, want := len(w.since(n)) > 0, w.link.ready() && w.lookErr == nil; sends != want {
				t.Errorf("%s: advertises: %v, want %v", tt.name, sends, want)
			}
		}
		w.set(func() { w.link.mac[5] = 9 })
		all := w.since(0)
		if last := all[len(all)-1].body; !slices.Equal(last[18:24], []byte{2, 0, 0, 0, 0, 9}) {
			t.Errorf("the new hardware address is not told: %x", last)
		}
	})
}

func TestANewSourceEndsTheOldRouter(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, _ *Server, w *twin) {
		n := len(w.since(0))
		w.set(func() { w.link.source = addr("fe80::77") })
		got := w.since(n)
		if len(got) != 2 || got[0].body[6] != 0 || got[0].body[7] != 0 || got[1].body[6] == 0 {
			t.Errorf("sent %v, want one with lifetime zero before the new one", got)
		}
	})
}

func TestASocketThatBreaksIsOpenedAgain(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, s *Server, w *twin) {
		time.Sleep(time.Minute)
		w.set(func() { w.sendErr = errors.New("network is down") })
		c := lab
		c.Managed = true
		s.SetConfig(c)
		synctest.Wait()
		if got := s.Problems().Error(); !strings.Contains(got, "network is down") {
			t.Errorf("problems %q", got)
		}
		w.set(func() { w.sendErr, w.openErr = nil, errors.New("too many open files") })
		time.Sleep(2 * reopenPause)
		if got := s.Problems().Error(); !strings.Contains(got, "too many open files") {
			t.Errorf("problems %q", got)
		}
		n := len(w.since(0))
		w.set(func() { w.openErr = nil })
		time.Sleep(2 * reopenPause)
		if got := w.since(n); len(got) != 1 || got[0].body[5] != flagManaged || len(s.Problems()) != 0 {
			t.Errorf("sent %v, problems %v", got, s.Problems())
		}
	})
}

func TestOthersAreToldOf(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, s *Server, w *twin) {
		time.Sleep(time.Minute)
		n := len(w.since(0))
		body := advertisement{lifetime: time.Hour}.encode()[0]
		w.heard <- heard{packet{from: addr("fe80::bad%lxdbr0"), hops: 255, body: body}, ipam.MAC{2, 0, 0, 0, 0, 6}}
		w.heard <- heard{packet{from: addr("fe80::bad%lxdbr0"), hops: 1, body: body}, ipam.MAC{2, 0, 0, 0, 0, 7}}
		time.Sleep(maxAnswerDelay)
		if got := s.Problems(); len(got) != 1 || !strings.Contains(got.Error(), "fe80::bad, from 02:00:00:00:00:06") {
			t.Errorf("problems %v", got)
		}
		if got := w.since(n); len(got) != 0 {
			t.Errorf("sent %v", got)
		}
		forged := advertisement{}.encode()[0] // "this host is no router"
		w.heard <- heard{packet{from: w.link.source.WithZone("lxdbr0"), hops: 255, body: forged}, ipam.MAC{2, 0, 0, 0, 0, 6}}
		time.Sleep(maxAnswerDelay)
		if got := w.since(n); len(got) != 1 || got[0].to != allNodes {
			t.Errorf("after a forged farewell sent %v", got)
		}
		if got := s.Problems().Error(); !strings.Contains(got, "in the name of this host") {
			t.Errorf("problems %v", got)
		}
	})
}

func TestFarewell(t *testing.T) {
	inBubble(t, lab, func(t *testing.T, s *Server, w *twin) {
		time.Sleep(time.Minute)
		n := len(w.since(0))
		if err := s.Farewell(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := w.since(n)
		if len(got) != 1 || got[0].body[6] != 0 || got[0].body[7] != 0 {
			t.Fatalf("sent %v", got)
		}
		zero := map[byte]bool{}
		if err := eachOption(got[0].body[16:], func(kind byte, v []byte) {
			switch kind {
			case optPrefix:
				zero[kind] = slices.Equal(v[6:10], make([]byte, 4))
			case optResolvers, optSearch:
				zero[kind] = slices.Equal(v[2:6], make([]byte, 4))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !zero[optPrefix] || !zero[optResolvers] || !zero[optSearch] {
			t.Errorf("not all is withdrawn: %v", zero)
		}
		w.in <- solicit("fe80::5%lxdbr0")
		s.SetConfig(Config{Bridge: "lxdbr0", Router: true})
		time.Sleep(time.Hour)
		if got := w.since(n + 1); len(got) != 0 {
			t.Errorf("after the farewell sent %v", got)
		}
	})
}

func TestStoppingSaysNothing(t *testing.T) {
	var w *twin
	var n int
	inBubble(t, lab, func(t *testing.T, _ *Server, twin *twin) {
		time.Sleep(time.Minute)
		w, n = twin, len(twin.since(0))
	})
	if len(w.sent) != n {
		t.Errorf("sent %v", w.sent[n:])
	}
}

func TestFarewellWhereNobodyListens(t *testing.T) {
	for name, change := range map[string]func(w *twin){
		"no bridge": func(w *twin) { w.lookErr = errNoBridge },
		"no guest":  func(w *twin) { w.link.carrier = false },
	} {
		w := newTwin()
		change(w)
		if err := farewell(t.Context(), w.kernel(), lab, Options{}.withDefaults()); err != nil || w.opened != 0 {
			t.Errorf("%s: %v, %d sockets", name, err, w.opened)
		}
	}
	w := newTwin()
	w.openErr = errors.New("out of buffers")
	var p *ipam.Problem
	if err := farewell(t.Context(), w.kernel(), lab, Options{}.withDefaults()); !errors.As(err, &p) {
		t.Errorf("got %v, want a problem", err)
	}
}
