package pinfile

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How long a reader waits for somebody who has the file open for writing: a script that uses the
// file as its lock has it open for as long as it likes, and changes nothing; an editor that is at it
// changes it again and again, or has just emptied it.
const (
	calm     = 100 * time.Millisecond
	patience = 2 * time.Second
	askAgain = 500 * time.Microsecond
)

// open opens path for reading without waiting for the other end of a pipe.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// keepWritersAway waits until nobody has f open for writing, and holds up whoever wants to
// (fcntl(2), F_SETLEASE) until release is called: what is read in between is never half of
// what an editor writes in place. Where the kernel gives no lease (network file systems, a file of
// somebody else without CAP_LEASE), it does nothing.
func keepWritersAway(f *os.File) (release func()) {
	began := time.Now()
	var last unix.Stat_t
	calmSince := began
	for {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		if err == nil {
			return func() { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }
		}
		var now unix.Stat_t
		if !errors.Is(err, unix.EAGAIN) || unix.Fstat(int(f.Fd()), &now) != nil {
			return func() {}
		}
		if now.Size != last.Size || now.Mtim != last.Mtim {
			calmSince, last = time.Now(), now
		}
		if now.Size > 0 && time.Since(calmSince) > calm || time.Since(began) > patience {
			return func() {}
		}
		time.Sleep(askAgain)
	}
}

func isFull(err error) bool       { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
func isReadOnly(err error) bool   { return errors.Is(err, unix.EROFS) }
func isMountPoint(err error) bool { return errors.Is(err, unix.EBUSY) }
