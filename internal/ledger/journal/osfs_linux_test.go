package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/ledger/journal"
	"berth/internal/ledger/storetest"
	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// mounted gives a directory on a disk of its own of so many bytes, and what remounts it.
func mounted(t *testing.T, size int) (dir string, remount func(flags uintptr)) {
	t.Helper()
	netnstest.Require(t)
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Fatal("mount:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal("remount:", err)
		}
	}
}

func TestRealReadOnlyDisk(t *testing.T) {
	dir, remount := mounted(t, 1<<20)
	o := &storetest.Owner{}
	j, err := journal.Open(options(dir, nil, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Put(store{j}, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	remount(unix.MS_RDONLY)
	o = &storetest.Owner{}
	if j, err = journal.Open(options(dir, nil, o)); err != nil {
		t.Fatal("it can be read, and yet:", err)
	}
	defer j.Close()
	if o.State()["a"] != "1" {
		t.Errorf("read %v", o.State())
	}
	var locked *journal.LockedError
	if _, err := journal.Open(options(dir, nil, &storetest.Owner{})); !errors.As(err, &locked) {
		t.Errorf("a second one: %v", err)
	}
	if err := o.Put(store{j}, "b", "2"); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write: %v", err)
	}
	remount(0)
	if err := o.Put(store{j}, "b", "2"); err != nil {
		t.Error("it does not heal:", err)
	}
}

func TestRealFullDisk(t *testing.T) {
	dir, _ := mounted(t, 256<<10)
	state := filepath.Join(dir, "state")
	o := &storetest.Owner{}
	j, err := journal.Open(options(state, nil, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Put(store{j}, "a", "1"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	big := strings.Repeat("x", 64<<10) // more than what the last page has left
	if err := o.Put(store{j}, "big", big); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a write: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := o.Put(store{j}, "b", "2"); err != nil {
		t.Fatal("it does not heal:", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := &storetest.Owner{}
	if j, err = journal.Open(options(state, nil, again)); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if s := again.State(); s["a"] != "1" || s["b"] != "2" || s["big"] != "" {
		t.Errorf("stored is %v", s)
	}
}

func TestDirectory(t *testing.T) {
	t.Run("missing parents are made", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "var", "lib", "berth")
		j, err := journal.Open(options(dir, nil, &storetest.Owner{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v (%v)", info.Mode(), err)
		}
	})
	t.Run("a file is in its place", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "berth")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{name, filepath.Join(name, "below")} {
			_, err := journal.Open(options(dir, nil, &storetest.Owner{}))
			if !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", dir, err)
			}
		}
	})
}
