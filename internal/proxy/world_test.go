package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const deadline = 20 * time.Second

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("not after %v: %s", deadline, what)
		}
		time.Sleep(5 * time.Millisecond) // polls, until a deadline that fails the test
	}
}

// names is a Resolver that counts.
type names struct {
	mu    sync.Mutex
	addrs map[string][]string
	asked int
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	host = strings.ToLower(host)
	if _, ok := n.addrs[host]; !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var list []netip.Addr
	for _, a := range n.addrs[host] {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, nil
}

// world is a host with a bridge lxdbr0 that has fe80::1 and 10.64.177.1, and a network beyond, in which web is 198.51.100.2.
type world struct {
	*testing.T
	server *Server
	names  *names
	web    *netnstest.Guest
	stop   func() // ends the server and waits for it; the test does it too
}

func newWorld(t *testing.T, c Config, limits Limits) *world {
	t.Helper()
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	netnstest.Bridge(t, "lxdbr0", "10.64.177.1/24")
	netnstest.Run(t, "ip", "addr", "add", "fe80::1/64", "dev", "lxdbr0", "nodad")
	netnstest.Bridge(t, "wan0", "198.51.100.1/24")
	w := &world{T: t, names: &names{addrs: map[string][]string{
		"web.example": {"198.51.100.2"}, "localhost": {"127.0.0.1", "::1"}, "gateway.example": {"10.64.177.1"},
		"mixed.example": {"127.0.0.1", "198.51.100.2"}, "mapped.example": {"::ffff:198.51.100.1"},
	}}}
	w.web = netnstest.AddGuest(t, "wan0", "web", "")
	w.web.Run(t, "ip", "addr", "add", "198.51.100.2/24", "dev", "eth0")
	w.web.Run(t, "ip", "route", "add", "default", "via", "198.51.100.1")
	w.server = NewServer(Options{Resolver: w.names, Limits: limits})
	if c.Bridge == "" {
		c.Bridge = "lxdbr0"
	}
	w.server.SetConfig(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.server.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if w.server.door.total != 0 {
			t.Errorf("%d connections left", w.server.door.total)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// listening waits for the proxy's socket.
func (w *world) listening() *world {
	w.Helper()
	eventually(w, "the proxy listens", func() bool {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		return w.server.at.bridge != ""
	})
	return w
}

// serveAt has the world answer at a port.
func (w *world) serveAt(port int, h http.Handler, withTLS bool) *httptest.Server {
	w.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = w.listenAt(port)
	if withTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	w.Cleanup(s.Close)
	return s
}

func (w *world) listenAt(port int) net.Listener {
	w.Helper()
	var l net.Listener
	if err := w.web.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("198.51.100.2:%d", port))
		return err
	}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { l.Close() })
	return l
}

// guestAddr is the link-local address of the guest with a name of two octets.
func guestAddr(name string) string { return fmt.Sprintf("fe80::%x", name) }

// guest is a container that has nothing but its link-local address.
type guest struct {
	*netnstest.Guest
	t     *testing.T
	index int
}

func (w *world) guest(name string) *guest {
	w.Helper()
	g := &guest{Guest: netnstest.AddGuest(w.T, "lxdbr0", name, ""), t: w.T}
	// The one that the kernel makes takes a second to be usable.
	g.Run(w.T, "ip", "addr", "add", guestAddr(name)+"/64", "dev", "eth0", "nodad")
	var links []struct {
		Index int `json:"ifindex"`
	}
	if err := json.Unmarshal([]byte(g.Run(w.T, "ip", "-j", "link", "show", "dev", "eth0")), &links); err != nil {
		w.Fatal(err)
	}
	g.index = links[0].Index
	return g
}

// dial connects from inside the guest; from may be "" for any of its addresses.
func (g *guest) dial(from string) (*net.TCPConn, error) {
	return g.dialTo(from, fmt.Sprintf("[fe80::1%%%d]:13128", g.index))
}

func (g *guest) dialTo(from, to string) (*net.TCPConn, error) {
	var c net.Conn
	err := g.Do(func() (err error) {
		d := net.Dialer{Timeout: deadline}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from), Zone: fmt.Sprint(g.index)}
		}
		c, err = d.Dial("tcp", to)
		return err
	})
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(deadline))
	return c.(*net.TCPConn), nil
}

func (g *guest) mustDial() *net.TCPConn {
	g.t.Helper()
	c, err := g.dial("")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// say sends raw octets over a new connection, and gives the response.
func (g *guest) say(request string) (*http.Response, string) {
	g.t.Helper()
	return ask(g.t, g.mustDial(), request)
}

func ask(t *testing.T, c net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	if resp.StatusCode == http.StatusOK && method == http.MethodConnect {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return resp, string(body)
}

// tunnel gives a connection to a port of the world.
func (g *guest) tunnel(port int) *net.TCPConn {
	g.t.Helper()
	c := g.mustDial()
	if resp, body := ask(g.t, c, fmt.Sprintf("CONNECT 198.51.100.2:%d HTTP/1.1\r\nHost: x\r\n\r\n", port)); resp.StatusCode != http.StatusOK {
		g.t.Fatalf("CONNECT: %s: %s", resp.Status, body)
	}
	return c
}

// client is an ordinary HTTP client inside the guest.
func (g *guest) client(t *http.Transport) *http.Client {
	t.DialContext = func(context.Context, string, string) (net.Conn, error) {
		c, err := g.dial("")
		if err != nil {
			return nil, err // not a nil *TCPConn
		}
		return c, nil
	}
	g.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: deadline}
}
