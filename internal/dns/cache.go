package dns

import (
	"container/list"
	"encoding/binary"
	"sync"
	"time"

	codec "github.com/miekg/dns"
)

const (
	longestPositive = 24 * time.Hour
	longestNegative = time.Hour       // RFC 2308 §5 allows up to three
	failureMemory   = 2 * time.Second // RFC 9520 §3.2: at least one, never more than 300
	maxCacheBytes   = 16 << 20
)

// Bits of cacheKey.flags: the header flags that change what an upstream answers.
const (
	flagRD = 1 << iota
	flagAD
	flagCD
	flagDO
)

// cacheKey is what two queries must share to be given the same reply.
type cacheKey struct {
	route    string // the upstreams asked
	question string // on the wire, in lower case
	flags    byte
}

// relayed is a reply of an upstream, without its OPT record.
type relayed struct {
	wire    []byte
	body    int
	ttls    []int
	rcode   int // with the bits from OPT
	ede     []byte
	stored  time.Time
	expires time.Time // equal to stored: not to be kept
}

// newRelayed takes a reply apart; wire is kept.
func newRelayed(wire []byte, now time.Time) (*relayed, error) {
	o, err := readOutline(wire)
	if err != nil {
		return nil, err
	}
	r := &relayed{
		wire: wire, body: o.body, ttls: o.ttls, ede: o.ede, stored: now,
		rcode: int(o.extRcode)<<4 | int(wire[3]&15),
	}
	r.expires = now.Add(lifetime(o, r.rcode, wire[2]&0x02 != 0))
	if o.opt == o.end {
		return r, nil
	}
	if o.end != len(wire) {
		return repack(r, o)
	}
	r.wire = wire[:o.opt]
	binary.BigEndian.PutUint16(r.wire[10:], binary.BigEndian.Uint16(r.wire[10:])-1)
	return r, nil
}

// repack takes out an OPT record that other records follow, to which compression
// pointers may point.
func repack(r *relayed, o outline) (*relayed, error) {
	var m codec.Msg
	if err := m.Unpack(r.wire); err != nil {
		return nil, errMalformed
	}
	kept := m.Extra[:0]
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != codec.TypeOPT {
			kept = append(kept, rr)
		}
	}
	m.Extra, m.Compress, m.Rcode = kept, true, m.Rcode&15
	wire, err := m.Pack()
	if err != nil {
		return nil, errMalformed
	}
	clean, err := readOutline(wire)
	if err != nil {
		return nil, err
	}
	r.wire, r.body, r.ttls = wire, clean.body, clean.ttls
	return r, nil
}

// lifetime is for how long a reply may be kept.
func lifetime(o outline, rcode int, truncated bool) time.Duration {
	ttl := time.Duration(o.ttl) * time.Second
	switch {
	case truncated:
		return 0
	case rcode == codec.RcodeSuccess && o.answers > 0:
		return min(ttl, longestPositive)
	case rcode == codec.RcodeSuccess || rcode == codec.RcodeNameError:
		if !o.soa {
			return 0 // RFC 2308 §5: without an SOA nobody may keep it
		}
		return min(ttl, longestNegative)
	case rcode == codec.RcodeServerFailure:
		return failureMemory
	}
	return 0
}

// cache keeps relayed replies, the ones used last longest.
type cache struct {
	mu      sync.Mutex
	max     int
	bytes   int
	entries map[cacheKey]*list.Element
	recent  *list.List // of *cached, the latest used first
}

type cached struct {
	key   cacheKey
	reply *relayed
}

// overhead is roughly what an entry costs besides its reply, in bytes.
const overhead = 300

func (c *cached) size() int {
	return len(c.reply.wire) + len(c.key.question) + 8*len(c.reply.ttls) + overhead
}

func newCache(entries int) *cache {
	return &cache{max: entries, entries: make(map[cacheKey]*list.Element), recent: list.New()}
}

// get is the live reply for k, or nil.
func (c *cache) get(k cacheKey, now time.Time) *relayed {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil {
		return nil
	}
	r := e.Value.(*cached).reply
	if !now.Before(r.expires) || now.Before(r.stored) {
		c.dropLocked(e)
		return nil
	}
	c.recent.MoveToFront(e)
	return r
}

// put keeps r for as long as it lives.
func (c *cache) put(k cacheKey, r *relayed) {
	if !r.expires.After(r.stored) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k]; e != nil {
		c.dropLocked(e)
	}
	entry := &cached{k, r}
	c.entries[k] = c.recent.PushFront(entry)
	c.bytes += entry.size()
	for len(c.entries) > c.max || c.bytes > maxCacheBytes {
		c.dropLocked(c.recent.Back())
	}
}

func (c *cache) dropLocked(e *list.Element) {
	entry := c.recent.Remove(e).(*cached)
	c.bytes -= entry.size()
	delete(c.entries, entry.key)
}

// size is how many replies are kept.
func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
