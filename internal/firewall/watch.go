package firewall

import (
	"context"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/host/drift"
)

// newGeneration ends every transaction, whoever made it.
const newGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN

// Watch sends to out whenever the table is no longer what the last Apply made it:
// a distribution's nftables service begins with "flush ruleset", which takes all tables. The
// answer to it is another Apply. out should have room for one. Watch returns when ctx
// is done, or when events cannot be had at all.
func (f *Firewall) Watch(ctx context.Context, out chan<- struct{}) error {
	w := drift.Watcher{
		Protocol: unix.NETLINK_NETFILTER,
		Groups:   []uint32{unix.NFNLGRP_NFTABLES},
		Buffer:   drift.RoomForBursts,
		Concerns: func(m netlink.Message) bool { return m.Header.Type == newGeneration },
		Drifted:  f.drifted, Every: 30 * time.Second, Log: f.log,
	}
	if err := w.Watch(ctx, out); err != nil {
		return problem("listen to nftables events", err)
	}
	return nil
}

func (f *Firewall) drifted(ctx context.Context) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spec == nil {
		return false
	}
	same, err := f.intact(ctx, *f.spec)
	if err != nil && ctx.Err() == nil {
		f.log.Warn("cannot look at the firewall", "err", err)
	}
	return err == nil && !same
}
