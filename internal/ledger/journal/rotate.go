package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const snapshotTemp = "snapshot.new"

func (j *Journal) path(name string) string        { return filepath.Join(j.Dir, name) }
func (j *Journal) logName(seq uint64) string      { return j.path(fmt.Sprintf("log.%08x", seq)) }
func (j *Journal) snapshotName(seq uint64) string { return j.path(fmt.Sprintf("snapshot.%08x", seq)) }

// parseName is the inverse of logName and snapshotName, for base names.
func parseName(name string) (prefix string, seq uint64, ok bool) {
	prefix, digits, ok := strings.Cut(name, ".")
	if !ok || len(digits) < 8 || prefix != "log" && prefix != "snapshot" {
		return "", 0, false
	}
	seq, err := strconv.ParseUint(digits, 16, 64)
	return prefix, seq, err == nil
}

// newID gives a random number for a file's header.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// create makes log.seq, durable with its header and its name.
func (j *Journal) create(seq uint64) (File, uint64, error) {
	id := newID()
	f, err := j.FS.Create(j.logName(seq))
	if err != nil {
		return nil, 0, err
	}
	_, err = f.Write(header(kindLog, id))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.FS.SyncDir(j.Dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("create %s: %w", j.logName(seq), err)
	}
	return f, id, nil
}

// use makes f the log that is written from now on.
func (j *Journal) use(f File, id, seq uint64) {
	j.file, j.id, j.seq, j.size = f, id, seq, headerSize
	j.note(func(s *Status) { s.LogBytes = headerSize })
}

// rotateIfDue begins a new log when the current one is long, and has a snapshot written
// of what came before. The snapshot is written beside the work: until it is there, a start
// reads the older one and both logs.
func (j *Journal) rotateIfDue() {
	if j.file == nil || j.size < j.rotateAt {
		return
	}
	j.saving.Wait() // two snapshots at a time would only compete for the disk
	f, id, err := j.create(j.seq + 1)
	if err != nil {
		j.giveUpRotation(err)
		return
	}
	old := j.file
	j.use(f, id, j.seq+1)
	_ = old.Close() // all of it has been synced
	seq, state := j.seq, j.Snapshot()
	j.saving.Go(func() {
		size, err := j.save(seq, state)
		if err == nil {
			j.clean(seq)
		}
		j.note(func(s *Status) {
			s.SnapshotErr = err
			if err == nil {
				s.SnapshotBytes = size
			}
		})
		if err != nil {
			j.Log.Warn("snapshot not written", "err", err)
		}
	})
	j.plan()
}

// plan decides when to rotate next: not before the log is twice as long as the snapshot,
// so that writing snapshots costs a bounded share of the work.
func (j *Journal) plan() { j.rotateAt = max(j.RotateAt, 2*j.Status().SnapshotBytes) }

// giveUpRotation goes on with the current log, provided that the half-made one is surely
// gone: were it found at the next start, a torn tail of the current log would look like damage.
func (j *Journal) giveUpRotation(cause error) {
	err := j.FS.Remove(j.logName(j.seq + 1))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = j.FS.SyncDir(j.Dir)
	}
	if err != nil {
		j.fail(cause)
		return
	}
	j.note(func(s *Status) { s.SnapshotErr = cause })
	j.Log.Warn("journal not rotated", "err", cause)
	j.rotateAt = j.size + j.RotateAt
}

// heal makes a failed journal writable again: a snapshot of what is settled makes
// the given-up log superfluous, then a new log begins. It does nothing when all is
// well, and only repeats the last error until it is time for another attempt.
func (j *Journal) heal() error {
	if j.file != nil {
		return nil
	}
	status := j.Status()
	if time.Now().Before(j.retryAt) {
		return status.Err
	}
	j.saving.Wait()
	j.seq++ // every attempt under a new number: what the last one left is not known
	size, err := j.save(j.seq, j.Snapshot())
	if err == nil {
		var f File
		var id uint64
		if f, id, err = j.create(j.seq); err == nil {
			j.use(f, id, j.seq)
		}
	}
	if err != nil {
		j.fail(err)
		return err
	}
	j.clean(j.seq)
	j.note(func(s *Status) {
		s.Err, s.SnapshotErr, s.SnapshotBytes = nil, nil, size
	})
	j.plan()
	if status.Err != nil {
		j.Log.Info("journal can be written again", "dur", time.Since(status.Since))
	}
	return nil
}

// snapshotFrame is how much of a snapshot shares one checksum.
const snapshotFrame = 256 << 10

// save writes snapshot.seq and reports its size: under another name, synced, renamed, and
// the directory synced, so that under its name it is always whole.
func (j *Journal) save(seq uint64, state iter.Seq[[]byte]) (int64, error) {
	temp := j.path(snapshotTemp)
	size, err := j.writeSnapshot(temp, state)
	if err == nil {
		err = j.FS.Rename(temp, j.snapshotName(seq))
	}
	if err == nil {
		err = j.FS.SyncDir(j.Dir)
	}
	if err != nil {
		_ = j.FS.Remove(temp) // it may be what fills the disk
		return 0, fmt.Errorf("write %s: %w", j.snapshotName(seq), err)
	}
	return size, nil
}

func (j *Journal) writeSnapshot(name string, state iter.Seq[[]byte]) (size int64, err error) {
	f, err := j.FS.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	id := newID()
	if _, err := f.Write(header(kindSnapshot, id)); err != nil {
		return 0, err
	}
	size = headerSize
	frame := make([]byte, frameSize, snapshotFrame+4096)
	flush := func() error {
		seal(frame, id, size)
		_, err := f.Write(frame)
		size += int64(len(frame))
		frame = frame[:frameSize]
		return err
	}
	for record := range state {
		frame = appendRecord(frame, record)
		if len(frame) >= snapshotFrame {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	if len(frame) > frameSize {
		if err := flush(); err != nil {
			return 0, err
		}
	}
	if err := flush(); err != nil { // the mark: complete
		return 0, err
	}
	return size, f.Sync()
}

// clean removes what snapshot.seq has made superfluous. What stays behind is
// removed after the next snapshot, or at the next start.
func (j *Journal) clean(seq uint64) {
	names, err := j.FS.List(j.Dir)
	if err != nil {
		return
	}
	for _, name := range names {
		if _, n, ok := parseName(name); ok && n < seq || name == snapshotTemp {
			_ = j.FS.Remove(j.path(name))
		}
	}
}
