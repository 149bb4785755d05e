package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/config"
	"berth/internal/ipam"
)

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.toml")
	write(t, path, minimal)
	f, err := config.Load(path, config.Env{})
	if err != nil || len(f.Networks) != 1 {
		t.Fatalf("got %+v, %v", f, err)
	}
	write(t, path, minimal+"nat = 1\n")
	_, err = config.Load(path, config.Env{})
	if problems := problemsOf(t, err); problems[0].Source != (ipam.Source{File: path, Line: 3, Col: 7}) {
		t.Errorf("got %v", err)
	}
}

func TestLoadWhatCanNotBeRead(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name, path string
		make       func(path string) error
		text, hint string
		code       string
	}{
		{"absent", in("absent"), nil, "there is no such file", `[network.lxdbr0]\nipv4 = "10.64.177.1/24"`, ipam.CodeConfig},
		{"in no directory", in("no/where"), nil, "there is no such file", "printf", ipam.CodeConfig},
		{"a directory", dir, nil, "this is a directory", "--config " + dir + "/berth.toml", ipam.CodeConfig},
		{"below a file", in("file/berth.toml"), func(string) error { return os.WriteFile(in("file"), nil, 0o644) }, "can not be read: not a directory", "ls -l", ipam.CodeConfig},
		{"a pipe without a writer", in("pipe"), func(p string) error { return syscall.Mkfifo(p, 0o644) }, "this is no ordinary file", "--config", ipam.CodeConfig},
		{"a device", "/dev/zero", nil, "this is no ordinary file", "--config", ipam.CodeConfig},
		{"a link to itself", in("link"), func(p string) error { return os.Symlink(p, p) }, "its symbolic links go round in circles", "ls -l", ipam.CodeConfig},
		{"too large", in("large"), func(p string) error { return os.WriteFile(p, make([]byte, 256<<10+1), 0o644) }, "the file is larger than 256 KiB", "--config", ipam.CodeConfig},
		{"write-only, for root too", "/proc/sys/net/ipv4/route/flush", nil, "permission to read it is denied", "root", ipam.CodeDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.make != nil {
				if err := tt.make(tt.path); err != nil {
					t.Fatal(err)
				}
			}
			_, err := config.Load(tt.path, config.Env{})
			var p *ipam.Problem
			if !errors.As(err, &p) {
				t.Fatalf("got %v", err)
			}
			if p.Error() != tt.path+": "+tt.text || !strings.Contains(p.Hint, tt.hint) || p.Code != tt.code {
				t.Errorf("got %q, %s, hint %q", p, p.Code, p.Hint)
			}
		})
	}
}

// TestHintForAnAbsentFileWorks types the hint.
func TestHintForAnAbsentFileWorks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.toml")
	_, err := config.Load(path, config.Env{})
	var p *ipam.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	run(t, "sh", "-c", p.Hint)
	if f, err := config.Load(path, config.Env{}); err != nil || len(f.Networks) != 1 {
		t.Errorf("after %s: %+v, %v", p.Hint, f, err)
	}
}

// TestHintForAByteOrderMarkWorks types the hint.
func TestHintForAByteOrderMarkWorks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.toml")
	write(t, path, "\xef\xbb\xbf"+minimal)
	_, err := config.Load(path, config.Env{})
	problems := problemsOf(t, err)
	_, command, _ := strings.Cut(problems[0].Hint, "type: ")
	run(t, "sh", "-c", command)
	if f, err := config.Load(path, config.Env{}); err != nil || len(f.Networks) != 1 {
		t.Errorf("after %s: %+v, %v", command, f, err)
	}
}
