package dnsmasq_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"berth/internal/config/dnsmasq"
	"berth/internal/ipam"
)

// tree writes files into a folder of their own. "@" in a text is that folder.
func tree(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(pairs); i += 2 {
		file := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(pairs[i+1], "@", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestIncludes(t *testing.T) {
	tests := []struct {
		name     string
		files    []string
		prepare  func(dir string) error
		pins     string // the names, in order
		watched  []string
		problems []string
	}{
		{name: "in place", files: []string{"c", "dhcp-host=a,10.0.0.1\nconf-file=@/d\ndhcp-host=c,10.0.0.3\n", "d", "dhcp-host=b,10.0.0.2"}, pins: "a b c", watched: []string{"c", "d"}},
		{name: "a loop", files: []string{"c", "conf-file=@/d\ndhcp-host=a,10.0.0.1\n", "d", "dhcp-host=b,10.0.0.2\nconf-file=@/c\nconf-file=@/d\n"}, pins: "b a", watched: []string{"c", "d"}},
		{name: "a loop by another name", files: []string{"c", "dhcp-host=a,10.0.0.1\nconf-file=@/d\nconf-file=@/e/../c"},
			prepare: func(dir string) error { return os.Symlink(dir+"/c", dir+"/d") }, pins: "a", watched: []string{"c", "d"}},
		{name: "a folder", files: []string{"c", "conf-dir=@/d\n", "d/b", "dhcp-host=b,10.0.0.2", "d/a", "dhcp-host=a,10.0.0.1", "d/.x", "x", "d/x~", "x", "d/#x#", "x", "d/#y", "dhcp-host=y,10.0.0.9", "d/sub/x", "x"},
			pins: "y a b", watched: []string{"c", "d", "d/#y", "d/a", "d/b"}},
		{name: "a folder's endings", files: []string{"c", "conf-dir=@/d/, *.conf ,*.cf, .bak.conf,*\n", "d/b.conf", "dhcp-host=b,10.0.0.2", "d/a.cf", "dhcp-host=a,10.0.0.1", "d/x", "x", "d/x.bak.conf", "x", "d/.conf", "x"},
			pins: "a b", watched: []string{"c", "d", "d/a.cf", "d/b.conf"}},
		{name: "a folder without some endings", files: []string{"c", "conf-dir=@/d,.bak,.dpkg-old\n", "d/a", "dhcp-host=a,10.0.0.1", "d/a.bak", "x", "d/a.dpkg-old", "x", "d/b.dpkg", "dhcp-host=b,10.0.0.2"},
			pins: "a b", watched: []string{"c", "d", "d/a", "d/b.dpkg"}},
		{name: "a folder that includes itself", files: []string{"c", "conf-dir=@/d\n", "d/a", "conf-dir=@/d\ndhcp-host=a,10.0.0.1", "d/b", "dhcp-host=b,10.0.0.2"}, pins: "b a", watched: []string{"c", "d", "d/a", "d/b"}},
		{name: "a name in quotes", files: []string{"c", "conf-file=\"@/a, b\"\n", "a, b", "dhcp-host=a,10.0.0.1"}, pins: "a", watched: []string{"c", "a, b"}},
		{name: "mistakes in an included file", files: []string{"c", "conf-file=@/d\nnonsense", "d", "\nx=1"}, watched: []string{"c", "d"},
			problems: []string{`@/c:2:1: option "nonsense" is not known`, `@/d:2:1: option "x" is not known`}},
		{name: "nothing there", files: []string{"c", "conf-file=@/d\nconf-dir=@/e\ndhcp-host=a,10.0.0.1"}, pins: "a", watched: []string{"c", "d", "e"},
			problems: []string{`@/c:1:11: "@/d" does not exist`, `@/c:2:10: "@/e" does not exist`}},
		{name: "a folder for a file", files: []string{"c", "conf-file=@/d", "d/x", ""}, watched: []string{"c", "d"}, problems: []string{`@/c:1:11: "@/d" is a folder`}},
		{name: "a file for a folder", files: []string{"c", "conf-dir=@/c"}, watched: []string{"c"}, problems: []string{`@/c:1:10: "@/c" can not be read: not a directory`}},
		{name: "a pipe", files: []string{"c", "conf-file=@/p\ndhcp-hostsfile=@/p\ndhcp-host=a,10.0.0.1"}, prepare: func(dir string) error { return unix.Mkfifo(dir+"/p", 0o600) },
			pins: "a", watched: []string{"c", "p"}, problems: []string{`@/c:1:11: "@/p" is a named pipe, and not read`, `@/c:2:16: "@/p" is a named pipe, and not read`}},
		{name: "a pipe in a folder", files: []string{"c", "conf-dir=@/d", "d/a", "dhcp-host=a,10.0.0.1"}, prepare: func(dir string) error { return unix.Mkfifo(dir+"/d/p", 0o600) }, pins: "a", watched: []string{"c", "d", "d/a"}},
		{name: "a device", files: []string{"c", "conf-file=/dev/zero\ndhcp-host=a,10.0.0.1"}, pins: "a", watched: []string{"c", "/dev/zero"}, problems: []string{`@/c:1:11: "/dev/zero" is a device, and not read`}},
		{name: "a link to nothing", files: []string{"c", "conf-dir=@/d", "d/a", "dhcp-host=a,10.0.0.1"}, prepare: func(dir string) error { return os.Symlink("nowhere", dir+"/d/b") },
			pins: "a", watched: []string{"c", "d", "d/b", "d/a"}, problems: []string{`@/c:1:10: "@/d/b" does not exist`}},
		{name: "links in circles", files: []string{"c", "conf-file=@/x"}, prepare: func(dir string) error { return errors.Join(os.Symlink("y", dir+"/x"), os.Symlink("x", dir+"/y")) },
			watched: []string{"c", "x"}, problems: []string{`@/c:1:11: "@/x" is a symbolic link that goes round in circles`}},
		{name: "too large", files: []string{"c", "conf-file=@/x\ndhcp-host=a,10.0.0.1"}, prepare: func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/x", nil, 0o644), os.Truncate(dir+"/x", 1<<30))
		},
			pins: "a", watched: []string{"c", "x"}, problems: []string{`@/c:1:11: "@/x" is too large: at most 16 MiB are read of a file, and 64 MiB of all`}},
		{name: "a file named twice", files: []string{"c", "dhcp-hostsfile=@/h\ndhcp-hostsfile=@/h", "h", "a,10.0.0.1"}, pins: "a", watched: []string{"c", "h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, tt.files...)
			if tt.prepare != nil {
				if err := tt.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			c, problems, err := dnsmasq.Load(dir + "/c")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range c.Pins {
				names = append(names, p.Holder.Guest)
			}
			if got := strings.Join(names, " "); got != tt.pins {
				t.Errorf("pins %s, want %s", got, tt.pins)
			}
			var watched []string
			for _, f := range c.Files {
				watched = append(watched, strings.TrimPrefix(f, dir+"/"))
			}
			if d := cmp.Diff(tt.watched, watched); d != "" {
				t.Error(d)
			}
			got := texts(problems)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], dir, "@")
			}
			if d := cmp.Diff(tt.problems, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestIncludesHaveAnEnd(t *testing.T) {
	var files []string
	for i := range 50 {
		files = append(files, fmt.Sprintf("c%d", i), fmt.Sprintf("dhcp-host=a%d,10.0.0.%d\nconf-file=@/c%d\n", i, i+1, i+1))
	}
	c, problems, err := dnsmasq.Load(tree(t, files...) + "/c0")
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Text, "included by 32 files") || len(c.Pins) != 32 {
		t.Errorf("%v, %v, %d pins", err, problems, len(c.Pins))
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := tree(t, "folder/x", "")
	if err := unix.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"none": "the file does not exist", "folder": "the file is a folder", "pipe": "the file is a named pipe, and not read",
	} {
		c, _, err := dnsmasq.Load(dir + "/" + name)
		var p *ipam.Problem
		if !errors.As(err, &p) || p.Text != want || p.Hint == "" || p.Source.File != dir+"/"+name {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, fs.ErrNotExist) != (name == "none") {
			t.Errorf("%s: the cause is %v", name, errors.Unwrap(err))
		}
		if c == nil || !slices.Equal(c.Files, []string{dir + "/" + name}) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestLoadMayNotReadIt(t *testing.T) {
	_, problems := dnsmasq.Parse("c", []byte("conf-file=/secret\n"), denied{machine("/secret", "")})
	if len(problems) != 1 || problems[0].Code != ipam.CodeDenied || problems[0].Error() != `c:1:11: "/secret" may not be read` {
		t.Errorf("%v", problems)
	}
}

// denied is files that nobody may open.
type denied struct{ fstest.MapFS }

func (denied) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}
