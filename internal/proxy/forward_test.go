package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"berth/internal/netnstest"
)

var proxyURL = &url.URL{Scheme: "http", Host: "[fe80::1]:13128"}

func TestPlainHTTP(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	var seen http.Request
	var body string
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen, body = *r, string(b)
		rw.Header().Set("Connection", "X-Hop")
		rw.Header().Set("X-Hop", "1")
		rw.Header().Set("X-End", "1")
		io.WriteString(rw, "hello")
	}), false)
	g := w.guest("g1")

	resp, got := g.say("POST http://user:secret@WEB.example/a%2Fb?x=1;y=%zz HTTP/1.1\r\nHost: other.example\r\n" +
		"Connection: keep-alive, X-Private\r\nX-Private: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\n" +
		"X-Forwarded-For: 192.0.2.9\r\nUser-Agent: apt\r\nVia: 1.0 nested\r\nContent-Length: 4\r\n\r\nbody")
	if resp.StatusCode != 200 || got != "hello" || resp.Header.Get("X-End") != "1" || resp.Header.Get("X-Hop") != "" || resp.Header.Get("Via") != "1.1 berth" {
		t.Errorf("response %v %q", resp, got)
	}
	if seen.Method != "POST" || seen.RequestURI != "/a%2Fb?x=1;y=%zz" || body != "body" {
		t.Errorf("the server saw %s %s with %q", seen.Method, seen.RequestURI, body)
	}
	if seen.Host != "WEB.example" {
		t.Errorf("RFC 9112 §3.2.2: Host %q", seen.Host)
	}
	for name, want := range map[string]string{
		"Connection": "", "X-Private": "", "Proxy-Connection": "", "Proxy-Authorization": "", "Authorization": "", "Keep-Alive": "",
		"X-Forwarded-For": "192.0.2.9", "User-Agent": "apt", "Via": "1.0 nested, 1.1 berth", "Accept-Encoding": "",
	} {
		if got := strings.Join(seen.Header[name], ", "); got != want {
			t.Errorf("the server saw %s: %q, want %q", name, got, want)
		}
	}
}

func TestManyRequestsOverOneConnection(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	conns := map[string]bool{}
	var mu sync.Mutex
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr] = true
		mu.Unlock()
		io.WriteString(rw, r.URL.Path)
	}), false)
	fetch := func(c *http.Client) {
		t.Helper()
		for i := range 20 {
			resp, err := c.Get(fmt.Sprintf("http://web.example/%d", i))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(body) != fmt.Sprintf("/%d", i) {
				t.Fatalf("got %q", body)
			}
		}
	}
	for i := range 2 {
		g := w.guest(fmt.Sprint("g", i))
		fetch(g.client(&http.Transport{Proxy: http.ProxyURL(proxyURL)}))
		if len(conns) != i+1 {
			t.Fatalf("%d guests, %d connections to the server: each must have one of its own", i+1, len(conns))
		}
	}
}

