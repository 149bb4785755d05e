package pinfile_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/ipam"
	"berth/internal/netnstest"
	"berth/internal/pinfile"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// onlyFile checks that a folder holds names and nothing else: no temporary file is left.
func onlyFile(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if strings.Join(have, " ") != strings.Join(names, " ") {
		t.Errorf("the folder holds %q, want %q", have, names)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("pins"), []byte("a,10.0.0.1\n"), 0o644))
	must(t, os.Symlink("pins", at("link")))
	must(t, os.Symlink("nowhere", at("dangling")))
	must(t, os.Symlink("loop", at("loop")))
	must(t, os.Mkdir(at("folder"), 0o755))
	must(t, unix.Mkfifo(at("fifo"), 0o644))
	must(t, os.WriteFile(at("large"), nil, 0o644))
	must(t, os.Truncate(at("large"), 16<<20+1))
	must(t, os.WriteFile(at("largest"), nil, 0o644))
	must(t, os.Truncate(at("largest"), 16<<20))
	tests := []struct {
		name, path string
		size       int
		problem    string
	}{
		{"file", at("pins"), 11, ""},
		{"link", at("link"), 11, ""},
		{"absent", at("absent"), 0, ""},
		{"folder absent", at("absent/pins"), 0, ""},
		{"dangling link", at("dangling"), 0, ""},
		{"largest", at("largest"), 16 << 20, ""},
		{"too large", at("large"), 0, "larger than 16 MiB"},
		{"folder", at("folder"), 0, "is a folder"},
		{"named pipe", at("fifo"), 0, "is a named pipe"},
		{"device", "/dev/zero", 0, "is a device"},
		{"loop of links", at("loop"), 0, "too many levels of symbolic links"},
		{"file in the place of the folder", at("pins/pins"), 0, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := pinfile.Read(tt.path)
			if len(data) != tt.size {
				t.Errorf("read %d bytes, want %d", len(data), tt.size)
			}
			if tt.problem == "" {
				must(t, err)
				return
			}
			var p *ipam.Problem
			if !errors.As(err, &p) || !strings.Contains(p.Text, tt.problem) || p.Hint == "" || p.Source.File != tt.path {
				t.Errorf("error %v, want one about %q with a hint", err, tt.problem)
			}
		})
	}
}

// TestReadWaitsForAWriter reads while an editor is in the middle of saving in place.
func TestReadWaitsForAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	must(t, os.WriteFile(path, []byte("old"), 0o644))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.WriteString("ne")
	must(t, err)
	have := make(chan string)
	go func() {
		data, err := pinfile.Read(path)
		have <- fmt.Sprint(string(data), err)
	}()
	_, err = f.WriteString("w")
	must(t, err)
	must(t, f.Close())
	if got := <-have; got != "new<nil>" {
		t.Errorf("read %s", got)
	}
}

// TestReadDoesNotWaitForEver has a script keep the file open for writing, as its lock.
func TestReadDoesNotWaitForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	must(t, os.WriteFile(path, []byte("a,10.0.0.1\n"), 0o644))
	lock, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer lock.Close()
	began := time.Now()
	data, err := pinfile.Read(path)
	must(t, err)
	if took := time.Since(began); string(data) != "a,10.0.0.1\n" || took > 5*time.Second {
		t.Errorf("read %q in %s", data, took)
	}
}

