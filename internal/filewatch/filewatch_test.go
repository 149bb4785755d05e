package filewatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// reader does what a user of the watcher does: reads the file whenever it is reported.
type reader struct {
	t    *testing.T
	path string
	news chan struct{} // has one when content has grown

	mu      sync.Mutex
	content []string // of each report: what the file held, or the error's text
}

// watching runs a watcher of path, and reads the file whenever it is reported, until the
// test ends. tune changes the watcher before.
func watching(t *testing.T, path string, tune func(*Watcher)) *reader {
	t.Helper()
	w := New(slog.New(slog.NewTextHandler(t.Output(), nil)), path)
	w.poll = time.Hour // what the tests see comes from events
	if tune != nil {
		tune(w)
	}
	r := &reader{t: t, path: path, news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	tasks.Go(func() {
		for {
			select {
			case have := <-w.Changed():
				if have != path {
					t.Errorf("reported %q, want %q", have, path)
				}
				r.read()
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
	})
	r.await("the first report", func(all []string) bool { return len(all) > 0 })
	return r
}

func (r *reader) read() {
	data, err := os.ReadFile(r.path)
	text := string(data)
	if err != nil {
		text = "error: " + err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.content = append(r.content, text)
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *reader) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.content...)
}

func (r *reader) await(what string, is func(all []string) bool) {
	r.t.Helper()
	timeout := time.After(10 * time.Second)
	for !is(r.all()) {
		select {
		case <-r.news:
		case <-timeout:
			r.t.Fatalf("after 10 s still not: %s; read %q", what, r.all())
		}
	}
}

// awaitLast waits until the last content that was read is want.
func (r *reader) awaitLast(want string) {
	r.t.Helper()
	r.await(fmt.Sprintf("%q", want), func(all []string) bool { return all[len(all)-1] == want })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// TestWaysOfSaving saves a file as editors and tools do. Whatever is read meanwhile must be
// the old content or the new one, never a part or nothing.
func TestWaysOfSaving(t *testing.T) {
	tests := []struct{ name, before, script string }{
		{"in place", "echo old >pins", "echo new >pins"},
		{"in place, slowly", "echo old >pins", "{ printf n; sleep 0.3; printf e; sleep 0.3; echo w; } >pins"},
		{"rename over it", "echo old >pins", "echo new >.pins.tmp; mv .pins.tmp pins"},
		{"sed -i", "echo old >pins", "sed -i s/old/new/ pins"},
		{"truncate, then write", "echo old >pins", "truncate -s0 pins; echo new >pins"},
		{"append", "printf n >pins", "echo ew >>pins"},
		{"vim without backupcopy", "echo old >pins", "mv pins pins~; echo new >pins; rm pins~"},
		{"vim with backupcopy", "echo old >pins", "cp -p pins pins~; echo new >pins; rm pins~"},
		{"delete and make anew", "echo old >pins", "rm pins; echo new >pins"},
		{"cp", "echo old >pins; echo new >source", "cp source pins"},
		{"cp --remove-destination", "echo old >pins; echo new >source", "cp --remove-destination source pins"},
		{"install", "echo old >pins; echo new >source", "install -m 600 source pins"},
		{"dd", "echo old >pins", "echo new | dd of=pins bs=1 2>/dev/null"},
		{"hard link", "echo old >pins; echo new >source", "ln -f source pins"},
		{"first save", ":", "echo new >pins"},
		{"first save by a hard link", "echo new >source", "ln source pins"},
		{"symbolic link swapped", "echo old >a; echo new >b; ln -s a pins", "ln -s b pins.tmp; mv -T pins.tmp pins"},
		{"symbolic link made anew", "echo old >a; echo new >b; ln -s a pins", "ln -sfn b pins"},
		{"symbolic link to what is not there yet", "ln -s elsewhere pins", "echo new >elsewhere"},
		{"target of a link, in place", "mkdir d; echo old >d/a; ln -s d/a pins", "echo new >d/a"},
		{"target of a link, renamed over", "mkdir d; echo old >d/a; ln -s \"$PWD/d/a\" pins", "echo new >d/b; mv d/b d/a"},
		{"target of a link of a link", "mkdir d e; echo old >e/a; ln -s ../e/a d/a; ln -s d/../d/a pins", "echo new >e/a"},
		{"folder link swapped, as for a ConfigMap", "mkdir v1 v2; echo old >v1/pins; echo new >v2/pins; ln -s v1 ..data; ln -s ..data/pins pins", "ln -s v2 ..tmp; mv -T ..tmp ..data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			shell(t, dir, tt.before)
			r := watching(t, filepath.Join(dir, "pins"), nil)
			shell(t, dir, tt.script)
			r.awaitLast("new\n")
			for _, have := range r.all()[1:] {
				if have != "old\n" && have != "new\n" {
					t.Errorf("read %q", have)
				}
			}
		})
	}
}

func TestWaysOfAFolder(t *testing.T) {
	tests := []struct{ name, before, script string }{
		{"not there yet", ":", "mkdir etc; mkdir etc/berth; echo new >etc/berth/pins"},
		{"comes with its content", "mkdir -p tmp/berth; echo new >tmp/berth/pins", "mv tmp etc"},
		{"replaced", "mkdir -p etc/berth tmp; echo old >etc/berth/pins; echo new >tmp/pins", "mv etc/berth old; mv tmp etc/berth"},
		{"replaced further up", "mkdir -p etc/berth tmp/berth; echo old >etc/berth/pins; echo new >tmp/berth/pins", "mv etc old; mv tmp etc"},
		{"deleted and made anew", "mkdir -p etc/berth; echo old >etc/berth/pins", "rm -r etc; mkdir -p etc/berth; echo new >etc/berth/pins"},
		{"replaced, and saved again", "mkdir -p etc/berth tmp; echo old >etc/berth/pins; echo x >tmp/pins", "mv etc/berth old; mv tmp etc/berth; echo new >etc/berth/pins; echo z >old/pins"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			shell(t, dir, tt.before)
			r := watching(t, filepath.Join(dir, "etc/berth/pins"), nil)
			shell(t, dir, tt.script)
			r.awaitLast("new\n")
			// The watches have moved along.
			save(t, filepath.Join(dir, "etc/berth/pins"), "newer")
			r.awaitLast("newer")
		})
	}
}

func TestReportedWithinMilliseconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "0")
	r := watching(t, path, nil)
	fastest := time.Hour
	for i := range 20 {
		text := fmt.Sprint(i + 1)
		if i%2 == 0 {
			save(t, path, text)
		} else {
			save(t, path+".new", text)
			must(t, os.Rename(path+".new", path))
		}
		saved := time.Now()
		r.awaitLast(text)
		fastest = min(fastest, time.Since(saved))
	}
	if fastest > 20*time.Millisecond {
		t.Errorf("the fastest of 20 reports took %s", fastest)
	}
}

