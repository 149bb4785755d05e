package filewatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// event is something that happened in a watched folder.
type event struct {
	watch int
	mask  uint32
	name  string // in the folder; empty when it is about the folder itself
}

// overflow reports whether events were lost.
func (e event) overflow() bool { return e.mask&unix.IN_Q_OVERFLOW != 0 }

// endsSave reports whether a file is complete now: closed by who wrote it, or moved here.
func (e event) endsSave() bool { return e.mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0 }

// inotify is an instance of inotify(7). Its events end when it does.
type inotify struct {
	f      *os.File
	events chan []event
	quit   chan struct{}
	err    error // once events is closed
}

func newInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	// Non-blocking, so that reads wait in the runtime's poller and end when it is closed.
	in := &inotify{f: os.NewFile(uintptr(fd), "inotify"), events: make(chan []event), quit: make(chan struct{})}
	go in.read()
	return in, nil
}

// read passes events on in batches; while nobody takes one they gather in the kernel.
func (in *inotify) read() {
	defer close(in.events)
	buf := make([]byte, 64<<10)
	for {
		n, err := in.f.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				in.err = fmt.Errorf("read file events: %w", err)
			}
			return
		}
		select {
		case in.events <- parseEvents(buf[:n]):
		case <-in.quit:
			return
		}
	}
}

// parseEvents reads struct inotify_event, one after the other.
func parseEvents(buf []byte) []event {
	var events []event
	for len(buf) >= unix.SizeofInotifyEvent {
		e := event{
			watch: int(int32(binary.NativeEndian.Uint32(buf))),
			mask:  binary.NativeEndian.Uint32(buf[4:]),
		}
		size := int(binary.NativeEndian.Uint32(buf[12:]))
		buf = buf[unix.SizeofInotifyEvent:]
		if size > len(buf) {
			break
		}
		name, _, _ := bytes.Cut(buf[:size], []byte{0})
		e.name = string(name)
		events = append(events, e)
		buf = buf[size:]
	}
	return events
}

// close ends the instance and waits for its reader.
func (in *inotify) close() error {
	close(in.quit)
	err := in.f.Close()
	for range in.events { // until it is closed
	}
	return errors.Join(in.err, err)
}

// watch asks for the events of a folder; asked again, it gives the same number for the same folder.
func (in *inotify) watch(dir string) (int, error) {
	watch := -1
	conn, err := in.f.SyscallConn()
	if err != nil {
		return watch, err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { watch, failed = unix.InotifyAddWatch(int(fd), dir, concerned) })
	return watch, errors.Join(err, failed)
}

// unwatch ends the events of a folder, which may be gone already.
func (in *inotify) unwatch(watch int) {
	conn, err := in.f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(watch)) })
}
