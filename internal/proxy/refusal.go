package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// refusal is why a guest does not get what it asked for, in its own words and in those of RFC 9209 §2.3.
type refusal struct {
	status int
	kind   string // error type of Proxy-Status
	text   string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) body() string { return "berth proxy: " + r.text + "\n" }

func (r *refusal) proxyStatus() string { return pseudonym + "; error=" + r.kind }

// write answers with the refusal.
func (r *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Proxy-Status", r.proxyStatus())
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body())
}

func badRequest(text string) *refusal {
	return &refusal{http.StatusBadRequest, "http_request_error", text}
}

func denied(kind, text string) *refusal { return &refusal{http.StatusForbidden, kind, text} }

// refusalOf says to a guest what went wrong on the way to host.
func refusalOf(err error, host string) *refusal {
	var r *refusal
	var dnsErr *net.DNSError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return &refusal{http.StatusBadGateway, "dns_error", "there is no server called " + host}
	case errors.As(err, &dnsErr) && dnsErr.IsTimeout:
		return &refusal{http.StatusGatewayTimeout, "dns_timeout", "nobody says in time where " + host + " is"}
	case errors.As(err, &dnsErr):
		return &refusal{http.StatusBadGateway, "dns_error", "nobody knows where " + host + " is"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &refusal{http.StatusBadGateway, "connection_refused", host + " refuses the connection"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return &refusal{http.StatusBadGateway, "destination_ip_unroutable", "there is no way to " + host}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return &refusal{http.StatusGatewayTimeout, "connection_timeout", host + " does not answer in time"}
	}
	return &refusal{http.StatusBadGateway, "connection_terminated", "the connection to " + host + " broke"}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
