// Package journal keeps the records of one host in an append-only log with
// snapshots: what Wait has confirmed survives kill -9 and power cuts at any byte.
//
// A directory holds log.N files and one snapshot.N, which stands for everything
// before log.N; N is hexadecimal and grows. Writers share an fsync: they append to a
// batch in memory and wait, and one committer writes and syncs batch after batch.
// There is no timer: while one batch is being synced, the next gathers.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ErrClosed is the answer to an Append after Close.
var ErrClosed = errors.New("journal is closed")

// Options is what Open needs; Dir, L, Replay and Snapshot are required.
type Options struct {
	Dir string
	FS  FS // nil: the machine's
	Log *slog.Logger

	// L is the owner's lock, as in sync.Cond: it is held by the caller of Append, so that
	// records are stored in the order in which they were decided, and by the journal
	// while it takes back what could not be stored, so that nothing is decided meanwhile
	// on the strength of it. It is never held during I/O.
	L sync.Locker

	// Replay receives every stored record in order, during Open; it must not keep the slice.
	Replay func(record []byte) error

	// Snapshot gives records that amount to everything settled so far. The call comes
	// from the committer between two batches; the sequence may be used later, from
	// another goroutine, while further records are being settled.
	Snapshot func() iter.Seq[[]byte]

	RotateAt   int64         // bytes of log at which a new one is begun; 0: 8 MiB
	RetryAfter time.Duration // between attempts to heal a failed disk; 0: 1 s, negative: none
}

// Journal is an open journal. Its methods may be called from several goroutines.
type Journal struct {
	Options
	lock io.Closer
	wake chan struct{} // capacity 1: there is something in next, or closing
	done chan struct{} // the committer has returned

	next    *batch // guarded by L, as is closing
	closing bool

	file     File // nil: failed, the next attempt begins a fresh one; this and below: committer only
	id       uint64
	seq      uint64
	size     int64
	rotateAt int64
	retryAt  time.Time
	spare    []byte
	saving   sync.WaitGroup // the snapshot being written, if any

	mu     sync.Mutex
	status Status
}

// Status is how a journal is.
type Status struct {
	Err           error     // why nothing can be stored now; nil when it can
	Since         time.Time // of Err
	SnapshotErr   error     // why the last snapshot could not be written; harmless but for disk space
	LogBytes      int64     // of the log being written
	SnapshotBytes int64
	Records       uint64 // stored since Open
	Syncs         uint64
}

// batch is what is stored by one write and one sync.
type batch struct {
	frame  []byte // with room for the frame's head
	settle []func(error)
	done   chan struct{}
	err    error // valid when done is closed
}

// Ticket stands for a record on its way to the disk.
type Ticket struct{ batch *batch }

// Open locks and reads the journal in o.Dir, which is created when absent, and makes it
// ready for Append. A torn tail, which a crash leaves, is cut. It fails with a
// *LockedError when another process has it, and with an *ipam.Problem when what had once been stored is damaged.
func Open(o Options) (*Journal, error) {
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RotateAt == 0 {
		o.RotateAt = 8 << 20
	}
	if o.RetryAfter == 0 {
		o.RetryAfter = time.Second
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("create %s: %w", o.Dir, err)
	}
	lock, err := o.FS.Lock(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", o.Dir, err)
	}
	j := &Journal{Options: o, lock: lock, wake: make(chan struct{}, 1), done: make(chan struct{})}
	j.next = j.newBatch()
	if err := j.load(); err != nil {
		lock.Close()
		return nil, err
	}
	go j.run()
	return j, nil
}

func (j *Journal) newBatch() *batch {
	b := &batch{frame: j.spare, done: make(chan struct{})}
	j.spare = nil
	if b.frame == nil {
		b.frame = make([]byte, frameSize, 4096)
	}
	return b
}

