package ledger

import (
	"errors"
	"fmt"
	"syscall"

	"berth/internal/ipam"
)

// ErrDisk says that a decision could not be stored; nothing of it is in force.
var ErrDisk = errors.New("the ledger can not be written")

// diskProblem words a failure of the journal; it is ErrDisk.
func diskProblem(err error) *ipam.Problem {
	p := &ipam.Problem{Code: ipam.CodeHost, Err: errors.Join(ErrDisk, err)}
	p.Text = fmt.Sprintf("the ledger can not be written: %v", err)
	p.Hint = "mend the disk under berth's state directory; berth tries again by itself, and serves what it has until then"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		p.Code = ipam.CodeFull
		p.Text = "the disk of the ledger is full: no new address can be given out"
		p.Hint = "free space under berth's state directory; berth tries again by itself, and serves what it has until then"
	}
	return p
}