func TestDeletionSettles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "old")
	r := watching(t, path, nil)
	must(t, os.Remove(path))
	deleted := time.Now()
	r.await("the deletion", func(all []string) bool { return strings.HasPrefix(all[len(all)-1], "error: ") })
	if took := time.Since(deleted); took < absence/2 {
		t.Errorf("reported after %s", took)
	}
	must(t, os.Mkdir(path, 0o755))
	r.await("the folder in its place", func(all []string) bool { return strings.Contains(all[len(all)-1], "is a directory") })
}

// TestNothingHappened makes much noise around the file: no report may come of it.
func TestNothingHappened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	save(t, path, "old")
	r := watching(t, path, nil)
	shell(t, dir, `for i in 1 2 3; do
		echo x >.pins.swp; echo x >pins~; echo x >'#pins#'; echo x >4913; rm 4913; mkdir d$i; mv pins~ d$i; cat pins >/dev/null
	done`)
	save(t, path, "new") // events come in order: those of the noise have been handled before
	r.awaitLast("new")
	if all := r.all(); len(all) != 2 {
		t.Errorf("%d reports, want the first and the save: %q", len(all), all)
	}
}

// TestWriterThatStaysOpen has a script lock the file by keeping it open for writing.
func TestWriterThatStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "old")
	r := watching(t, path, nil)
	lock, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer lock.Close()
	save(t, path, "new")
	r.awaitLast("new")
	_, err = lock.WriteString(" and more")
	must(t, err)
	must(t, lock.Close())
	r.awaitLast("new and more")
}

// TestExchange has the file change places with another, in one step.
func TestExchange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "0")
	r := watching(t, path, nil)
	for i := range 20 {
		text := fmt.Sprint(i + 1)
		save(t, path+".new", text)
		must(t, unix.Renameat2(unix.AT_FDCWD, path+".new", unix.AT_FDCWD, path, unix.RENAME_EXCHANGE))
		must(t, os.Remove(path+".new"))
		r.awaitLast(text)
	}
	if all := r.all(); len(all) != 21 {
		t.Errorf("%d reports of 20 saves and the start: %q", len(all), all)
	}
}

