package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

const (
	// The default buffers fail from a few hundred rules on: every message of a transaction is acknowledged at once.
	bufferBytes = 8 << 20
	// An answer of the kernel takes well under a second, even for large tables; one that never comes must not hang the daemon.
	answerTime = 10 * time.Second
)

// connection is a lasting netlink connection with one user at a time: opening one for
// every change costs 13 ms, most of it when closing. After an error its answers are out of step with the
// questions, so it is thrown away, and the next use opens another.
type connection struct {
	mu  sync.Mutex
	nft *nftables.Conn
	raw *netlink.Conn // the same socket, for its deadline
}

// do runs f with the connection, open and with a deadline.
func (c *connection) do(ctx context.Context, doing string, f func(*nftables.Conn) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.nft == nil {
		if err := c.openLocked(); err != nil {
			return problem("open a connection to nftables", err)
		}
	}
	deadline := time.Now().Add(answerTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	err := c.raw.SetDeadline(deadline)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
		err = f(c.nft)
		stop()
	}
	if err != nil {
		_ = c.closeLocked() // what went wrong is said already
		return problem(doing, err)
	}
	return nil
}

func (c *connection) openLocked() error {
	var raw *netlink.Conn
	nft, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(conn *netlink.Conn) error {
		raw = conn
		return errors.Join(conn.SetReadBuffer(bufferBytes), conn.SetWriteBuffer(bufferBytes))
	}))
	if err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		return err
	}
	c.nft, c.raw = nft, raw
	return nil
}

func (c *connection) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeLocked()
}

func (c *connection) closeLocked() error {
	if c.nft == nil {
		return nil
	}
	err := c.nft.CloseLasting()
	c.nft, c.raw = nil, nil
	return err
}

// problem turns the kernel's refusals into what a person can act on.
func problem(doing string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &ipam.Problem{
			Code: ipam.CodeDenied, Err: err,
			Text: fmt.Sprintf("%s: no permission to change the firewall of this host", doing),
			Hint: "run it as root: sudo berth …",
		}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return &ipam.Problem{
			Code: ipam.CodeHost, Err: err,
			Text: fmt.Sprintf("%s: this kernel lacks a part of nftables", doing),
			Hint: "load it: modprobe -a nf_tables nft_chain_nat nft_masq, or set nat = false in berth.toml",
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: the kernel did not answer: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
