// Package drift notices that the kernel is no longer as it was made. Netlink events
// are hints only, since they can be lost; whether there is drift is found out by looking.
package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	settleTime = 10 * time.Millisecond  // what belongs together arrives together
	restTime   = 100 * time.Millisecond // after a signal, so that it can be acted on
	longRest   = 5 * time.Second        // at most, where it cannot be mended or somebody undoes it at once
)

// RoomForBursts is a Buffer that holds the events of thousands of ports coming up at once.
const RoomForBursts = 4 << 20

// Watcher is what to listen to, and how to look.
type Watcher struct {
	Protocol int      // of netlink
	Groups   []uint32 // multicast groups of the protocol
	Buffer   int      // bytes for events not read yet
	Concerns func(netlink.Message) bool
	Drifted  func(context.Context) bool // the look itself
	Every    time.Duration              // looked at least this often
	Log      *slog.Logger
}

// Watch sends to out whenever a look finds drift, until ctx is done. It never waits
// for the receiver: out should have room for one signal, and one that waits there stands for all. The
// error is that events cannot be had at all.
func (w *Watcher) Watch(ctx context.Context, out chan<- struct{}) error {
	conn, err := w.listen()
	if err != nil {
		return err
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hint := make(chan struct{}, 1)
	signal(hint) // what happened before the subscription
	reader.Go(func() { w.read(ctx, conn, hint) })

	check := time.NewTicker(w.Every)
	defer check.Stop()
	rest := restTime
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hint:
		case <-check.C:
		}
		pause(ctx, settleTime)
		if !w.Drifted(ctx) || ctx.Err() != nil {
			rest = restTime
			continue
		}
		signal(out)
		pause(ctx, rest)
		rest = min(2*rest, longRest)
		signal(hint) // look whether it was mended
	}
}

// read turns events into hints until ctx is done. After an error the socket is made
// anew, and everything may have changed.
func (w *Watcher) read(ctx context.Context, conn *netlink.Conn, hint chan<- struct{}) {
	for {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		err := w.receive(conn, hint)
		stop()
		_ = conn.Close() // nothing was written to it
		if ctx.Err() != nil {
			return
		}
		w.Log.Warn("kernel events interrupted", "err", err)
		for conn = nil; conn == nil; {
			if pause(ctx, restTime); ctx.Err() != nil {
				return
			}
			if conn, err = w.listen(); err != nil {
				w.Log.Warn("cannot listen to kernel events", "err", err)
			}
		}
		signal(hint)
	}
}

// receive reads until an error. An overflow is none: the socket goes on after it.
func (w *Watcher) receive(conn *netlink.Conn, hint chan<- struct{}) error {
	for {
		messages, err := conn.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if err != nil || slices.ContainsFunc(messages, w.Concerns) {
			signal(hint)
		}
	}
}

func (w *Watcher) listen() (*netlink.Conn, error) {
	conn, err := netlink.Dial(w.Protocol, nil)
	if err != nil {
		return nil, err
	}
	err = conn.SetReadBuffer(w.Buffer) // beyond rmem_max where permitted
	for _, group := range w.Groups {
		if err == nil {
			err = conn.JoinGroup(group)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to kernel events: %w", err), conn.Close())
	}
	return conn, nil
}

// signal sends unless a signal is waiting already.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