// TestFirstReportSeesWhatCameBeforeRun saves between New and Run.
func TestFirstReportSeesWhatCameBeforeRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "old")
	r := watching(t, path, func(*Watcher) { save(t, path, "new") })
	r.awaitLast("new")
}

// TestPollSeesAMount covers the file by a mount, of which there is no event.
func TestPollSeesAMount(t *testing.T) {
	netnstest.Require(t, "mount", "umount")
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	save(t, path, "old")
	save(t, filepath.Join(dir, "other"), "new")
	r := watching(t, path, func(w *Watcher) { w.poll = 20 * time.Millisecond })
	netnstest.Run(t, "mount", "--bind", filepath.Join(dir, "other"), path)
	defer netnstest.Run(t, "umount", path)
	r.awaitLast("new")
}

func TestWithoutInotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "old")
	r := watching(t, path, func(w *Watcher) {
		w.poll = 20 * time.Millisecond
		w.listen = func() (*inotify, error) { return nil, unix.EMFILE }
	})
	for i := range 5 {
		save(t, path, fmt.Sprint(i))
		r.awaitLast(fmt.Sprint(i))
	}
	must(t, os.Remove(path))
	r.await("the deletion", func(all []string) bool { return strings.HasPrefix(all[len(all)-1], "error: ") })
}

// TestInotifyComesBack ends the instance under the watcher, as when the kernel fails it.
func TestInotifyComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	save(t, path, "old")
	instances := make(chan *inotify, 2)
	r := watching(t, path, func(w *Watcher) {
		w.poll = 20 * time.Millisecond
		w.listen = func() (*inotify, error) {
			in, err := newInotify()
			instances <- in
			return in, err
		}
	})
	must(t, (<-instances).f.Close())
	<-instances // made anew
	save(t, path, "new")
	r.awaitLast("new")
}

// TestOverflow loses events, among them that of the save: the kernel says only that some were lost.
func TestOverflow(t *testing.T) {
	netnstest.Require(t)
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var room int
	if _, err := fmt.Sscan(string(limit), &room); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	save(t, path, "old")
	deaf := make(chan struct{})
	r := watching(t, path, func(w *Watcher) {
		w.listen = func() (*inotify, error) {
			in, err := newInotify()
			if err != nil {
				return nil, err
			}
			heard := *in
			heard.events = make(chan []event)
			go func() { // passes nothing on while the test makes noise
				defer close(heard.events)
				<-deaf
				lost := false
				for batch := range in.events {
					for _, e := range batch {
						lost = lost || e.overflow()
					}
					select {
					case heard.events <- batch:
					case <-in.quit:
						return
					}
				}
				if !lost {
					t.Error("no events were lost: the test shows nothing")
				}
			}()
			return &heard, nil
		}
	})
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	save(t, a, "")
	for range room/2 + 100 {
		must(t, os.Rename(a, b))
		must(t, os.Rename(b, a))
	}
	save(t, path, "new")
	close(deaf)
	r.awaitLast("new")
}

// TestLastContentIsNeverLost saves as fast as it can, in every way, while reports are read.
func TestLastContentIsNeverLost(t *testing.T) {
	ways := map[string]func(path, text string) error{
		"in place": func(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) },
		"rename": func(path, text string) error {
			if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".tmp", path)
		},
		"delete first": func(path, text string) error {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return os.WriteFile(path, []byte(text), 0o644)
		},
		"link": func(path, text string) error {
			target := path + "-" + text
			if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
				return err
			}
			if err := os.Symlink(target, path+".tmp"); err != nil {
				return err
			}
			return os.Rename(path+".tmp", path)
		},
		// The content is the same every other time, and the times may be.
		"to and fro": func(path, text string) error {
			if err := os.WriteFile(path, []byte("x"+text), 0o644); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(text), 0o644)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "pins")
			save(t, path, "old")
			r := watching(t, path, nil)
			for round := range 20 {
				text := ""
				for i := range 25 {
					text = fmt.Sprintf("%02d.%02d", round, i)
					must(t, way(path, text))
				}
				r.awaitLast(text)
			}
			if n := len(r.all()); n > 4*20*25 {
				t.Errorf("%d reports of %d saves", n, 20*25)
			}
		})
	}
}
