package pinfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"berth/internal/ipam"
)

// maxFile is the size of the largest file that is read, in bytes: half a million pins.
const maxFile = 16 << 20

// Read reads the pins file. One that is absent is empty. Somebody who is just writing it is given a
// moment to finish. The error of whatever can not be read is an *ipam.Problem that names it.
func Read(path string) ([]byte, error) {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileProblem("read", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileProblem("read", path, err)
	}
	if bad := refuseFile(path, info); bad != nil {
		return nil, bad
	}
	release := keepWritersAway(f)
	defer release()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fileProblem("read", path, err)
	}
	if len(data) > maxFile {
		return nil, tooLarge(path)
	}
	return data, nil
}

// refuseFile says why what lies at path is no pins file, or nil.
func refuseFile(path string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		if info.Size() > maxFile {
			return tooLarge(path)
		}
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "no regular file"
	}
	return &ipam.Problem{
		Code: ipam.CodeConfig, Source: ipam.Source{File: path},
		Text: "the pins file is " + what,
		Hint: fmt.Sprintf("move it out of the way: mv %s %s.old", path, path),
	}
}

func tooLarge(path string) error {
	return &ipam.Problem{
		Code: ipam.CodeConfig, Source: ipam.Source{File: path},
		Text: fmt.Sprintf("the pins file is larger than %d MiB", maxFile>>20),
		Hint: "is it a pins file at all? See: head " + path,
	}
}

// fileProblem explains what the system said about path. doing is "read" or "write".
func fileProblem(doing, path string, err error) error {
	p := &ipam.Problem{
		Code: ipam.CodeConfig, Source: ipam.Source{File: path}, Err: err,
		Text: fmt.Sprintf("can not %s the pins file: %s", doing, reason(err)),
		Hint: "see what it is: ls -ld " + path,
	}
	switch {
	case isFull(err):
		p.Code, p.Hint = ipam.CodeFull, "free some space: df -h "+filepath.Dir(path)
	case isReadOnly(err):
		p.Code, p.Hint = ipam.CodeHost, "mount it writable, or let berth serve --pins FILE name another file"
	case isMountPoint(err):
		p.Code, p.Hint = ipam.CodeHost, "a file that is a mount of its own can not be replaced: mount its folder "+filepath.Dir(path)+" instead"
	case errors.Is(err, fs.ErrPermission):
		p.Code, p.Hint = ipam.CodeDenied, "run berth as root, and see: ls -ld "+path+"; lsattr -d "+path
	case errors.Is(err, fs.ErrNotExist):
		p.Hint = "make its folder: mkdir -p " + filepath.Dir(path)
	}
	return p
}

// reason is an error of the system without the call and the path that it was about.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	var linkErr *os.LinkError
	if errors.As(err, &linkErr) {
		err = linkErr.Err
	}
	return err.Error()
}
