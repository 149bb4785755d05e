package leasefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"berth/internal/ipam"
)

const (
	maxSize  = 16 << 20              // bytes: about 200,000 leases
	calm     = 50 * time.Millisecond // for how long the file must have been left alone
	patience = 2 * time.Second       // after which it is taken as it is
)

// Read is the content of the lease file at path. dnsmasq, which has it open for as long as it runs,
// empties it and writes it anew for every lease; Read waits, up to two seconds, until it finds the same
// twice. The error is an *ipam.Problem, or ctx's.
func Read(ctx context.Context, path string) ([]byte, error) {
	began := time.Now()
	last, err := readOnce(path)
	for err == nil {
		wait := time.NewTimer(calm)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("read %s: %w", path, ctx.Err())
		case <-wait.C:
		}
		var now *content
		if now, err = readOnce(path); err != nil {
			break
		}
		// The time alone says nothing: that of a file can be as coarse as a clock tick.
		if now.at.Equal(last.at) && bytes.Equal(now.data, last.data) || time.Since(began) > patience {
			return now.data, nil
		}
		last = now
	}
	return nil, err
}

// content is what a file held when it was last written.
type content struct {
	data []byte
	at   time.Time
}

func readOnce(path string) (*content, error) {
	at := ipam.Source{File: path}
	// Without O_NONBLOCK a pipe would keep us waiting for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, unreadable(at, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(at, err)
	case !info.Mode().IsRegular():
		return nil, bad(at, "name the lease file with --leases", "this is no ordinary file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, unreadable(at, err)
	}
	if len(data) > maxSize {
		return nil, bad(at, "is it a lease file? Name it with --leases", "the file is larger than %d MiB", maxSize>>20)
	}
	return &content{data, info.ModTime()}, nil
}

// unreadable says what to type when a file can not be read.
func unreadable(at ipam.Source, err error) *ipam.Problem {
	p := &ipam.Problem{Code: ipam.CodeConfig, Source: at, Err: err, Hint: "ls -l " + at.File}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Code, p.Text, p.Hint = ipam.CodeNotFound, "there is no such file", "name the lease file with --leases"
	case errors.Is(err, fs.ErrPermission):
		p.Code, p.Text, p.Hint = ipam.CodeDenied, "permission to read it is denied", "use sudo"
	default:
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		p.Text = "can not be read: " + err.Error()
	}
	return p
}
