package leasefile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/leasefile"
)

// TestReadWaitsForTheWriter empties the file and writes it again, in halves, as often as it can for a while.
func TestReadWaitsForTheWriter(t *testing.T) {
	const text = "0 02:00:00:00:00:01 10.0.0.9 * *\n"
	path := filepath.Join(t.TempDir(), "leases")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := leasefile.Read(context.Background(), path)
		read <- result{data, err}
	}()
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		for at, half := range map[int64]string{0: text[:17], 17: text[17:]} {
			if _, err := f.WriteAt([]byte(half), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := <-read; r.err != nil || string(r.data) != text {
		t.Errorf("read %q, %v", r.data, r.err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 17<<20); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, want string }{
		{"absent", filepath.Join(dir, "absent"), "there is no such file"},
		{"folder", dir, "this is no ordinary file"},
		{"pipe", pipe, "this is no ordinary file"},
		{"too large", large, "the file is larger than 16 MiB"},
	} {
		_, err := leasefile.Read(t.Context(), tt.path)
		var p *ipam.Problem
		if !errors.As(err, &p) || p.Error() != tt.path+": "+tt.want || p.Hint == "" {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name == "absent" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an absent file is not known by its cause: %v", err)
		}
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leasefile.Read(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
