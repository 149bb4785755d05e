package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"berth/internal/ipam"
	"berth/internal/ledger/journal"
	"berth/internal/ledger/journal/crashfs"
	"berth/internal/ledger/storetest"
)

// store makes a Journal what storetest wants.
type store struct{ *journal.Journal }

func (s store) Append(record []byte, settle func(error)) (func(context.Context) error, error) {
	t, err := s.Journal.Append(record, settle)
	return t.Wait, err
}

func options(dir string, fs journal.FS, o *storetest.Owner) journal.Options {
	return journal.Options{
		Dir: dir, FS: fs, L: &o.L, Replay: o.Replay, Snapshot: o.Snapshot,
		RotateAt: 300, RetryAfter: -1,
	}
}

func open(fs journal.FS, o *storetest.Owner) (store, error) {
	j, err := journal.Open(options("/", fs, o))
	return store{j}, err
}

func mustOpen(t testing.TB, fs journal.FS) (store, *storetest.Owner) {
	t.Helper()
	o := &storetest.Owner{}
	s, err := open(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func TestContract(t *testing.T) {
	for _, rotate := range []int64{0, 200} {
		t.Run(fmt.Sprint("rotate at ", rotate), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Open {
				dir := filepath.Join(t.TempDir(), "state")
				return func(t *testing.T, o *storetest.Owner) (storetest.Store, error) {
					opts := options(dir, nil, o)
					opts.RotateAt = rotate
					j, err := journal.Open(opts)
					if err != nil {
						return nil, err
					}
					return store{j}, nil
				}
			})
		})
	}
}

func TestSecondOpenerIsToldWho(t *testing.T) {
	dir := t.TempDir()
	o := &storetest.Owner{}
	j, err := journal.Open(options(dir, nil, o))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	_, err = journal.Open(options(dir, nil, &storetest.Owner{}))
	var locked *journal.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("got %v, want the process that has it: %d", err, os.Getpid())
	}
}

func TestOnlyTheOwnerCanReadTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	o := &storetest.Owner{}
	j, err := journal.Open(options(dir, nil, o))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := o.Put(store{j}, "key", fmt.Sprint("value ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("want lock, log and snapshot, have %v (%v)", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v (%v)", info.Mode(), err)
	}
}

func TestTornTailIsCutAndLogged(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	if err := o.Put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	disk = disk.Reboot(crashfs.Keep())
	disk.Edit("/log.00000001", func(b []byte) []byte { return append(b, "garbage of 19 bytes"...) })
	var log bytes.Buffer
	again := &storetest.Owner{}
	opts := options("/", disk, again)
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	j, err := journal.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	if again.State()["a"] != "1" {
		t.Error("the record before the tail is lost")
	}
	if !strings.Contains(log.String(), "torn tail") || !strings.Contains(log.String(), "19 bytes") {
		t.Errorf("the log does not tell how much was cut: %s", log.String())
	}
	if err := again.Put(store{j}, "b", "2"); err != nil {
		t.Fatal(err)
	}
	_, third := mustOpen(t, disk.Reboot(crashfs.Survival{}))
	if third.State()["a"] != "1" || third.State()["b"] != "2" {
		t.Errorf("after the cut: %v", third.State())
	}
}