// TestReadIsNeverHalf saves in place all the time: what is read is one of the two contents.
func TestReadIsNeverHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	one, two := strings.Repeat("a", 50_000), strings.Repeat("b", 70_000)
	must(t, os.WriteFile(path, []byte(one), 0o644))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for text := two; ; {
			select {
			case <-stop:
				return
			default:
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Error(err)
				return
			}
			if text = one; contents(t, path) == one {
				text = two
			}
		}
	})
	for range 200 {
		data, err := pinfile.Read(path)
		must(t, err)
		if have := string(data); have != one && have != two {
			t.Errorf("read %d bytes, a part of a save", len(have))
			break
		}
	}
	close(stop)
	writer.Wait()
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	must(t, pinfile.Replace(path, nil, []byte("one")))
	must(t, os.Chmod(path, 0o640))
	must(t, pinfile.Replace(path, []byte("one"), []byte("two")))
	if have := contents(t, path); have != "two" {
		t.Errorf("holds %q", have)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o640 {
		t.Errorf("mode %s", info.Mode())
	}
	if err := pinfile.Replace(path, []byte("one"), []byte("three")); !errors.Is(err, pinfile.ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	if err := pinfile.Replace(path, nil, []byte("three")); !errors.Is(err, pinfile.ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	must(t, pinfile.Replace(path, []byte("two"), nil))
	if have := contents(t, path); have != "" {
		t.Errorf("holds %q", have)
	}
	must(t, pinfile.Replace(path, nil, []byte("four"))) // an empty file is as good as an absent one
	must(t, os.Remove(path))
	if err := pinfile.Replace(path, []byte("four"), []byte("five")); !errors.Is(err, pinfile.ErrChanged) {
		t.Errorf("deleted: error %v, want ErrChanged", err)
	}
	onlyFile(t, dir)
}

func TestReplaceFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("real/deep"), 0o755))
	must(t, os.Symlink("real/deep", at("folder")))
	must(t, os.Symlink("folder/../target", at("pins"))) // real/target
	must(t, os.Symlink(at("pins"), at("again")))
	must(t, pinfile.Replace(at("again"), nil, []byte("one")))
	must(t, pinfile.Replace(at("again"), []byte("one"), []byte("two")))
	if have := contents(t, at("real/target")); have != "two" {
		t.Errorf("the target holds %q", have)
	}
	for _, link := range []string{"pins", "again", "folder"} {
		if info, err := os.Lstat(at(link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more", link)
		}
	}
	onlyFile(t, dir, "again", "folder", "pins", "real")
	onlyFile(t, at("real"), "deep", "target")
}

func TestReplaceKeepsOwnerAndAttributes(t *testing.T) {
	netnstest.Require(t)
	netnstest.RequireRealRoot(t)
	path := filepath.Join(t.TempDir(), "pins")
	must(t, os.WriteFile(path, []byte("one"), 0o600))
	must(t, os.Chown(path, 1234, 4321))
	must(t, os.Chmod(path, 0o2664))
	must(t, unix.Setxattr(path, "user.origin", []byte("here"), 0))
	must(t, pinfile.Replace(path, []byte("one"), []byte("two")))
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	if st.Uid != 1234 || st.Gid != 4321 || st.Mode&0o7777 != 0o664 && st.Mode&0o7777 != 0o2664 {
		t.Errorf("owner %d:%d, mode %o", st.Uid, st.Gid, st.Mode)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(path, "user.origin", value); err != nil || string(value[:n]) != "here" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
}

func TestReplaceRefuses(t *testing.T) {
	netnstest.Require(t, "mount", "umount")
	netnstest.RequireRealRoot(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("folder"), 0o755))
	must(t, os.WriteFile(at("file"), []byte("was"), 0o644))
	must(t, os.WriteFile(at("mounted"), nil, 0o644))
	netnstest.Run(t, "mount", "--bind", at("file"), at("mounted"))
	for name, options := range map[string]string{"full": "size=64k", "readonly": "size=1m"} {
		must(t, os.Mkdir(at(name), 0o755))
		netnstest.Run(t, "mount", "-t", "tmpfs", "-o", options, "tmpfs", at(name))
		must(t, os.WriteFile(at(name+"/pins"), []byte("was"), 0o644))
	}
	netnstest.Run(t, "mount", "-o", "remount,ro", at("readonly"))
	t.Cleanup(func() { netnstest.Run(t, "umount", at("full"), at("readonly"), at("mounted")) })
	_ = exec.Command("dd", "if=/dev/zero", "of="+at("full/fill"), "bs=4k").Run() // ends when the disk is full
	was := []byte("was")
	tests := []struct {
		name, path string
		was        []byte
		code       string
	}{
		{"folder", at("folder"), nil, ipam.CodeConfig},
		{"no folder for it", at("absent/pins"), nil, ipam.CodeConfig},
		{"full disk", at("full/pins"), was, ipam.CodeFull},
		{"read-only file system", at("readonly/pins"), was, ipam.CodeHost},
		{"file that is a mount", at("mounted"), was, ipam.CodeHost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := pinfile.Replace(tt.path, tt.was, []byte(strings.Repeat("x", 100_000)))
			var p *ipam.Problem
			if !errors.As(err, &p) || p.Code != tt.code || p.Hint == "" {
				t.Fatalf("error %v, want code %s and a hint", err, tt.code)
			}
			if tt.was != nil && contents(t, tt.path) != "was" {
				t.Error("the file has changed")
			}
		})
	}
	onlyFile(t, at("full"), "fill", "pins")
	onlyFile(t, dir, "file", "folder", "full", "mounted", "readonly")
	if err := pinfile.Replace(at("new"), nil, make([]byte, 16<<20+1)); err == nil {
		t.Error("wrote a file that could not be read again")
	}
}