// Append puts a record into the batch that will be stored next. The caller holds L. When
// the record is durable settle(nil) is called, in the order of the Appends; when it
// can not be stored settle(err) is called with L held, latest record first, for it and
// all that were appended after it. settle is called once, before Wait returns; it must not block.
func (j *Journal) Append(record []byte, settle func(error)) (Ticket, error) {
	if j.closing {
		return Ticket{}, ErrClosed
	}
	b := j.next
	b.frame = appendRecord(b.frame, record)
	b.settle = append(b.settle, settle)
	if len(b.settle) == 1 {
		j.poke()
	}
	return Ticket{b}, nil
}

func (j *Journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Wait returns nil when the record is durable and settled, or why it could not be stored. When ctx ends
// first, its fate is open: it may still become durable.
func (t Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.batch.done:
		return t.batch.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stores what is waiting and gives the directory back.
func (j *Journal) Close() error {
	j.L.Lock()
	again := j.closing
	j.closing = true
	j.L.Unlock()
	if again {
		return nil
	}
	j.poke()
	<-j.done
	j.saving.Wait()
	var errs []error
	if j.file != nil {
		// The mark tells the next start that all before it had been synced.
		if err := j.write(make([]byte, frameSize)); err != nil {
			errs = append(errs, err)
		}
	}
	if j.file != nil {
		errs = append(errs, j.file.Close())
	}
	return errors.Join(append(errs, j.lock.Close())...)
}

// Status tells how the journal is.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status
}

func (j *Journal) note(f func(*Status)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.status)
}

// take gives the batch gathered so far and begins another.
func (j *Journal) take() (b *batch, closing bool) {
	fresh := j.newBatch()
	j.L.Lock()
	defer j.L.Unlock()
	b, j.next = j.next, fresh
	return b, j.closing
}

// run is the committer.
func (j *Journal) run() {
	defer close(j.done)
	for {
		retry := j.retryTimer()
		select {
		case <-j.wake:
		case <-retry:
		}
		b, closing := j.take()
		switch {
		case len(b.settle) > 0:
			j.commit(b)
		case j.file == nil && !closing:
			_ = j.heal() // its failure is in the status
		}
		if closing {
			return
		}
		j.rotateIfDue()
	}
}

// retryTimer fires when a failed disk is to be tried again though nobody writes.
func (j *Journal) retryTimer() <-chan time.Time {
	if j.file != nil || j.RetryAfter < 0 {
		return nil
	}
	return time.After(max(time.Until(j.retryAt), 0))
}

// commit stores one batch and settles it.
func (j *Journal) commit(b *batch) {
	err := j.heal()
	if err == nil {
		err = j.write(b.frame)
	}
	if err != nil {
		j.revoke(b, err)
		return
	}
	j.note(func(s *Status) {
		s.Records += uint64(len(b.settle))
		s.Syncs++
		s.LogBytes = j.size
	})
	for _, settle := range b.settle {
		settle(nil)
	}
	if cap(b.frame) <= 1<<20 {
		j.spare = b.frame[:frameSize]
	}
	close(b.done)
}

// revoke takes back a batch, and what has gathered since on the strength of it.
func (j *Journal) revoke(b *batch, err error) {
	j.L.Lock()
	later := j.next
	j.next = j.newBatch()
	for _, failed := range []*batch{later, b} {
		for _, settle := range slices.Backward(failed.settle) {
			settle(err)
		}
	}
	j.L.Unlock()
	later.err, b.err = err, err
	close(later.done)
	close(b.done)
}

// write appends a frame to the log and syncs it. A failure is the end of the file: what
// of it is on the disk is not known any more, so nothing may follow it.
func (j *Journal) write(frame []byte) error {
	seal(frame, j.id, j.size)
	_, err := j.file.Write(frame)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("write %s: %w", j.logName(j.seq), err)
		j.fail(err)
		return err
	}
	j.size += int64(len(frame))
	return nil
}

// fail gives up the current file.
func (j *Journal) fail(err error) {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
	j.retryAt = time.Now().Add(j.RetryAfter)
	isNew := false
	j.note(func(s *Status) {
		if isNew = s.Err == nil; isNew {
			s.Since = time.Now()
		}
		s.Err = err
	})
	if isNew {
		j.Log.Error("journal can not be written", "err", err)
	}
}
