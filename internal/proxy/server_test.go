package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"berth/internal/netnstest"
)

func TestGuestsAlone(t *testing.T) {
	w := newWorld(t, Config{Addr: netip.MustParseAddr("10.64.177.1"), Subnets: []netip.Prefix{netip.MustParsePrefix("10.64.177.0/24")}}, Limits{}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "web") }), false)
	g := w.guest("g1")
	g.Run(t, "ip", "addr", "add", "10.64.177.9/24", "dev", "eth0")
	g.Run(t, "ip", "addr", "add", "192.0.2.9/24", "dev", "eth0")
	netnstest.Run(t, "ip", "route", "add", "192.0.2.0/24", "dev", "lxdbr0")
	const request = "GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n"

	c, err := g.dialTo("10.64.177.9", "10.64.177.1:13128")
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := ask(t, c, request); resp.StatusCode != 200 || body != "web" {
		t.Errorf("a guest: %s %q", resp.Status, body)
	}
	c.Close()

	isTurnedAway := func(who string, c net.Conn) {
		t.Helper()
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(deadline))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil) // without having asked
		if err != nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, %v", who, resp, err)
			return
		}
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "for the guests of its network alone") {
			t.Errorf("%s: %q", who, body)
		}
	}
	if c, err = g.dialTo("192.0.2.9", "10.64.177.1:13128"); err != nil {
		t.Fatal(err)
	}
	isTurnedAway("an address of another subnet", c)

	host, err := net.Dial("tcp", "10.64.177.1:13128")
	switch {
	case err == nil:
		isTurnedAway("the host", host)
	case !strings.Contains(err.Error(), "refused"):
		t.Error(err)
	}
	beyond := &guest{Guest: w.web, t: t}
	beyond.Run(t, "ip", "addr", "add", "10.64.177.99/32", "dev", "lo") // may as well call itself a guest
	for _, to := range []string{"10.64.177.1:13128", "198.51.100.1:13128"} {
		if c, err := beyond.dialTo("198.51.100.2", to); err == nil {
			c.Close()
			t.Errorf("from beyond the bridge, %s can be connected to", to)
		}
	}
}

func TestTheHostIsNoGuestByLinkLocalEither(t *testing.T) {
	newWorld(t, Config{}, Limits{}).listening()
	c, err := net.Dial("tcp", "[fe80::1%lxdbr0]:13128")
	if err != nil {
		return // does not even connect
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(deadline))
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestSlowGuests(t *testing.T) {
	const patience = 300 * time.Millisecond
	w := newWorld(t, Config{}, Limits{Request: patience, Body: patience, KeepAlive: patience}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			_, _ = io.Copy(rw, zeros{})
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}), false)
	g := w.guest("g1")
	for name, said := range map[string]string{
		"says nothing":                  "",
		"half a header":                 "GET http://web.example/ HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"half a body":                   "POST http://web.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
		"half a chunk":                  "POST http://web.example/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
		"nothing after its request":     "GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"does not take what it asks of": "GET http://web.example/endless HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := g.mustDial()
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		eventually(t, "the connection of a guest that "+name+" is counted", func() bool { return w.conns() > 0 || time.Since(start) > patience })
		eventually(t, "a guest that "+name+" is dropped", func() bool { return w.conns() == 0 })
		c.Close()
	}
}

// TestALongRequestIsNoSlowGuest: the patience is with a guest that owes something, not with a server that takes its time.
func TestALongRequestIsNoSlowGuest(t *testing.T) {
	const patience = 200 * time.Millisecond
	w := newWorld(t, Config{}, Limits{Request: patience, Body: patience, KeepAlive: patience}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-time.After(3 * patience):
		case <-r.Context().Done():
			t.Error("the proxy gave up")
		}
		io.WriteString(rw, "at last")
	}), false)
	g := w.guest("g1")
	for _, request := range []string{
		"GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST http://web.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
	} {
		if resp, body := g.say(request); resp.StatusCode != 200 || body != "at last" {
			t.Errorf("%s %q", resp.Status, body)
		}
	}
}