// TestDamageIsRefused flips every byte of what had been stored and closed in good order.
func TestDamageIsRefused(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	for i := range 30 {
		if err := o.Put(s, fmt.Sprint("k", i%3), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := disk.List("/")
	if len(names) != 2 {
		t.Fatalf("want one snapshot and one log: %v", names)
	}
	for _, name := range names {
		whole, _ := disk.ReadFile("/" + name)
		end := len(whole)
		if strings.HasPrefix(name, "log.") {
			end -= 8 // the mark of good order itself: without it, the rest is as after a crash
		}
		for i := range end {
			if i >= 20 && i < 24 {
				continue // reserved
			}
			bad := disk.Reboot(crashfs.Keep())
			bad.Edit("/"+name, func(b []byte) []byte { b[i] ^= 0x20; return b })
			again := &storetest.Owner{}
			_, err := open(bad, again)
			var problem *ipam.Problem
			if !errors.As(err, &problem) || problem.Hint == "" {
				t.Fatalf("%s, byte %d of %d flipped: %v, state %v", name, i, len(whole), err, again.State())
			}
		}
	}
}

func TestMissingFileIsRefused(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	for i := range 30 {
		if err := o.Put(s, "k", fmt.Sprint("some text ", i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	names, _ := disk.List("/")
	for _, name := range names {
		if strings.HasPrefix(name, "snapshot.") {
			_ = disk.Remove("/" + name)
		}
	}
	var problem *ipam.Problem
	if _, err := open(disk, &storetest.Owner{}); !errors.As(err, &problem) {
		t.Errorf("a log without its snapshot was taken for all there is: %v", err)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	disk := crashfs.New()
	s, _ := mustOpen(t, disk)
	_ = s.Close()
	name := "/log.00000001"
	disk.Edit(name, func(b []byte) []byte { return journal.HeaderOfVersion(9) })
	_, err := open(disk, &storetest.Owner{})
	var problem *ipam.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.Text, "newer version") {
		t.Errorf("got %v", err)
	}
}

func TestFullDiskRefusesAndHeals(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	if err := o.Put(s, "before", "1"); err != nil {
		t.Fatal(err)
	}
	disk.Limit(disk.Used() + 5)
	for range 3 {
		if err := o.Put(s, "full", "1"); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v, want no space", err)
		}
	}
	if s.Status().Err == nil {
		t.Error("the status does not tell")
	}
	disk.Limit(-1)
	if err := o.Put(s, "after", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Status().Err; err != nil {
		t.Error("the status still complains:", err)
	}
	_, again := mustOpen(t, disk.Reboot(crashfs.Survival{}))
	state := again.State()
	if state["before"] != "1" || state["after"] != "1" || state["full"] != "" {
		t.Errorf("after a restart: %v", state)
	}
}

func TestFailedSyncIsTheEndOfTheFile(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	if err := o.Put(s, "before", "1"); err != nil {
		t.Fatal(err)
	}
	failed, touched := false, false
	disk.Fail(func(op, name string) error {
		switch {
		case op == "sync" && !failed:
			failed = true
			return syscall.EIO
		case failed && name == "log.00000001" && op != "remove":
			touched = true
		}
		return nil
	})
	if err := o.Put(s, "unsynced", "1"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	if err := o.Put(s, "after", "1"); err != nil {
		t.Fatal(err)
	}
	if touched {
		t.Error("the file whose sync failed was used again")
	}
	_, again := mustOpen(t, disk.Reboot(crashfs.Keep()))
	if state := again.State(); state["unsynced"] != "" || state["after"] != "1" || state["before"] != "1" {
		t.Errorf("after a restart: %v", state)
	}
}

func TestFailureTakesBackWhatCameLater(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	var once sync.Once
	inSync, goOn := make(chan struct{}), make(chan struct{})
	disk.Fail(func(op, _ string) error {
		if op == "sync" {
			once.Do(func() { close(inSync) })
			<-goOn
			return syscall.EIO
		}
		return nil
	})
	var order []string
	put := func(name string) func(context.Context) error {
		o.L.Lock()
		defer o.L.Unlock()
		wait, err := s.Append([]byte(name+"=1"), func(err error) {
			if err == nil {
				t.Error(name, "was settled")
			}
			order = append(order, name)
		})
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	first := put("first")
	<-inSync
	second, third := put("second"), put("third")
	close(goOn)
	for _, wait := range []func(context.Context) error{first, second, third} {
		if err := wait(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v", err)
		}
	}
	if got := strings.Join(order, " "); got != "third second first" {
		t.Errorf("taken back in the order %s", got)
	}
}

func TestReadOnlyDiskCanBeOpened(t *testing.T) {
	disk := crashfs.New()
	s, o := mustOpen(t, disk)
	if err := o.Put(s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	disk.Fail(func(string, string) error { return syscall.EROFS })
	s, o = mustOpen(t, disk)
	if o.State()["a"] != "1" {
		t.Error("what was stored is not there")
	}
	if err := o.Put(s, "b", "1"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v", err)
	}
	disk.Fail(nil)
	if err := o.Put(s, "b", "1"); err != nil {
		t.Error("it does not heal:", err)
	}
}
