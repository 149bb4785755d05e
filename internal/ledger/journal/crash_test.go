package journal_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"berth/internal/ledger/journal/crashfs"
	"berth/internal/ledger/storetest"
)

// story is what a journal goes through until the machine stops.
type story struct {
	acked, tried, refused map[string]bool
	last                  int // the highest acknowledged value of the key "last"
}

// live writes, with rotations, a failing sync and a full disk on the way.
func live(disk *crashfs.FS) *story {
	st := &story{acked: map[string]bool{}, tried: map[string]bool{}, refused: map[string]bool{}}
	o := &storetest.Owner{}
	s, err := open(disk, o)
	if err != nil {
		return st
	}
	for i := range 24 {
		switch i {
		case 9:
			failed := false
			disk.Fail(func(op, name string) error {
				if op == "sync" && strings.HasPrefix(name, "log.") && !failed {
					failed = true
					return syscall.EIO
				}
				return nil
			})
		case 15:
			disk.Limit(disk.Used() + 10)
		case 17:
			disk.Limit(-1)
		}
		key := fmt.Sprint("key", i)
		st.tried[key] = true
		if o.Put(s, key, "a value of some length") == nil {
			st.acked[key] = true
			st.refused = map[string]bool{}
			for k := range st.tried {
				st.refused[k] = !st.acked[k] // what was refused before is gone for good
			}
		}
		if o.Put(s, "last", fmt.Sprint(i)) == nil {
			st.last = i
		}
	}
	_ = s.Close()
	return st
}

// check reopens after the crash and compares with what was promised; then it goes on living.
func (st *story) check(t *testing.T, disk *crashfs.FS, how string) {
	t.Helper()
	o := &storetest.Owner{}
	s, err := open(disk, o)
	if err != nil {
		t.Fatalf("%s: %v", how, err)
	}
	state := o.State()
	for k := range st.acked {
		if state[k] == "" {
			t.Fatalf("%s: %s was acknowledged and is lost", how, k)
		}
	}
	for k, v := range state {
		if k != "last" && (!st.tried[k] || v != "a value of some length") {
			t.Fatalf("%s: %s=%q was never stored", how, k, v)
		}
		if st.refused[k] {
			t.Fatalf("%s: %s was refused, and is there", how, k)
		}
	}
	last := 0
	_, _ = fmt.Sscan(state["last"], &last)
	if last < st.last || last > st.last+3 {
		t.Fatalf("%s: last is %d, acknowledged was %d", how, last, st.last)
	}
	if err := o.Put(s, "life", "goes on"); err != nil {
		t.Fatalf("%s: %v", how, err)
	}
	again := &storetest.Owner{}
	if _, err := open(disk.Reboot(crashfs.Survival{}), again); err != nil {
		t.Fatalf("%s, and once more: %v", how, err)
	}
	if state = again.State(); state["life"] != "goes on" {
		t.Fatalf("%s: what was stored after the crash is lost", how)
	}
	_ = s.Close()
}

// TestCrashAnywhere stops the machine at every operation, and tears what was not synced at every byte.
func TestCrashAnywhere(t *testing.T) {
	whole := crashfs.New()
	live(whole)
	operations := whole.Ops()
	if operations < 60 {
		t.Fatalf("the story has only %d operations", operations)
	}
	for stop := 1; stop <= operations; stop++ {
		for _, half := range []bool{false, true} {
			disk := crashfs.New()
			disk.StopAt(stop, half)
			st := live(disk)
			how := fmt.Sprintf("stopped at operation %d of %d (half %v)", stop, operations, half)
			st.check(t, disk.Reboot(crashfs.Survival{}), how+", only the synced")
			st.check(t, disk.Reboot(crashfs.Survival{Names: true}), how+", the synced and names")
			st.check(t, disk.Reboot(crashfs.Keep()), how+", all")
			for n := range 80 {
				st.check(t, disk.Reboot(crashfs.Cut(n)), fmt.Sprint(how, ", cut after ", n))
				st.check(t, disk.Reboot(crashfs.Hole(n)), fmt.Sprint(how, ", hole of ", n))
			}
		}
	}
}