func TestServersThatDoNotAnswer(t *testing.T) {
	const patience = 300 * time.Millisecond
	w := newWorld(t, Config{}, Limits{Response: patience, Dial: patience}).listening()
	l := w.listenAt(80)
	go func() {
		for {
			if _, err := l.Accept(); err != nil { // and say nothing
				return
			}
		}
	}()
	// Nobody has this address, and asking who has takes longer than the proxy waits.
	w.names.addrs["gone.example"] = []string{"198.51.100.77"}
	g := w.guest("g1")
	for _, request := range []string{
		"GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://gone.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT gone.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if resp, body := g.say(request); resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, "does not answer in time") {
			t.Errorf("%q: %s %q", request, resp.Status, body)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	w := newWorld(t, Config{}, Limits{ConnsEach: 3, Conns: 5}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "web") }), false)
	a, b := w.guest("ga"), w.guest("gb")
	a.Run(t, "ip", "addr", "add", "fe80::aaaa/64", "dev", "eth0", "nodad")
	from := []string{"", "fe80::aaaa", "", "fe80::aaaa", ""}
	var open []net.Conn
	isTurnedAway := func(who string, c net.Conn) {
		t.Helper()
		defer c.Close()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Proxy-Status") != "berth; error=connection_limit_reached" {
			t.Errorf("%s: %v, %v", who, resp, err)
		}
	}
	for i, addr := range from {
		c, err := a.dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			open = append(open, c)
			eventually(t, "it is counted", func() bool { return w.conns() == i+1 })
			continue
		}
		isTurnedAway("guest a, whatever address it uses", c)
	}
	if got := w.server.Problems().Error(); !strings.Contains(got, "it has 3 connections already") {
		t.Errorf("problems: %q", got)
	}
	const request = "GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n"
	for i := range 2 {
		c := b.mustDial()
		if resp, body := ask(t, c, request); resp.StatusCode != 200 || body != "web" {
			t.Errorf("guest b is not served while a has all of its own: %s %q", resp.Status, body)
		}
		eventually(t, "it is counted", func() bool { return w.conns() == 4+i })
	}
	isTurnedAway("guest b, when there are too many in all", b.mustDial())
	if got := w.server.Problems().Error(); !strings.Contains(got, "it has 5 connections already") {
		t.Errorf("problems: %q", got)
	}
	for _, c := range open {
		c.Close()
	}
	eventually(t, "there is room again", func() bool { return w.conns() == 2 })
	if resp, _ := a.say(request); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

func TestStop(t *testing.T) {
	t.Run("what is under way ends well", func(t *testing.T) {
		w := newWorld(t, Config{}, Limits{Grace: deadline}).listening()
		asked, proceed := make(chan struct{}), make(chan struct{})
		w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			close(asked)
			<-proceed
			io.WriteString(rw, "done")
		}), false)
		g := w.guest("g1")
		c := g.mustDial()
		if _, err := io.WriteString(c, "GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-asked
		stopped := make(chan struct{})
		go func() { w.stop(); close(stopped) }()
		eventually(t, "nobody new is let in", func() bool {
			c, err := g.dial("")
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		close(proceed)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		select {
		case <-stopped:
		case <-time.After(deadline / 2):
			t.Error("still not stopped when all is done")
		}
	})
	t.Run("what does not end is cut", func(t *testing.T) {
		w := newWorld(t, Config{}, Limits{Grace: 100 * time.Millisecond}).listening()
		l := w.listenAt(443)
		w.serveAt(80, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), false)
		g := w.guest("g1")
		tunnel, far := g.tunnel(443), accept(t, l)
		waiting := g.mustDial()
		if _, err := io.WriteString(waiting, "GET http://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "both are counted", func() bool { return w.conns() == 2 })
		w.stop()
		for name, c := range map[string]net.Conn{"tunnel": tunnel, "its far end": far} {
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := io.Copy(io.Discard, waiting); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("request: %v", err)
		}
	})
}

func TestWaitsForItsAddress(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	g := w.guest("g1")
	served := func() bool {
		c, err := g.dial("")
		if err != nil {
			return false
		}
		defer c.Close()
		resp, _ := ask(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		return resp.StatusCode == http.StatusBadRequest
	}
	problem := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return strings.Contains(w.server.Problems().Error(), want) })
	}
	if !served() {
		t.Fatal("not served")
	}
	netnstest.Run(t, "ip", "link", "del", "lxdbr0")
	problem("there is no bridge lxdbr0")
	netnstest.Run(t, "ip", "link", "add", "lxdbr0", "type", "bridge", "forward_delay", "0")
	netnstest.Run(t, "ip", "link", "set", "lxdbr0", "up")
	netnstest.Run(t, "ip", "link", "set", g.Port, "master", "lxdbr0")
	problem("[fe80::1%lxdbr0]:13128: lxdbr0 does not have the address")
	netnstest.Run(t, "ip", "addr", "add", "fe80::1/64", "dev", "lxdbr0", "nodad") // the hint
	w.listening()
	eventually(t, "the guest is served again", served)

	w.server.SetConfig(Config{Bridge: "lxdbr0", Port: 13129})
	eventually(t, "it listens elsewhere", func() bool {
		c, err := g.dialTo("", fmt.Sprintf("[fe80::1%%%d]:13129", g.index))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if _, err := g.dial(""); err == nil {
		t.Error("the old port is still there")
	}
	w.server.SetConfig(Config{})
	eventually(t, "it listens nowhere", func() bool {
		c, err := g.dialTo("", fmt.Sprintf("[fe80::1%%%d]:13129", g.index))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if p := w.server.Problems(); len(p) != 0 {
		t.Errorf("no proxy wanted, but %v", p)
	}
}

func TestPortTaken(t *testing.T) {
	netnstest.Require(t, "ip")
	l, err := net.Listen("tcp", ":13128")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, Config{}, Limits{})
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("TCP port 13128 on lxdbr0 is taken by %s (process %d)", strings.TrimSpace(string(comm)), os.Getpid())
	eventually(t, want, func() bool { return strings.Contains(w.server.Problems().Error(), want) })
	l.Close()
	w.listening()
	if p := w.server.Problems(); len(p) != 0 {
		t.Errorf("still %v", p)
	}
}
