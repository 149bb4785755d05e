package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// pseudonym is what the proxy calls itself in Via (RFC 9110 §7.6.3) and Proxy-Status (RFC 9209 §2).
const pseudonym = "berth"

// ServeHTTP answers one request of a guest.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var refused *refusal
	switch {
	case r.Method == http.MethodConnect:
		refused = s.tunnel(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		refused = s.forwardPlain(w, r)
	case r.URL.IsAbs():
		refused = badRequest("only http:// is forwarded; for https:// a client must use CONNECT")
	default:
		refused = badRequest("this is an HTTP proxy: set http_proxy and https_proxy to its address")
	}
	if refused != nil {
		s.log.Debug("proxy request refused", "network", s.config.Load().Bridge, "addr", r.RemoteAddr, "err", refused)
		refused.write(w)
	}
}

// forwardPlain passes on a request in absolute form (RFC 9112 §3.2.2).
func (s *Server) forwardPlain(w http.ResponseWriter, r *http.Request) *refusal {
	t, refused := parseTarget(r.URL.Host, 80)
	if refused == nil {
		refused = refuseForward(t)
	}
	if refused != nil || isLastHop(w, r) {
		return refused
	}
	if r.ContentLength != 0 {
		// Otherwise what is left of the body would be thrown away as soon as the response begins.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			return &refusal{http.StatusInternalServerError, "proxy_internal_error", "the request can not be passed on"}
		}
		r.Body = &guestBody{r.Body, http.NewResponseController(w), s.opts.Limits.Body}
	}
	s.forward.ServeHTTP(w, r)
	return nil
}

// isLastHop counts the hops down that a guest sets for finding its way, and answers when this is the last one (RFC 9110 §7.6.2).
func isLastHop(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodTrace && r.Method != http.MethodOptions {
		return false
	}
	n, err := strconv.ParseUint(r.Header.Get("Max-Forwards"), 10, 32)
	if err != nil {
		return false
	}
	if n > 0 {
		r.Header.Set("Max-Forwards", strconv.FormatUint(n-1, 10))
		return false
	}
	if r.Method == http.MethodTrace {
		w.WriteHeader(http.StatusMethodNotAllowed) // its echo would show what other proxies added
		return true
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return true
}

// newForwarder is the machine that passes requests on and takes care of hop-by-hop fields (RFC 9110 §7.6.1), trailers and upgrades.
func (s *Server) newForwarder() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     roundTripper(s.roundTrip),
		FlushInterval: -1, // at once: what a server sends bit by bit arrives bit by bit
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Add("Via", "1.1 "+pseudonym)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refused := refusalOf(err, r.URL.Host)
			s.log.Debug("proxy request not answered", "network", s.config.Load().Bridge, "addr", r.RemoteAddr, "err", err)
			refused.write(w)
		},
	}
}

// rewrite makes the request what the guest would have sent to the server itself. The machine is made for the other end of a
// connection, where guests' own forwarding fields and odd queries are not to be trusted; here they are not ours to touch.
func rewrite(pr *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = values
		}
	}
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.URL.User = nil // RFC 9110 §4.2.4
	pr.Out.Host = ""      // that of the URL counts, not the one in the field (RFC 9112 §3.2.2)
	version := "1.1"
	if !pr.In.ProtoAtLeast(1, 1) {
		version = "1.0"
	}
	pr.Out.Header.Add("Via", version+" "+pseudonym)
}

type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// roundTrip asks the server over connections that belong to the guest's connection: one that a server has let somebody log
// in on (as NTLM does) must never carry another guest's request.
func (s *Server) roundTrip(r *http.Request) (*http.Response, error) {
	c, ok := r.Context().Value(guestConnKey{}).(*guestConn)
	if !ok {
		return nil, net.ErrClosed
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, net.ErrClosed
	}
	if c.upstream == nil {
		c.upstream = s.newTransport()
	}
	upstream := c.upstream
	c.mu.Unlock()
	return upstream.RoundTrip(r)
}

func (s *Server) newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            s.dialPlain,
		DisableCompression:     true, // what the guest did not ask for is not asked for
		MaxIdleConns:           4,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		ResponseHeaderTimeout:  s.opts.Limits.Response,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

func (s *Server) dialPlain(ctx context.Context, _, authority string) (net.Conn, error) {
	t, refused := parseTarget(authority, 80)
	if refused != nil {
		return nil, refused
	}
	c, err := s.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	return &serverConn{c, s.opts.Limits.Idle}, nil
}

// serverConn is a connection to a server that breaks when the server is silent for too long.
type serverConn struct {
	*net.TCPConn
	idle time.Duration
}

// Read waits for the server for a while.
func (c *serverConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.TCPConn.Read(b)
}

// Write waits for the server for a while.
func (c *serverConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.TCPConn.Write(b)
}

// ReadFrom hides that of the socket, which would write without a deadline.
func (c *serverConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// guestBody is the body of a request, each part of which must come in time.
type guestBody struct {
	io.ReadCloser
	conn     *http.ResponseController
	patience time.Duration
}

// Read waits for the guest for a while.
func (b *guestBody) Read(p []byte) (int, error) {
	if err := b.conn.SetReadDeadline(time.Now().Add(b.patience)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// The server goes on to read, in order to see the guest hang up; there is no hurry in that.
		if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	}
	return n, err
}
