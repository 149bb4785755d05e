// Package dnsmasqlog writes what the DHCP server logs about messages in the form of dnsmasq's log.
package dnsmasqlog

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Form is where the lines go, and whether they are wanted now. Its methods may be called from several goroutines.
type Form struct {
	on    atomic.Bool
	pid   int
	mu    sync.Mutex
	out   io.Writer
	line  []byte             // used again
	ports map[string]*budget // whose lines are counted
}

// New makes a Form that is off and would write to out.
func New(out io.Writer) *Form {
	return &Form{out: out, pid: os.Getpid(), ports: make(map[string]*budget)}
}

// Set says whether lines are wanted.
func (f *Form) Set(on bool) { f.on.Store(on) }

// IsOn reports whether lines are wanted.
func (f *Form) IsOn() bool { return f.on.Load() }

// Wrap gives a handler for the DHCP server's records. While lines are wanted, those about messages and their
// effects become such lines; all other records, and all of them while none are wanted, go to next.
func (f *Form) Wrap(next slog.Handler) slog.Handler { return &handler{form: f, next: next} }

type handler struct {
	form    *Form
	next    slog.Handler
	network string
}

// Enabled implements slog.Handler: while lines are wanted, the server must tell of each message.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level) || h.form.on.Load() && level >= slog.LevelDebug
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.form.on.Load() {
		if m := messageOf(r); m.kind != "" {
			return h.form.write(&m, h.network, r.Time)
		}
		if r.Level == slog.LevelInfo {
			return nil // the history of one client, which a line tells already
		}
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	for _, a := range attrs {
		if a.Key == "network" {
			out.network = a.Value.String()
		}
	}
	out.next = h.next.WithAttrs(attrs)
	return &out
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	out := *h
	out.next = h.next.WithGroup(name)
	return &out
}

// A guest that asks again and again must not fill the disk: beyond so many lines at once, and so many a
// second, those about its port are left out, which one line says.
const (
	burst    = 200
	perSec   = 50
	maxPorts = 4096 // that are counted; beyond, counting begins anew
)

// budget is how many lines about a port may still be written.
type budget struct {
	lines   float64
	last    time.Time
	leftOut int
}

// take reports whether a line may be written; leftOut is how many were not, just before.
func (b *budget) take(now time.Time) (ok bool, leftOut int) {
	b.lines = min(burst, b.lines+max(now.Sub(b.last), 0).Seconds()*perSec)
	b.last = now
	if b.lines < 1 {
		b.leftOut++
		return false, 0
	}
	b.lines--
	leftOut, b.leftOut = b.leftOut, 0
	return true, leftOut
}

// write writes the line of a message.
func (f *Form) write(m *message, network string, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.ports[m.port]
	if b == nil {
		if len(f.ports) >= maxPorts {
			clear(f.ports)
		}
		b = &budget{lines: burst, last: now}
		f.ports[m.port] = b
	}
	ok, leftOut := b.take(now)
	if !ok {
		return nil
	}
	f.line = f.line[:0]
	if leftOut > 0 {
		f.line = appendLeftOut(f.line, f.pid, network, m.port, leftOut)
	}
	f.line = m.append(f.line, f.pid, network)
	_, err := f.out.Write(f.line)
	return err
}
