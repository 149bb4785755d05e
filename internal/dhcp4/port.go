package dhcp4

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

const (
	// maxWaiting is how many answers of one port may wait for the disk, or for their delay,
	// at a time. Beyond it the port is not read: the kernel drops what comes in too fast.
	maxWaiting = 32
	// sourcePatience is how long a packet waits until it is known who is plugged in.
	sourcePatience = 500 * time.Millisecond
	sourceInterval = 10 * time.Millisecond
	reopenInterval = time.Second
)

// port is one port of the bridge, with a goroutine of its own that reads it, so that what
// happens at one port never keeps another waiting.
type port struct {
	s        *Server
	index    int
	name     string
	stop     context.CancelFunc
	out      atomic.Pointer[tapRef]
	waiting  chan struct{} // one token for each answer that waits
	packets  bucket        // used by the reader only
	naks     naks
	last     ipam.Client           // used by the reader only: its texts are used again
	deaf     atomic.Pointer[error] // why it can not be heard; nil: it can
	troubles troubles
	crowd    crowd
	declined quota // how many addresses may be put in quarantine: 16 at once, then one a minute
	lines    quota // how many lines of history may be logged: 100 at once, then ten a second
}

// tapRef is what frames are sent through at present.
type tapRef struct{ tap }

func (s *Server) newPort(index int, name string) *port {
	rate := float64(max(s.opts.PortRate, 0))
	p := &port{
		s: s, index: index, name: name, stop: func() {},
		waiting: make(chan struct{}, maxWaiting),
		packets: bucket{rate: rate, burst: rate / 5},
	}
	p.declined.bucket = bucket{rate: 1.0 / 60, burst: 16}
	p.lines.bucket = bucket{rate: 10, burst: 100}
	return p
}

// run reads the port until ctx ends. t is nil when it could not be opened.
func (p *port) run(ctx context.Context, t tap) {
	for ctx.Err() == nil {
		if t != nil {
			p.read(ctx, t)
		}
		if !sleep(ctx, reopenInterval) {
			return
		}
		// The interface is there still, or RemovePort would have been called.
		t = p.open()
	}
	if t != nil {
		t.Close()
	}
}

// open opens the port; nil: it can not be heard.
func (p *port) open() tap {
	t, err := p.s.tap(p.index)
	if err != nil {
		p.lose(err)
		return nil
	}
	p.deaf.Store(nil)
	return t
}

// lose notes why the port is not heard, and says so once.
func (p *port) lose(err error) {
	if last := p.deaf.Swap(&err); last == nil {
		p.s.log.Warn("port can not be heard", "port", p.name, "err", err)
	}
}

// read answers what comes in through t, and closes it.
func (p *port) read(ctx context.Context, t tap) {
	defer t.Close()
	defer context.AfterFunc(ctx, func() { t.Close() })()
	p.out.Store(&tapRef{t})
	x := p.s.pool.Get().(*exchange)
	for {
		n, err := t.Read(x.in[:])
		switch {
		case errors.Is(err, os.ErrClosed), ctx.Err() != nil:
			return
		case err != nil:
			p.lose(err)
			return
		}
		if d := p.packets.wait(p.s.opts.Now()); d > 0 && !sleep(ctx, d) {
			return
		}
		x = p.handle(ctx, x, n)
	}
}

// sleep waits; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// source is who is plugged in. A guest that starts asks before anybody had the time to look
// what it is called; without a name it would be given some other address than its own.
func (p *port) source(ctx context.Context) (Source, bool) {
	for waited := time.Duration(0); ; waited += sourceInterval {
		src, ok := p.s.ids.ports.Source(p.index)
		if ok || waited >= sourcePatience || !sleep(ctx, sourceInterval) {
			src.PortIndex = p.index
			return src, ok
		}
	}
}