// TestReplaceLosesNothing has several writers add lines at once: each line that was
// acknowledged is there.
func TestReplaceLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	const each = 25
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range each {
				edit := pin(fmt.Sprintf("w%d-%d", w, i), fmt.Sprintf("10.%d.0.%d", w, i))
				for err := pinfile.ErrChanged; err != nil; {
					var was []byte
					if was, err = pinfile.Read(path); err == nil {
						err = pinfile.Replace(path, was, pinfile.Apply(was, edit))
					}
					if err != nil && !errors.Is(err, pinfile.ErrChanged) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	pins, problems := pinfile.Parse(path, []byte(contents(t, path)))
	if len(pins) != 4*each || len(problems) > 0 {
		t.Errorf("%d pins, want %d; problems: %v", len(pins), 4*each, problems)
	}
	onlyFile(t, dir, "pins")
}

// TestReplaceLosesNoSaveOfAnEditor has an editor save, without asking, while pins are made: its last
// save is in the file at the end, with at most pins added that came after it.
func TestReplaceLosesNoSaveOfAnEditor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	done := make(chan struct{})
	var editor sync.WaitGroup
	last := ""
	editor.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			text := fmt.Sprintf("# save %d\n", i)
			if err := os.WriteFile(path+"~", []byte(text), 0o644); err != nil {
				t.Error(err)
			}
			if err := os.Rename(path+"~", path); err != nil {
				t.Error(err)
			}
			last = text
		}
	})
	changed := 0
	for i := range 300 {
		was, err := pinfile.Read(path)
		must(t, err)
		err = pinfile.Replace(path, was, pinfile.Apply(was, pin("a", fmt.Sprintf("10.0.%d.%d", i>>8, i&255))))
		if err != nil && !errors.Is(err, pinfile.ErrChanged) {
			t.Fatal(err)
		}
		if err != nil {
			changed++
		}
	}
	close(done)
	editor.Wait()
	if changed == 0 {
		t.Error("no save came in between: the test shows nothing")
	}
	if have := contents(t, path); !strings.HasPrefix(have, last) {
		t.Errorf("the last save was %q, the file holds %q", last, have)
	}
}

// TestReadersSeeOldOrNew reads all the time while the file is replaced.
func TestReadersSeeOldOrNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	texts := []string{strings.Repeat("a", 30_000), strings.Repeat("b", 40_000)}
	must(t, os.WriteFile(path, []byte(texts[0]), 0o644))
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if have := contents(t, path); have != texts[0] && have != texts[1] {
				t.Errorf("read %d bytes, neither the old nor the new text", len(have))
				return
			}
		}
	})
	for i := range 50 {
		must(t, pinfile.Replace(path, []byte(texts[i%2]), []byte(texts[(i+1)%2])))
	}
	close(done)
	readers.Wait()
}

func TestReplaceSweepsWhatAKilledOneLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pins")
	for name, age := range map[string]time.Duration{".pins.berth-OLD": time.Hour, ".pins.berth-FRESH": 0, ".pins.swp": time.Hour} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), time.Now(), time.Now().Add(-age)))
	}
	must(t, pinfile.Replace(path, nil, []byte("x")))
	onlyFile(t, dir, ".pins.berth-FRESH", ".pins.swp", "pins")
}
