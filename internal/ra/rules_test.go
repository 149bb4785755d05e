package ra

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/ipam"
)

func TestDefaultRouter(t *testing.T) {
	tests := []struct {
		name     string
		nat      bool
		prefixes []netip.Prefix
		want     bool
	}{
		{"private and translated", true, []netip.Prefix{prefix("fd00::/64")}, true},
		{"RFC 7084 ULA-5: private and not translated", false, []netip.Prefix{prefix("fd00::/64")}, false},
		{"routed", false, []netip.Prefix{prefix("2001:db8::/64")}, true},
		{"private and routed", false, []netip.Prefix{prefix("fd00::/64"), prefix("2001:db8::/64")}, true},
		{"no prefix", true, nil, false},
	}
	for _, tt := range tests {
		if got := IsDefaultRouter(tt.nat, tt.prefixes); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestCleanConfig(t *testing.T) {
	c, problems := Config{
		Bridge: "br0", MTU: 1000,
		Prefixes: []Prefix{
			{Prefix: prefix("fd00::1/64"), Autonomous: true, OnLink: true},
			{Prefix: prefix("fd00:1::/80"), Autonomous: true, OnLink: true},
			{Prefix: prefix("10.0.0.0/24")},
			{Prefix: prefix("fe80::/64")},
			{},
			{Prefix: prefix("fd00:2::/64"), Deprecated: true, Valid: time.Hour},
			{Prefix: prefix("fd00:3::/64"), Valid: time.Hour},
		},
		Routes: []netip.Prefix{prefix("fd00::/64"), prefix("fd00::/48"), prefix("fd07::1/64"), prefix("10.0.0.0/8")},
		DNS:    []netip.Addr{addr("10.0.0.1"), addr("fd00::1"), addr("::"), addr("ff02::1")},
		Search: []string{"lxd", "", "a..b", strings.Repeat("x", 64), strings.Repeat("abcdefg.", 40)},
	}.clean()
	want := Config{
		Bridge: "br0",
		Prefixes: []Prefix{
			{Prefix: prefix("fd00::/64"), Autonomous: true, OnLink: true, Valid: 24 * time.Hour, Preferred: 12 * time.Hour},
			{Prefix: prefix("fd00:1::/80"), OnLink: true, Valid: 24 * time.Hour, Preferred: 12 * time.Hour},
			{Prefix: prefix("fd00:2::/64"), Deprecated: true, Valid: time.Hour},
			{Prefix: prefix("fd00:3::/64"), Valid: time.Hour, Preferred: time.Hour},
		},
		Routes: []netip.Prefix{prefix("fd00::/48"), prefix("fd07::/64")}, // the first is on the link
		DNS:    []netip.Addr{addr("fd00::1")},
		Search: []string{"lxd"},
	}
	if !c.equal(want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if len(problems) != 13 {
		t.Errorf("%d problems, want 13:\n%s", len(problems), problems.Error())
	}
	again, problems := c.clean()
	if !again.equal(c) || len(problems) != 0 {
		t.Errorf("cleaning twice gives %+v, %v", again, problems)
	}
}

func TestOptionsStayInBounds(t *testing.T) {
	tests := []struct{ in, want [3]time.Duration }{ // MaxInterval, MinInterval, Lifetime
		{[3]time.Duration{}, [3]time.Duration{600 * time.Second, 200 * time.Second, 65535 * time.Second}},
		{[3]time.Duration{time.Second, time.Minute, time.Second}, [3]time.Duration{4 * time.Second, 3 * time.Second, 4 * time.Second}},
		{[3]time.Duration{time.Hour, time.Hour, 48 * time.Hour}, [3]time.Duration{1800 * time.Second, 1350 * time.Second, 65535 * time.Second}},
	}
	for _, tt := range tests {
		o := Options{MaxInterval: tt.in[0], MinInterval: tt.in[1], Lifetime: tt.in[2]}.withDefaults()
		if got := [3]time.Duration{o.MaxInterval, o.MinInterval, o.Lifetime}; got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestScheduleOfUnsolicited(t *testing.T) {
	start := time.Unix(1000, 0)
	for range 100 {
		s := schedule{least: 200 * time.Second, most: 600 * time.Second}
		s.start(start)
		if s.next != start {
			t.Fatal("the first one waits")
		}
		now := start
		for i := range 6 {
			s.sent(now)
			interval := s.next.Sub(now)
			if i < 2 && interval != 16*time.Second {
				t.Fatalf("§6.2.4: initial interval %d is %v", i, interval)
			}
			if i >= 2 && (interval < s.least || interval > s.most) {
				t.Fatalf("§6.2.1: interval %d is %v", i, interval)
			}
			now = s.next
		}
	}
}

func TestScheduleOfAnswersToAll(t *testing.T) {
	t0 := time.Unix(1000, 0)
	tests := []struct {
		name            string
		asked           time.Duration // after the last one
		planned         time.Duration // the next unsolicited one after the last one
		least, atLatest time.Duration
	}{
		{"§6.2.6: after up to half a second", 10 * time.Second, 600 * time.Second, 10 * time.Second, 10*time.Second + maxAnswerDelay},
		{"§6.2.6: not within 3 s of the last", time.Second, 600 * time.Second, minDelay, minDelay + maxAnswerDelay},
		{"§6.2.6: one is due anyway", 10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
	}
	for _, tt := range tests {
		for range 50 {
			s := schedule{last: t0, next: t0.Add(tt.planned)}
			s.hasten(t0.Add(tt.asked))
			if got := s.next.Sub(t0); got < tt.least || got > tt.atLatest {
				t.Errorf("%s: after %v, want %v to %v", tt.name, got, tt.least, tt.atLatest)
			}
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	var a answers
	planned := 0
	for i := range 1000 {
		if a.add(addr(fmt.Sprintf("fe80::%x", i+1)), now) {
			planned++
		}
	}
	if planned != answerRate {
		t.Errorf("%d answers planned at once, want %d", planned, answerRate)
	}
	if !a.add(addr("fe80::1"), now) || len(a.due) != answerRate {
		t.Error("one who asks again before it was answered costs something")
	}
	if next := a.next(now.Add(time.Hour)); next.After(now.Add(maxAnswerDelay)) {
		t.Errorf("the first is due after %v", next.Sub(now))
	}
	now = now.Add(maxAnswerDelay)
	if got := len(a.ripe(now)); got != answerRate || len(a.due) != 0 {
		t.Errorf("%d of %d are due after half a second", got, answerRate)
	}
	for i := range 1000 {
		now = now.Add(time.Second) // plenty of tokens
		a.add(addr(fmt.Sprintf("fe80::%x", i+1)), now)
	}
	if len(a.due) > maxPending {
		t.Errorf("%d answers pending", len(a.due))
	}
}

func TestWithdrawnThings(t *testing.T) {
	o := Options{}.withDefaults()
	t0 := time.Unix(1000, 0)
	full := func(p string) Prefix {
		return Prefix{Prefix: prefix(p), OnLink: true, Autonomous: true}.withLifetimes()
	}
	one := full("fd00:1::/64")
	noAuto, noLink := one, one
	noAuto.Autonomous, noLink.OnLink = false, false
	tests := []struct {
		name     string
		from, to Config
		after    time.Duration
		prefixes []Prefix // besides those of to
		gone     string   // what has lifetime zero
	}{
		{"RFC 4862 §5.5.3 e: a prefix", Config{Prefixes: []Prefix{one}}, Config{}, 0,
			[]Prefix{{Prefix: one.Prefix, OnLink: true, Autonomous: true, Valid: 2 * time.Hour, Deprecated: true}}, ""},
		{"counted down", Config{Prefixes: []Prefix{one}}, Config{}, 90 * time.Minute,
			[]Prefix{{Prefix: one.Prefix, OnLink: true, Autonomous: true, Valid: 30 * time.Minute, Deprecated: true}}, ""},
		{"forgotten", Config{Prefixes: []Prefix{one}}, Config{}, 2 * time.Hour, nil, ""},
		{"no addresses from it any more", Config{Prefixes: []Prefix{one}}, Config{Prefixes: []Prefix{noAuto}}, 0,
			[]Prefix{{Prefix: one.Prefix, Autonomous: true, Valid: 2 * time.Hour, Deprecated: true}}, ""},
		{"RFC 4861 §6.3.4: not on the link any more", Config{Prefixes: []Prefix{one}}, Config{Prefixes: []Prefix{noLink}}, 0,
			[]Prefix{{Prefix: one.Prefix, OnLink: true, Deprecated: true}}, ""},
		{"nothing changed", Config{Prefixes: []Prefix{one}, DNS: []netip.Addr{addr("fd00::1")}}, Config{Prefixes: []Prefix{one}, DNS: []netip.Addr{addr("fd00::1")}}, 0, nil, ""},
		{"resolvers, domains, routes", Config{DNS: []netip.Addr{addr("fd00::1"), addr("fd00::2")}, Search: []string{"lxd"}, Routes: []netip.Prefix{prefix("fd09::/48")}},
			Config{DNS: []netip.Addr{addr("fd00::2")}}, 29 * time.Minute, nil, "fd00::1 lxd fd09::/48"},
		{"resolvers after their lifetime", Config{DNS: []netip.Addr{addr("fd00::1")}, Routes: []netip.Prefix{prefix("fd09::/48")}}, Config{}, 30 * time.Minute, nil, "fd09::/48"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m memory
			m.change(tt.from, tt.to, o, t0)
			a := m.compose(tt.to, ipam.MAC{}, o, t0.Add(tt.after))
			if got := a.prefixes[len(tt.to.Prefixes):]; !slices.Equal(got, tt.prefixes) {
				t.Errorf("prefixes %+v, want %+v", got, tt.prefixes)
			}
			var gone []string
			for _, r := range a.resolvers {
				if r.life == 0 {
					gone = append(gone, r.what.String())
				}
			}
			for _, d := range a.search {
				if d.life == 0 {
					gone = append(gone, d.what)
				}
			}
			for _, r := range a.routes {
				if r.life == 0 {
					gone = append(gone, r.what.String())
				}
			}
			if got := strings.Join(gone, " "); got != tt.gone {
				t.Errorf("withdrawn %q, want %q", got, tt.gone)
			}
		})
	}
	t.Run("back again", func(t *testing.T) {
		var m memory
		both := Config{Prefixes: []Prefix{one}, Search: []string{"lxd"}}
		m.change(both, Config{}, o, t0)
		m.change(Config{}, both, o, t0.Add(time.Minute))
		if len(m.prefixes) != 0 || len(m.search) != 0 {
			t.Errorf("still withdrawn: %+v", m)
		}
	})
	t.Run("half of it back again", func(t *testing.T) {
		var m memory
		m.change(Config{Prefixes: []Prefix{one}}, Config{}, o, t0)
		m.change(Config{}, Config{Prefixes: []Prefix{noAuto}}, o, t0)
		if len(m.prefixes) != 1 || m.prefixes[0].onLink || !m.prefixes[0].autonomous {
			t.Errorf("got %+v", m.prefixes)
		}
	})
	t.Run("renumbered every minute", func(t *testing.T) {
		var m memory
		before := Config{}
		for i := range 100 {
			c := Config{Prefixes: []Prefix{full(fmt.Sprintf("fd00:%x::/64", i))}, Search: []string{fmt.Sprint(i)}}
			m.change(before, c, o, t0.Add(time.Duration(i)*time.Minute))
			before = c
		}
		if len(m.prefixes) != maxRetired || len(m.search) != maxRetired {
			t.Errorf("%d prefixes and %d domains remembered", len(m.prefixes), len(m.search))
		}
		if last := m.prefixes[maxRetired-1].prefix; last != prefix("fd00:62::/64") {
			t.Errorf("the youngest is %s", last)
		}
	})
}

func TestRivals(t *testing.T) {
	now := time.Unix(1000, 0)
	mac := ipam.MAC{2, 0, 0, 0, 0, 5}
	own := addr("fe80::ff")
	from := func(s string) heard { return heard{packet{from: addr(s)}, mac} }
	var r rivals
	if !r.add(from("fe80::5%br0"), time.Hour, now) || r.add(from("fe80::5%br0"), time.Hour, now) {
		t.Error("the first time it is new, the second it is not")
	}
	r.add(from("fe80::6%br0"), 0, now)
	r.add(from("fe80::ff%br0"), 0, now)
	texts := r.problems("br0", own, now).Error()
	for _, want := range []string{
		"another router advertises itself on br0: fe80::5, from 02:00:00:00:00:05; guests may take it for their default router",
		"another router advertises itself on br0: fe80::6, from 02:00:00:00:00:05\n",
		"02:00:00:00:00:05 sends router advertisements on br0 in the name of this host (fe80::ff)",
	} {
		if !strings.Contains(texts+"\n", want) {
			t.Errorf("no %q in:\n%s", want, texts)
		}
	}
	r.add(from("fe80::5%br0"), 0, now)
	if got := r.problems("br0", own, now); len(got) != 2 {
		t.Errorf("after its farewell:\n%s", got.Error())
	}
	if got := r.problems("br0", own, now.Add(rivalMemory)); len(got) != 0 {
		t.Errorf("long after:\n%s", got.Error())
	}
	for i := range 100 {
		r.add(from(fmt.Sprintf("fe80::%x", i+16)), 0, now)
	}
	if len(r.known) != maxRivals {
		t.Errorf("%d remembered", len(r.known))
	}
}

func TestChooseSource(t *testing.T) {
	mac := ipam.MAC{0x02, 0, 0, 0, 0, 1}
	made, proxy, other := addr("fe80::ff:fe00:1"), addr("fe80::1"), addr("fe80::77")
	tests := []struct {
		name    string
		addrs   []address
		source  netip.Addr
		pending bool
		clash   bool
	}{
		{"none", nil, netip.Addr{}, false, false},
		{"the proxy's is the last", []address{{addr: proxy}, {addr: other}, {addr: made}}, made, false, false},
		{"the proxy's before another", []address{{addr: proxy}, {addr: other}}, other, false, false},
		{"the proxy's alone", []address{{addr: proxy}}, proxy, false, false},
		{"RFC 4862 §5.4: tentative is waited for", []address{{addr: proxy}, {addr: made, tentative: true}}, made, true, false},
		{"a duplicate is not used", []address{{addr: made, failed: true}, {addr: other}}, other, false, true},
		{"only a duplicate", []address{{addr: made, failed: true}}, netip.Addr{}, false, true},
	}
	for _, tt := range tests {
		l := link{mac: mac, up: true, carrier: true}
		l.choose(tt.addrs)
		if l.source != tt.source || l.pending != tt.pending || l.clash != tt.clash {
			t.Errorf("%s: %+v", tt.name, l)
		}
	}
}

func TestProblemOfLink(t *testing.T) {
	source := addr("fe80::1")
	tests := []struct {
		name string
		link link
		want string // in text and hint; "" for no problem
	}{
		{"well", link{up: true, carrier: true, source: source}, ""},
		{"no guest yet", link{up: true}, ""},
		{"address tentative", link{up: true, carrier: true, source: source, pending: true}, ""},
		{"switched off", link{up: true, carrier: true, disabled: true}, "disable_ipv6=0"},
		{"down", link{}, "ip link set br0 up"},
		{"no link-local address", link{up: true, carrier: true}, "addrgenmode"},
		{"duplicate", link{up: true, carrier: true, clash: true}, "the same link-local address"},
	}
	for _, tt := range tests {
		p := tt.link.problem("br0")
		if tt.want == "" && p != nil || tt.want != "" && (p == nil || !strings.Contains(p.Text+" "+p.Hint, tt.want)) {
			t.Errorf("%s: %+v, want %q", tt.name, p, tt.want)
		}
	}
}
