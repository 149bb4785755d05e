package dnsmasqlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/dhcp4/dnsmasqlog"
)

// logger is one as the daemon makes it for the server of lxdbr0; what is no line goes to other.
func logger(on bool, level slog.Level) (log *slog.Logger, lines, other *bytes.Buffer) {
	lines, other = new(bytes.Buffer), new(bytes.Buffer)
	form := dnsmasqlog.New(lines)
	form.Set(on)
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	next := slog.NewTextHandler(other, &slog.HandlerOptions{Level: level, ReplaceAttr: noTime})
	return slog.New(form.Wrap(next)).With("network", "lxdbr0"), lines, other
}

const mac = "00:16:3e:59:21:d7"

func TestLines(t *testing.T) {
	tests := []struct {
		name, text string
		attrs      []any
		want       string // after the process; "" for none
	}{
		{"discover", "received", []any{"type", "discover", "mac", mac}, "DHCPDISCOVER(lxdbr0) " + mac + " "},
		{"discover with a wish", "received", []any{"type", "discover", "mac", mac, "addr", "10.1.2.3"}, "DHCPDISCOVER(lxdbr0) 10.1.2.3 " + mac + " "},
		{"offer", "sent", []any{"type", "offer", "mac", mac, "addr", "10.1.2.3"}, "DHCPOFFER(lxdbr0) 10.1.2.3 " + mac + " "},
		{"ack with a name", "sent", []any{"type", "ack", "mac", mac, "addr", "10.1.2.3", "name", "cent02"}, "DHCPACK(lxdbr0) 10.1.2.3 " + mac + " cent02"},
		{"ack without", "sent", []any{"type", "ack", "mac", mac, "addr", "10.1.2.3"}, "DHCPACK(lxdbr0) 10.1.2.3 " + mac + " "},
		{"nak: network", "sent", []any{"type", "nak", "mac", mac, "addr", "10.9.2.3", "err", "wrong network"}, "DHCPNAK(lxdbr0) 10.9.2.3 " + mac + " wrong network"},
		{"nak: somebody's", "sent", []any{"type", "nak", "mac", mac, "addr", "10.1.2.3", "err", "the address is another's"}, "DHCPNAK(lxdbr0) 10.1.2.3 " + mac + " address in use"},
		{"nak: pinned elsewhere", "sent", []any{"type", "nak", "mac", mac, "addr", "10.1.2.3", "err", "another address is meant for this client"}, "DHCPNAK(lxdbr0) 10.1.2.3 " + mac + " static lease available"},
		{"release", "received", []any{"type", "release", "mac", mac, "addr", "10.1.2.3"}, "DHCPRELEASE(lxdbr0) 10.1.2.3 " + mac + " "},
		{"release of what is not there", "received", []any{"type", "release", "mac", mac, "addr", "10.1.2.3", "err", "release: not this client's address"}, "DHCPRELEASE(lxdbr0) 10.1.2.3 " + mac + " unknown lease"},
		{"ignored request", "received", []any{"type", "request", "mac", mac, "addr", "10.1.2.3", "err", "request: unknown client"}, "DHCPREQUEST(lxdbr0) 10.1.2.3 " + mac + " "},
		{"decline", "received", []any{"type", "decline", "mac", mac, "addr", "10.1.2.3"}, "DHCPDECLINE(lxdbr0) 10.1.2.3 " + mac + " "},
		{"inform", "received", []any{"type", "inform", "mac", mac, "addr", "10.1.2.3"}, "DHCPINFORM(lxdbr0) 10.1.2.3 " + mac + " "},
		{"a type that clients do not send", "received", []any{"type", "offer", "mac", mac}, ""},
		{"no type", "received", []any{"mac", mac}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, lines, other := logger(true, slog.LevelInfo)
			log.Debug(tt.text, tt.attrs...)
			want := ""
			if tt.want != "" {
				want = fmt.Sprintf("dnsmasq-dhcp[%d]: %s\n", os.Getpid(), tt.want)
			}
			if have := lines.String(); have != want || other.Len() > 0 {
				t.Errorf("wrote %q, want %q; and to the other log %q", have, want, other)
			}
		})
	}
}

// TestOtherRecords: what is not about a message goes where it always went, by its level there.
func TestOtherRecords(t *testing.T) {
	for _, on := range []bool{false, true} {
		log, lines, other := logger(on, slog.LevelInfo)
		log.Debug("packet dropped", "port", "veth1", "err", errors.New("short"))
		log.Debug("received", "type", "discover", "mac", mac)
		log.Warn("no answer: the range is full", "mac", mac)
		log.Info("bound", "mac", mac)
		want := "level=WARN msg=\"no answer: the range is full\" network=lxdbr0 mac=" + mac + "\n"
		if !on {
			want += "level=INFO msg=bound network=lxdbr0 mac=" + mac + "\n"
		}
		if have := other.String(); have != want {
			t.Errorf("on %v: wrote\n%swant\n%s", on, have, want)
		}
		if (lines.Len() > 0) != on {
			t.Errorf("on %v: lines %q", on, lines)
		}
	}
}

// TestOffAsksForNothing: the server makes no record of a message that nobody reads.
func TestOffAsksForNothing(t *testing.T) {
	form := dnsmasqlog.New(io.Discard)
	log := slog.New(form.Wrap(slog.NewTextHandler(io.Discard, nil)))
	if log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("off, and packets are asked for")
	}
	if n := testing.AllocsPerRun(100, func() { _ = log.Enabled(context.Background(), slog.LevelDebug) }); n != 0 {
		t.Errorf("asking costs %v allocations", n)
	}
	form.Set(true)
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("on, and packets are not asked for")
	}
}

// TestFlood: one port's messages can not fill the disk, and do not silence another's.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines, _ := logger(true, slog.LevelInfo)
		say := func(port string, n int) int {
			lines.Reset()
			for range n {
				log.Debug("received", "type", "discover", "mac", mac, "port", port)
			}
			return strings.Count(lines.String(), "DHCPDISCOVER")
		}
		if n := say("veth1", 10_000); n != 200 {
			t.Errorf("%d lines of a flood", n)
		}
		if n := say("veth2", 3); n != 3 {
			t.Errorf("%d of 3 lines of another port", n)
		}
		time.Sleep(time.Second)
		if n := say("veth1", 10_000); n != 50 {
			t.Errorf("%d lines a second later", n)
		}
		if want := fmt.Sprintf("dnsmasq-dhcp[%d]: 9800 messages of port veth1 of lxdbr0 are not listed: there were too many\n", os.Getpid()); !strings.HasPrefix(lines.String(), want) {
			t.Errorf("it is not said what was left out: %.120q", lines)
		}
	})
}