func TestBigBodiesAndPartsOfThem(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	w.serveAt(8080, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(rw).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/echo" {
			rw.WriteHeader(http.StatusAccepted)
			io.Copy(rw, r.Body)
			return
		}
		rw.Header().Set("Trailer", "X-Sum")
		io.WriteString(rw, "first")
		rw.(http.Flusher).Flush()
		io.ReadAll(r.Body) // until the guest has seen the first part
		io.WriteString(rw, "second")
		rw.Header().Set("X-Sum", "42")
	}), false)
	g := w.guest("g1")
	client := g.client(&http.Transport{Proxy: http.ProxyURL(proxyURL)})

	const size = 8 << 20
	resp, err := client.Post("http://198.51.100.2:8080/echo", "", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil || resp.StatusCode != http.StatusAccepted {
		t.Errorf("%s, %d octets came back, %v", resp.Status, n, err)
	}
	resp.Body.Close()

	// One that speaks HTTP itself, because Go's client does not read while it writes.
	c := g.mustDial()
	io.WriteString(c, "POST http://198.51.100.2:8080/parts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	r := bufio.NewReader(c)
	resp, err = http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("first part %q, %v", first, err)
	}
	io.WriteString(c, "0\r\n\r\n")
	rest, err := io.ReadAll(resp.Body)
	if string(rest) != "second" || err != nil || resp.Trailer.Get("X-Sum") != "42" {
		t.Errorf("rest %q, trailer %v, %v", rest, resp.Trailer, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestUpgrade(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buf.ReadString('\n')
		io.WriteString(c, line)
	}), false)
	c := w.guest("g1").mustDial()
	io.WriteString(c, "GET http://web.example/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	io.WriteString(c, "ping\n")
	if line, err := r.ReadString('\n'); line != "ping\n" {
		t.Errorf("echo %q, %v", line, err)
	}
}

func TestMaxForwards(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	var hops []string
	w.serveAt(80, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hops = r.Header["Max-Forwards"] }), false)
	g := w.guest("g1")
	for _, tt := range []struct {
		method, hops string
		status       int
		seen         string
	}{
		{"OPTIONS", "0", 200, ""},
		{"TRACE", "0", 405, ""},
		{"OPTIONS", "7", 200, "6"},
		{"GET", "0", 200, "0"}, // has no meaning there
		{"OPTIONS", "-1", 200, "-1"},
	} {
		hops = nil
		resp, _ := g.say(tt.method + " http://web.example/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: " + tt.hops + "\r\n\r\n")
		if resp.StatusCode != tt.status || strings.Join(hops, "") != tt.seen {
			t.Errorf("RFC 9110 §7.6.2: %s with %s: %s, the server saw %q", tt.method, tt.hops, resp.Status, hops)
		}
	}
}

