package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"berth/internal/ipam"
)

// maxSize bounds a configuration, in bytes: what four hundred networks take that set every key.
const maxSize = 256 << 10

// ReadFile is the content of a regular file that may have 256 KiB; flag is what names it on the command
// line. It is opened without waiting: a pipe without a writer would keep the daemon from
// starting. The error is an *ipam.Problem.
func ReadFile(path, flag string) ([]byte, error) {
	at := ipam.Source{File: path}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, unreadable(at, flag, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(at, flag, err)
	case info.IsDir():
		return nil, unreadable(at, flag, syscall.EISDIR)
	case !info.Mode().IsRegular():
		return nil, &ipam.Problem{
			Code: ipam.CodeConfig, Source: at, Text: "this is no ordinary file",
			Hint: "name an ordinary file with " + flag,
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, unreadable(at, flag, err)
	case len(data) > maxSize:
		return nil, &ipam.Problem{
			Code: ipam.CodeConfig, Source: at,
			Text: fmt.Sprintf("the file is larger than %d KiB", maxSize>>10),
			Hint: "is it the configuration? Name it with " + flag,
		}
	}
	return data, nil
}

// unreadable says what to type when a file can not be read.
func unreadable(at ipam.Source, flag string, err error) *ipam.Problem {
	p := &ipam.Problem{Code: ipam.CodeConfig, Source: at, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist) && flag != "--config":
		p.Text = "there is no such file"
		p.Hint = "name another one with " + flag
	case errors.Is(err, fs.ErrNotExist):
		p.Text = "there is no such file"
		p.Hint = fmt.Sprintf(`printf '[network.lxdbr0]\nipv4 = "10.64.177.1/24"\n' > %s`, at.File)
	case errors.Is(err, fs.ErrPermission):
		p.Code = ipam.CodeDenied
		p.Text = "permission to read it is denied"
		p.Hint = "run as root, or type: sudo chmod a+r " + at.File
	case errors.Is(err, syscall.EISDIR) && flag != "--config":
		p.Text = "this is a directory"
		p.Hint = "name a file with " + flag
	case errors.Is(err, syscall.EISDIR):
		p.Text = "this is a directory"
		p.Hint = fmt.Sprintf("name the file in it: %s %s/berth.toml", flag, at.File)
	case errors.Is(err, syscall.ELOOP):
		p.Text = "its symbolic links go round in circles"
		p.Hint = "ls -l " + at.File
	default:
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		p.Text = "can not be read: " + err.Error()
		p.Hint = "ls -l " + at.File
	}
	return p
}
