package host

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// problem turns a refusal of the kernel into what a person can act on; everything
// else keeps its own words.
func problem(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &ipam.Problem{
			Code: ipam.CodeDenied, Err: err,
			Text: fmt.Sprintf("%s: no permission to change the network of this host", doing),
			Hint: "run it as root: sudo berth …",
		}
	case errors.Is(err, unix.EROFS):
		return &ipam.Problem{
			Code: ipam.CodeHost, Err: err,
			Text: fmt.Sprintf("%s: the file system is read-only", doing),
			Hint: "mount it writable (in a container: /proc/sys must be), or do this once by hand outside",
		}
	case errors.Is(err, unix.EOPNOTSUPP):
		return &ipam.Problem{
			Code: ipam.CodeHost, Err: err,
			Text: fmt.Sprintf("%s: this kernel cannot do it", doing),
			Hint: "load the module: modprobe bridge",
		}
	case errors.Is(err, unix.ENOSPC):
		return &ipam.Problem{
			Code: ipam.CodeFull, Err: err,
			Text: fmt.Sprintf("%s: the disk is full", doing),
			Hint: "free some space: df -h /var/lib /run",
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
