package resolved

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	busName      = "org.freedesktop.DBus"
	resolvedName = "org.freedesktop.resolve1"
	resolvedPath = "/org/freedesktop/resolve1"
	networkdName = "org.freedesktop.network1"
	networkdPath = "/org/freedesktop/network1"
)

// systemBus connects to the system bus.
func systemBus(ctx context.Context) (*dbus.Conn, error) {
	return dbus.ConnectSystemBus(dbus.WithContext(ctx))
}

// bus is a connection to a message bus on which every call has a time limit.
type bus struct {
	conn    *dbus.Conn
	cancel  context.CancelFunc
	timeout time.Duration
	signals chan *dbus.Signal // closed with the connection
}

// openBus connects, or gives up after the time limit.
func openBus(ctx context.Context, o Options) (*bus, error) {
	ctx, cancel := context.WithCancel(ctx)
	limit := time.AfterFunc(o.Timeout, cancel)
	conn, err := o.Bus(ctx)
	if !limit.Stop() && err == nil {
		err = errors.Join(context.DeadlineExceeded, conn.Close())
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect to the message bus: %w", err)
	}
	b := &bus{conn: conn, cancel: cancel, timeout: o.Timeout, signals: make(chan *dbus.Signal, 16)}
	conn.Signal(b.signals)
	return b, nil
}

func (b *bus) close() {
	_ = b.conn.Close() // nothing is under way
	b.cancel()
}

// subscribe asks for the signals that are reasons to look: resolved came or went, or has
// other servers than before.
func (b *bus) subscribe(ctx context.Context) error {
	rules := [...][]dbus.MatchOption{
		{dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, resolvedName)},
		{dbus.WithMatchSender(resolvedName), dbus.WithMatchInterface(busName + ".Properties"), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchObjectPath(resolvedPath)},
	}
	for _, rule := range rules {
		limited, cancel := context.WithTimeout(ctx, b.timeout)
		err := b.conn.AddMatchSignalContext(limited, rule...)
		cancel()
		if err != nil {
			return fmt.Errorf("subscribe to signals of the message bus: %w", err)
		}
	}
	return nil
}

// call calls a method and stores its results. It never starts a service that is
// installed but stopped: that is the operator's choice.
func (b *bus) call(ctx context.Context, name string, path dbus.ObjectPath, method string, args []any, results ...any) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if err := b.conn.Object(name, path).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...).Store(results...); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// hasResolved reports whether resolved runs.
func (b *bus) hasResolved(ctx context.Context) (bool, error) {
	var has bool
	err := b.call(ctx, busName, "/org/freedesktop/DBus", busName+".NameHasOwner", []any{resolvedName}, &has)
	return has, err
}

// isError reports whether err is one of the D-Bus errors called so.
func isError(err error, names ...string) bool {
	var e dbus.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, name := range names {
		if e.Name == name {
			return true
		}
	}
	return false
}

// isUnknown reports that the service is too old for what was asked of it.
func isUnknown(err error) bool {
	return isError(err, busName+".Error.UnknownMethod", busName+".Error.UnknownProperty")
}

// isGone reports that nobody is there, or no such interface.
func isGone(err error) bool {
	return isError(err, resolvedName+".NoSuchLink", busName+".Error.NameHasNoOwner", busName+".Error.ServiceUnknown")
}