// TestCurl: a client that others wrote, set up as the old profile did.
func TestCurl(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter", "curl")
	w := newWorld(t, Config{}, Limits{}).listening()
	say := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") })
	w.serveAt(80, say, false)
	w.serveAt(443, say, true)
	g := w.guest("g1")
	for _, u := range []string{"http://web.example/", "https://web.example/"} {
		out := g.Run(t, "curl", "-skS", "--max-time", "10", "--proxy", "http://[fe80::1%25eth0]:13128", u)
		if out != "hello" {
			t.Errorf("%s: %q", u, out)
		}
	}
	out, err := g.Command("curl", "-sS", "--max-time", "10", "--proxy", "http://[fe80::1%25eth0]:13128", "-w", "%{http_code}", "http://localhost/").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "berth proxy: ") || !strings.HasSuffix(string(out), "403") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestRefusedRequests(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	// Were a request let through, it would arrive: the host listens everywhere.
	for _, port := range []int{80, 443, 22, 25} {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("reached the host: %s %s", r.Method, r.Host)
		})}}
		s.Start()
		t.Cleanup(s.Close)
	}
	netnstest.Run(t, "ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo")
	t.Cleanup(func() { netnstest.Run(t, "ip", "route", "del", "local", "192.0.2.0/24", "dev", "lo") })
	netnstest.Run(t, "ip", "addr", "add", "2001:db8:7::1/64", "dev", "wan0", "nodad")
	g := w.guest("g1")
	hosts := map[string]string{ // to what the text must say
		"127.0.0.1": "loopback", "127.9.9.9": "loopback", "[::1]": "loopback", "localhost": "loopback", "[::ffff:127.0.0.1]": "loopback",
		"0.0.0.0": "no host's", "[::]": "no host's", "0.1.2.3": "no host's", "[::7f00:1]": "no host's", "255.255.255.255": "no host's",
		"169.254.169.254": "link-local", "[fe80::1%25lxdbr0]": "link-local", "[fe80::1]": "link-local", "224.0.0.1": "a group", "[ff02::1]": "a group",
		"10.64.177.1": "the host itself", "gateway.example": "the host itself", "198.51.100.1": "the host itself", "mapped.example": "the host itself",
		"[::ffff:198.51.100.1]": "the host itself", "192.0.2.77": "the host itself", "[2001:db8:7::1]": "the host itself", "[2001:db8:7::]": "the host itself",
		"198.51.100.255": "the host itself", "10.64.177.255": "the host itself",
		"[64:ff9b::7f00:1]": "another way to write 127.0.0.1", "[2002:7f00:1::1]": "another way to write 127.0.0.1",
		"[64:ff9b::a40:b101]": "the host itself",
		"[fd00:ec2::254]":     "secrets", "100.100.100.200": "secrets", "[64:ff9b::169.254.169.254]": "another way",
	}
	for host, want := range hosts {
		literal := strings.ReplaceAll(host, "%25", "%")
		for _, request := range []string{"GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT " + literal + ":443 HTTP/1.1\r\nHost: x\r\n\r\n"} {
			resp, body := g.say(request)
			if resp.StatusCode == http.StatusBadRequest && strings.Contains(host, "%") {
				continue // net/http takes no zone in a target
			}
			if resp.StatusCode != http.StatusForbidden || !strings.HasPrefix(body, "berth proxy: ") || !strings.Contains(body, want) ||
				resp.Header.Get("Proxy-Status") != "berth; error=destination_ip_prohibited" {
				t.Errorf("%q: %s %v\n%s", request, resp.Status, resp.Header, body)
			}
		}
	}
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                                  "400 this is an HTTP proxy",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                              "400 this is an HTTP proxy",
		"GET https://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n":                               "400 a client must use CONNECT",
		"GET ftp://web.example/ HTTP/1.1\r\nHost: x\r\n\r\n":                                 "400 only http://",
		"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n":                                          "400 ",
		"GET http://web.example:25/ HTTP/1.1\r\nHost: x\r\n\r\n":                             "403 plain HTTP to port 25",
		"GET http://web.example:0/ HTTP/1.1\r\nHost: x\r\n\r\n":                              "400 no host and port",
		"GET http://web.example:99999/ HTTP/1.1\r\nHost: x\r\n\r\n":                          "400 no host and port",
		"CONNECT web.example:22 HTTP/1.1\r\nHost: x\r\n\r\n":                                 "403 CONNECT to port 22 is not allowed, only to 443, 8443",
		"CONNECT web.example HTTP/1.1\r\nHost: x\r\n\r\n":                                    "400 ",
		"CONNECT :443 HTTP/1.1\r\nHost: x\r\n\r\n":                                           "400 ",
		"CONNECT web.example:443/x HTTP/1.1\r\nHost: x\r\n\r\n":                              "400 ",
		"CONNECT " + strings.Repeat("a", 300) + ":443 HTTP/1.1\r\nHost: x\r\n\r\n":           "400 no host and port",
		"GET http://nobody.example/ HTTP/1.1\r\nHost: x\r\n\r\n":                             "502 no server called nobody.example",
		"CONNECT nobody.example:443 HTTP/1.1\r\nHost: x\r\n\r\n":                             "502 no server called nobody.example",
		"GET http://2130706433/ HTTP/1.1\r\nHost: x\r\n\r\n":                                 "502 no server called 2130706433",
		"GET http://web.example:81/ HTTP/1.1\r\nHost: x\r\n\r\n":                             "403 plain HTTP to port 81",
		"GET http://web.example:1081/ HTTP/1.1\r\nHost: x\r\n\r\n":                           "502 refuses the connection",
		"CONNECT 198.51.100.2:8443 HTTP/1.1\r\nHost: x\r\n\r\n":                              "502 refuses the connection",
		"CONNECT 203.0.113.9:443 HTTP/1.1\r\nHost: x\r\n\r\n":                                "502 no way to",
		"GET http://web.example/ HTTP/1.1\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n": "431 ",
	} {
		status, text, _ := strings.Cut(want, " ")
		resp, body := g.say(request)
		if !strings.HasPrefix(resp.Status, status) || !strings.Contains(body, text) {
			t.Errorf("%.60q: %s\n%s", request, resp.Status, body)
		}
	}
}

// TestAnAddressIsCheckedOnce: the name server may change its mind after the check, and nothing comes of it.
func TestAnAddressIsCheckedOnce(t *testing.T) {
	w := newWorld(t, Config{}, Limits{}).listening()
	w.serveAt(80, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "web") }), false)
	g := w.guest("g1")
	for _, name := range []string{"web.example", "mixed.example"} {
		before := w.names.asked
		resp, body := g.say("GET http://" + name + "/ HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp.StatusCode != 200 || body != "web" || w.names.asked != before+1 {
			t.Errorf("%s: %s %q, resolved %d times", name, resp.Status, body, w.names.asked-before)
		}
	}
}
