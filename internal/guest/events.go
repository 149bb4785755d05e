package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// subscribe opens a socket that gets an event for each change of an interface.
func (x *Index) subscribe() (*netlink.Conn, error) {
	const roomy = 64 << 10 // more than any event: saves asking for the size of each
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{MessageBufferSize: roomy})
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	// Before joining: nothing must be lost to the default buffer.
	if err := conn.SetReadBuffer(x.buffer); err != nil {
		conn.Close()
		return nil, fmt.Errorf("enlarge the buffer for link events: %w", err)
	}
	if err := conn.JoinGroup(unix.RTNLGRP_LINK); err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribe to link events: %w", err)
	}
	return conn, nil
}

// listen drains the events as fast as they come. They are hints only: what they are
// about is read anew, and when some were lost, everything.
func (x *Index) listen(ctx context.Context, conn *netlink.Conn) {
	for {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err := x.drain(conn)
		stop()
		conn.Close()
		if ctx.Err() != nil {
			return
		}
		x.log.Warn("link events broke off, subscribing again", "err", err)
		for conn, err = x.subscribe(); err != nil; conn, err = x.subscribe() {
			x.log.Warn("no link events", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(troubleRetry):
			}
		}
		x.lose()
	}
}

func (x *Index) drain(conn *netlink.Conn) error {
	for {
		messages, err := conn.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			x.log.Debug("link events overflowed, listing all ports")
			x.lose()
			continue
		}
		if err != nil {
			return err
		}
		x.hint(messages)
	}
}

// hint notes which interfaces the events are about, if they matter.
func (x *Index) hint(messages []netlink.Message) {
	v, bridges := x.view.Load(), *x.follow.Load()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, message := range messages {
		l, err := parseLink(message.Data)
		if err != nil {
			continue
		}
		name, isBridge := bridges[l.index]
		switch {
		case isBridge && (message.Header.Type == unix.RTM_DELLINK || l.name != name),
			!isBridge && slices.Contains(x.bridges, l.name):
			x.todo.relist = true
		case bridges[l.master] != "":
			x.todo.mark(l.index)
		default:
			if _, known := v.byPort[l.index]; known {
				x.todo.mark(l.index)
			} else if port, ok := v.peers[l.index]; ok {
				x.todo.mark(port)
			} else {
				continue
			}
		}
		x.nudge()
	}
}
