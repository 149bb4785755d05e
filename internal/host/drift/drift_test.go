package drift_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/host/drift"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

func TestAnOverflowOfEventsIsAReasonToLook(t *testing.T) {
	netnstest.Require(t, "ip")
	netnstest.Bridge(t, "br0", "")
	var drifted atomic.Bool
	looked, slow, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var first, blocked sync.Once
	w := drift.Watcher{
		Protocol: unix.NETLINK_ROUTE, Groups: []uint32{unix.RTNLGRP_IPV4_IFADDR}, Buffer: 4096,
		Concerns: func(netlink.Message) bool { // no event matters, and the first takes long
			blocked.Do(func() { close(slow); <-release })
			return false
		},
		Drifted: func(context.Context) bool {
			first.Do(func() { close(looked) })
			return drifted.Load()
		},
		Every: time.Hour, Log: slog.New(slog.DiscardHandler),
	}
	out := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- w.Watch(t.Context(), out) }()
	t.Cleanup(func() { // the context has ended by now
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-looked
	netnstest.Run(t, "ip", "addr", "add", "192.0.2.1/32", "dev", "br0")
	<-slow
	netnstest.Run(t, "sh", "-c", strings.Repeat("ip addr add 192.0.2.2/32 dev br0; ip addr del 192.0.2.2/32 dev br0; ", 50))
	drifted.Store(true)
	close(release)
	select {
	case <-out:
	case <-time.After(5 * time.Second):
		t.Error("the loss of events was passed over")
	}
}

func TestNoGroupIsAnError(t *testing.T) {
	netnstest.Require(t)
	w := drift.Watcher{Protocol: unix.NETLINK_ROUTE, Groups: []uint32{1 << 20}, Buffer: 4096, Every: time.Hour, Log: slog.New(slog.DiscardHandler)}
	if err := w.Watch(t.Context(), make(chan struct{})); err == nil {
		t.Error("a group that does not exist was subscribed to")
	}
}
