package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"berth/internal/ipam"
)

// load replays the newest snapshot and the logs that follow it, cuts a torn tail, and
// opens the last log for appending.
func (j *Journal) load() error {
	snapshot, logs, err := j.survey()
	if err != nil {
		return err
	}
	if snapshot > 0 {
		if err := j.loadSnapshot(snapshot); err != nil {
			return err
		}
	}
	j.seq = snapshot
	last := tail{seq: snapshot}
	for i, seq := range logs {
		if last, err = j.loadLog(seq, i == len(logs)-1); err != nil {
			return err
		}
		j.seq = seq
	}
	j.clean(snapshot)
	j.open(last)
	return nil
}

// survey finds the newest snapshot (0: none) and the logs from it on, which must follow each
// other without a gap.
func (j *Journal) survey() (snapshot uint64, logs []uint64, err error) {
	names, err := j.FS.List(j.Dir)
	if err != nil {
		return 0, nil, fmt.Errorf("list %s: %w", j.Dir, err)
	}
	for _, name := range names {
		switch prefix, seq, ok := parseName(name); {
		case !ok:
		case prefix == "log":
			logs = append(logs, seq)
		default:
			snapshot = max(snapshot, seq)
		}
	}
	slices.Sort(logs)
	logs = slices.DeleteFunc(logs, func(seq uint64) bool { return seq < snapshot })
	expect := max(snapshot, 1)
	for _, seq := range logs {
		if seq != expect {
			return 0, nil, &ipam.Problem{
				Code: ipam.CodeHost,
				Text: fmt.Sprintf("%s is missing, but %s is there", j.logName(expect), j.logName(seq)),
				Hint: fmt.Sprintf("restore %s from a backup, or start afresh: mv %s %s.damaged", j.Dir, j.Dir, j.Dir),
			}
		}
		expect++
	}
	return snapshot, logs, nil
}

func (j *Journal) loadSnapshot(seq uint64) error {
	name := j.snapshotName(seq)
	data, err := j.FS.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	id, err := parseHeader(data, kindSnapshot)
	off := headerSize
	for err == nil {
		var payload []byte
		if payload, err = frameAt(data, id, off); err != nil {
			break
		}
		if len(payload) == 0 {
			j.status.SnapshotBytes = int64(len(data))
			return nil
		}
		if err = records(payload, j.Replay); err != nil {
			break
		}
		off += frameSize + len(payload)
	}
	return &ipam.Problem{
		Code: ipam.CodeHost, Source: ipam.Source{File: name}, Err: err,
		Text: fmt.Sprintf("the snapshot is damaged at byte %d of %d: %v", min(off, len(data)), len(data), whole(err)),
		Hint: fmt.Sprintf("restore %s from a backup, or start afresh: mv %s %s.damaged", j.Dir, j.Dir, j.Dir),
	}
}

// whole puts the end of a file, which is early where this is called, into words.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return errTorn
	}
	return err
}

// tail is where the last log can be written on.
type tail struct {
	seq   uint64
	id    uint64
	valid int64 // 0: not even the header is whole
	size  int64
}

// loadLog replays one log. Only the last may have a torn tail: one that was followed by
// another had been synced to its end.
func (j *Journal) loadLog(seq uint64, last bool) (tail, error) {
	name := j.logName(seq)
	data, err := j.FS.ReadFile(name)
	if err != nil {
		return tail{}, fmt.Errorf("read journal: %w", err)
	}
	end := tail{seq: seq, size: int64(len(data))}
	id, err := parseHeader(data, kindLog)
	if err != nil {
		// The header is synced before the first record is written.
		if last && errors.Is(err, errTorn) && len(data) <= headerSize {
			return end, nil
		}
		return tail{}, j.damaged(name, 0, len(data), err)
	}
	off := headerSize
	for {
		payload, err := frameAt(data, id, off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if !last || frameAfter(data, id, off) {
				return tail{}, j.damaged(name, off, len(data), err)
			}
			break
		}
		if err := records(payload, j.Replay); err != nil {
			return tail{}, j.damaged(name, off, len(data), err)
		}
		off += frameSize + len(payload)
	}
	end.id, end.valid = id, int64(off)
	return end, nil
}

func (j *Journal) damaged(name string, off, size int, err error) error {
	hint := fmt.Sprintf("restore %s from a backup; or give up what follows: cp -a %s %s.damaged && truncate -s %d %s",
		j.Dir, j.Dir, j.Dir, off, name)
	if errors.Is(err, errVersion) {
		hint = "install that version again"
	} else if off == 0 {
		hint = fmt.Sprintf("restore %s from a backup, or start afresh: mv %s %s.damaged", j.Dir, j.Dir, j.Dir)
	}
	return &ipam.Problem{
		Code: ipam.CodeHost, Source: ipam.Source{File: name}, Err: err, Hint: hint,
		Text: fmt.Sprintf("the journal is damaged at byte %d of %d, before records that had been stored: %v", off, size, err),
	}
}

// open makes the last log ready for appending. That it can not be written (a full or
// read-only disk) is no reason not to start: what is stored can still be served.
func (j *Journal) open(last tail) {
	j.rotateAt = max(j.RotateAt, 2*j.status.SnapshotBytes)
	if last.valid == 0 {
		seq := max(j.seq, 1)
		f, id, err := j.create(seq)
		if err != nil {
			j.seq = seq
			j.fail(err)
			j.retryAt = j.retryAt.Add(-j.RetryAfter)
			return
		}
		j.use(f, id, seq)
		return
	}
	f, err := j.FS.OpenAt(j.logName(last.seq), last.valid)
	if err == nil && last.valid < last.size {
		j.Log.Warn("torn tail of the journal cut", "name", j.logName(last.seq),
			"err", fmt.Errorf("%d bytes after byte %d are %w", last.size-last.valid, last.valid, errTorn))
		if err = f.Sync(); err != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		j.fail(fmt.Errorf("open %s: %w", j.logName(last.seq), err))
		j.retryAt = j.retryAt.Add(-j.RetryAfter)
		return
	}
	j.file, j.id, j.seq, j.size = f, last.id, last.seq, last.valid
	j.status.LogBytes = last.valid
}
