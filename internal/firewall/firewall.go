// Package firewall keeps berth's own nftables table as the networks want it, and finds
// what other tables do against them. It never touches a table of somebody else.
package firewall

import (
	"context"
	"log/slog"
	"sync"

	"github.com/google/nftables"
)

// Table is the name of berth's table, of the inet family.
const Table = "berth"

// Firewall owns the table. Its methods may be called from any goroutine; the
// network namespace is the one it was first used in.
type Firewall struct {
	log  *slog.Logger
	conn connection

	mu   sync.Mutex
	spec *Spec // of the last Apply: what Watch compares with
}

// New prepares a Firewall; it touches nothing. A nil log is silent.
func New(log *slog.Logger) *Firewall {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Firewall{log: log}
}

// Close gives the connection to the kernel back. The table stays.
func (f *Firewall) Close() error { return f.conn.close() }

// Apply makes the table equal to spec, in one transaction, and reports whether that
// needed a change. A packet sees the old table or the new one, never none. Errors are
// of type *ipam.Problem when the kernel cannot do it or may not be asked.
func (f *Firewall) Apply(ctx context.Context, spec Spec) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	same, err := f.intact(ctx, spec)
	if err != nil {
		return false, err
	}
	if !same {
		if err := f.conn.do(ctx, "write the nftables table", func(c *nftables.Conn) error { return replace(c, spec.ruleset()) }); err != nil {
			return false, err
		}
		f.log.Info("firewall written", "name", "inet "+Table)
	}
	f.spec = &spec
	return !same, nil
}

// Plan says what Apply would do, a line each; nothing when the table is as it should be.
func (f *Firewall) Plan(ctx context.Context, spec Spec) ([]string, error) {
	same, err := f.intact(ctx, spec)
	if err != nil || same {
		return nil, err
	}
	return []string{"write table inet " + Table}, nil
}

func (f *Firewall) intact(ctx context.Context, spec Spec) (bool, error) {
	var same bool
	err := f.conn.do(ctx, "read the nftables table", func(c *nftables.Conn) error {
		have, err := read(c)
		same = err == nil && have.equal(spec.ruleset())
		return err
	})
	return same, err
}

// Present reports whether there is a table of that name in the inet family.
func Present(ctx context.Context, name string) (bool, error) {
	var conn connection
	var there bool
	err := conn.do(ctx, "list the nftables tables", func(c *nftables.Conn) error {
		table, err := find(c, name)
		there = table != nil
		return err
	})
	return there, orClose(err, conn.close())
}

// Remove deletes the inet table of that name; one that is not there is no error.
func Remove(ctx context.Context, name string) error {
	var conn connection
	err := conn.do(ctx, "delete the nftables table", func(c *nftables.Conn) error {
		table, err := find(c, name)
		if err != nil || table == nil {
			return err
		}
		c.DelTable(table)
		return c.Flush()
	})
	return orClose(err, conn.close())
}

func orClose(err, closing error) error {
	if err != nil {
		return err
	}
	return closing
}
