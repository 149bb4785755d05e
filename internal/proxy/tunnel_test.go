package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestTLSThroughATunnel(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	s := w.serveAt(443, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Via") != "" {
			t.Error("the proxy is seen inside of TLS")
		}
		if err := http.NewResponseController(rw).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		io.Copy(rw, r.Body)
	}), true)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	w.names.addrs["example.com"] = []string{"198.51.100.2"} // for which the server's certificate is
	client := w.guest("g1").client(&http.Transport{Proxy: http.ProxyURL(proxyURL), TLSClientConfig: &tls.Config{RootCAs: roots}})
	resp, err := client.Post("https://example.com/", "", bytes.NewReader(make([]byte, 4<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != 4<<20 || err != nil || resp.TLS == nil {
		t.Errorf("%d octets, %v", n, err)
	}
}

// accept gives the next connection that reaches the world.
func accept(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(deadline))
	return c.(*net.TCPConn)
}

func TestHalfClosedTunnel(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	l := w.listenAt(443)
	g := w.guest("g1")
	question, answer := make([]byte, 300<<10), make([]byte, 300<<10)
	rand.Read(question)
	rand.Read(answer)
	for name, swap := range map[string]bool{"the guest is done first": false, "the server is done first": true} {
		a := g.tunnel(443)
		b := accept(t, l)
		if swap {
			a, b = b, a
		}
		go func() { a.Write(question); a.CloseWrite() }()
		if got, err := io.ReadAll(b); !bytes.Equal(got, question) || err != nil {
			t.Fatalf("%s: %d octets, %v", name, len(got), err)
		}
		go func() { b.Write(answer); b.Close() }()
		if got, err := io.ReadAll(a); !bytes.Equal(got, answer) || err != nil {
			t.Fatalf("%s: %d octets of the answer, %v", name, len(got), err)
		}
	}
	eventually(t, "the tunnels are gone", func() bool { return w.conns() == 0 })
}

func (w *world) conns() int {
	w.server.door.mu.Lock()
	defer w.server.door.mu.Unlock()
	return w.server.door.total
}

func TestEarlyData(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	l := w.listenAt(443)
	c := w.guest("g1").mustDial()
	if _, err := io.WriteString(c, "CONNECT web.example:443 HTTP/1.1\r\nHost: x\r\n\r\nhello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(accept(t, l), got); err != nil || string(got) != "hello" {
		t.Errorf("the server got %q, %v", got, err)
	}
}

func TestABrokenEndBreaksTheOther(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	l := w.listenAt(443)
	g := w.guest("g1")
	for name, swap := range map[string]bool{"guest": false, "server": true} {
		a := g.tunnel(443)
		b := accept(t, l)
		if swap {
			a, b = b, a
		}
		_ = a.SetLinger(0) // closing resets
		a.Close()
		if n, err := b.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s: read %d, %v", name, n, err)
		}
	}
}

func TestIdleTunnel(t *testing.T) {
	const idle = 400 * time.Millisecond
	w := newWorld(t, Config{}, Limits{Idle: idle}).listening()
	l := w.listenAt(443)
	g := w.guest("g1")
	busy := g.tunnel(443)
	far := accept(t, l)
	quiet := g.tunnel(443)
	quietFar := accept(t, l)
	closed := make(chan error, 2)
	for _, c := range []net.Conn{quiet, quietFar} {
		go func() { _, err := c.Read(make([]byte, 1)); closed <- err }()
	}
	// Speaks slowly, but speaks, for three times as long as silence is suffered; and only one way.
	ticker, end := time.NewTicker(idle/4), time.After(3*idle)
	defer ticker.Stop()
	for speaking := true; speaking; {
		select {
		case <-ticker.C:
			if _, err := far.Write([]byte{'.'}); err != nil {
				t.Fatalf("a busy tunnel was cut: %v", err)
			}
			if _, err := busy.Read(make([]byte, 1)); err != nil {
				t.Fatalf("a busy tunnel was cut: %v", err)
			}
		case <-end:
			speaking = false
		}
	}
	for range 2 {
		select {
		case err := <-closed:
			if err == nil || isTimeout(err) {
				t.Errorf("the quiet tunnel: %v", err)
			}
		case <-time.After(deadline):
			t.Fatal("the quiet tunnel stays")
		}
	}
}
