package leasefile

import (
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
	maxSize  = 16 << 20 // bytes: about 200,000 leases
	calm     = 50 * time.Millisecond
	patience = 2 * time.Second
	askAgain = 10 * time.Millisecond
)

// Read is the content of the lease file at path. dnsmasq, which has it open for as long as it runs,
// empties it and writes it anew; Read waits, up to two seconds, until it has been left alone
// for a moment. The error is an *ipam.Problem, or ctx's.
func Read(ctx context.Context, path string) ([]byte, error) {
	began := time.Now()
	for {
		data, calmAt, err := readOnce(path)
		if err != nil {
			return nil, err
		}
		if !time.Now().Before(calmAt) || time.Since(began) > patience {
			return data, nil
		}
		wait := time.NewTimer(askAgain)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("read %s: %w", path, ctx.Err())
		case <-wait.C:
		}
	}
}

// readOnce reads the file, and says from when on what was read can be taken for whole, provided that it is
// found the same then.
func readOnce(path string) (data []byte, calmAt time.Time, err error) {
	at := ipam.Source{File: path}
	// Without O_NONBLOCK a pipe would keep us waiting for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, calmAt, unreadable(at, err)
	}
	defer f.Close()
	before, err := f.Stat()
	switch {
	case err != nil:
		return nil, calmAt, unreadable(at, err)
	case !before.Mode().IsRegular():
		return nil, calmAt, bad(at, "name the lease file with --leases", "this is no ordinary file")
	}
	data, err = io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, calmAt, unreadable(at, err)
	}
	if len(data) > maxSize {
		return nil, calmAt, bad(at, "is it a lease file? Name it with --leases", "the file is larger than %d MiB", maxSize>>20)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, calmAt, unreadable(at, err)
	}
	calmAt = after.ModTime().Add(calm)
	if age := time.Since(after.ModTime()); age < 0 {
		calmAt = time.Time{} // from the future: its age says nothing
	}
	if int64(len(data)) != after.Size() || !after.ModTime().Equal(before.ModTime()) {
		calmAt = time.Now().Add(calm)
	}
	return data, calmAt, nil
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
