package filewatch

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// start runs a watcher of paths until the test ends.
func start(t *testing.T, paths ...string) *Watcher {
	t.Helper()
	w := New(slog.New(slog.NewTextHandler(t.Output(), nil)), paths...)
	w.poll = time.Hour // what the tests see comes from events
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	return w
}

// reported takes as many reports as there are paths, which may come in any order.
func (w *Watcher) reported(t *testing.T, paths ...string) {
	t.Helper()
	var have []string
	timeout := time.After(10 * time.Second)
	for len(have) < len(paths) {
		select {
		case path := <-w.Changed():
			have = append(have, path)
		case <-timeout:
			t.Fatalf("reported %q, want %q", have, paths)
		}
	}
	slices.Sort(have)
	slices.Sort(paths)
	if !slices.Equal(have, paths) {
		t.Fatalf("reported %q, want %q", have, paths)
	}
}

func TestSet(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub", "c")
	save(t, a, "1")
	w := start(t, a, b, a)
	w.reported(t, a, b)
	w.Set(a, c)
	w.reported(t, c)
	save(t, b, "no longer watched")
	must(t, os.Mkdir(filepath.Dir(c), 0o755))
	save(t, c, "1")
	w.reported(t, c)
	save(t, a, "2")
	w.reported(t, a)
	w.Set(b)
	w.reported(t, b)
	save(t, a, "3")
	save(t, c, "2")
	save(t, b, "2")
	w.reported(t, b)
	w.Set(a, b, c)
	w.reported(t, a, c)
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf.d")
	end := filepath.Join(filepath.Dir(dir), "end")
	at := func(name string) string { return filepath.Join(dir, name) }
	w := start(t, dir, end)
	w.reported(t, dir, end)
	must(t, os.Mkdir(dir, 0o755))
	w.reported(t, dir)
	steps := []struct {
		name  string
		do    func()
		heard bool
	}{
		{"a new file", func() { save(t, at("one.conf"), "1") }, true},
		{"another", func() { save(t, at("two.conf"), "1") }, true},
		{"a save of one that is there", func() { save(t, at("two.conf"), "2") }, false},
		{"an editor's own files", func() {
			save(t, at(".two.conf.swp"), "x")
			save(t, at("two.conf~"), "x")
			save(t, at("#two.conf#"), "x")
			must(t, os.Remove(at("#two.conf#")))
		}, false},
		{"a new name", func() { must(t, os.Rename(at("two.conf"), at("three.conf"))) }, true},
		{"a file goes", func() { must(t, os.Remove(at("one.conf"))) }, true},
		{"a folder comes", func() { must(t, os.Mkdir(at("sub"), 0o755)) }, true},
		{"a file in that one", func() { save(t, at("sub/four"), "x") }, false},
		{"all of it goes", func() { must(t, os.RemoveAll(dir)) }, true},
		{"a file in its place", func() { save(t, dir, "x") }, true},
	}
	for _, s := range steps {
		s.do()
		if s.heard {
			select {
			case path := <-w.Changed():
				if path != dir {
					t.Fatalf("%s: %q is reported", s.name, path)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: not reported", s.name)
			}
			drain(w, t, dir, end)
			continue
		}
		// What is reported next is about the file that is saved next.
		saveAtOnce(t, end)
		w.reported(t, end)
	}
}

// drain takes what one step is reported as beyond once: a name may come and go, seen in between.
func drain(w *Watcher, t *testing.T, dir, end string) {
	t.Helper()
	saveAtOnce(t, end)
	for path := range w.Changed() {
		if path == end {
			return
		}
		if path != dir {
			t.Fatalf("%q is reported", path)
		}
	}
}

// saveAtOnce makes one event of a save.
func saveAtOnce(t *testing.T, path string) {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), "new")
	save(t, elsewhere, time.Now().String())
	must(t, os.Rename(elsewhere, path))
}
