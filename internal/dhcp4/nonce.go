package dhcp4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"berth/internal/ipam"
)

// putNonce gives a client the key with which it will know a later request to renew as ours
// (RFC 6704 §3.1.2): protocol 3, HMAC-MD5, replay detection by a counter that only grows.
// The key is derived, so that nothing has to be stored for it.
func (r *reply) putNonce(secret []byte, h ipam.Holder, now time.Time) {
	sum := hmac.New(sha256.New, secret)
	sum.Write(h.MAC[:])
	sum.Write([]byte(h.Guest))
	key := sum.Sum(nil)[:16]
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(now.UnixNano()))
	r.put(optAuth, 3, 1, 0)
	r.grow(optAuth, counter[:]...)
	r.grow(optAuth, 1)
	r.grow(optAuth, key...)
}
