// Package client knows the DHCP clients that run in guests: how each is recognised from
// the host, and how it is told that its address has changed.
package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/guest"
)

// None is the name of the client of a guest whose NIC is configured by no DHCP client.
const None = "none"

// Unknown is the name of a client that is there but not known here.
const Unknown = "unknown"

// ErrWait means that the client is not to be told, or that there is no way to tell it: it converges
// at its next renewal, when the server's answer names the new address.
var ErrWait = errors.New("the client learns it at its next renewal")

// Client is the DHCP client of one NIC.
type Client interface {
	// Name is the program's own name, None or Unknown.
	Name() string
	// Settle has the client ask the server at once. It may be called again when the client did not, and
	// may then press harder. The error wraps ErrWait when calling again is of no use, and guest.ErrGone when
	// the guest is. Use it from one goroutine.
	Settle(ctx context.Context) error
}

// detectTime bounds looking at one guest, whose files may be on a file system that never answers.
const detectTime = 2 * time.Second

// claim is how sure it is that a client configures the NIC.
type claim int

const (
	absent  claim = iota
	running       // it is there, and may
	claimed       // it says that it does
)

// Detect finds the DHCP client that configures the guest's NIC; of several that run the one that
// claims it. A guest that can not be read has None.
func Detect(ctx context.Context, g guest.Guest) Client {
	ctx, cancel := context.WithTimeout(ctx, detectTime)
	defer cancel()
	found := make(chan Client, 1)
	go func() {
		// Outlives Detect only while the kernel does not return from opening a file.
		found <- detect(ctx, g)
	}()
	select {
	case c := <-found:
		return c
	case <-ctx.Done():
		return waiting{Unknown}
	}
}

func detect(ctx context.Context, g guest.Guest) Client {
	s, err := look(ctx, g)
	if err != nil {
		return nobody{}
	}
	defer s.close()
	var best Client = nobody{}
	most := absent
	for _, recognise := range []func(*scene) (Client, claim){
		networkd, networkManager, dhcpcd, dhclient, udhcpc, stranger,
	} {
		if c, sure := recognise(s); sure > most {
			best, most = c, sure
		}
	}
	return best
}

// nobody is the client of a guest that has none.
type nobody struct{}

func (nobody) Name() string                 { return None }
func (nobody) Settle(context.Context) error { return nil }

// waiting is a client that is left alone.
type waiting struct{ name string }

func (w waiting) Name() string                 { return w.name }
func (w waiting) Settle(context.Context) error { return fmt.Errorf("%s: %w", w.name, ErrWait) }
