package lab_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// labGroup is the name of the lab's cgroup in each hierarchy, below the cgroup that the
// keeper is in. Inside the machine it is the root.
const labGroup = "berth-lab"

// hierarchy is one mounted cgroup hierarchy and this process's place in it.
type hierarchy struct {
	mount   string // where it is mounted
	kind    string // "cgroup" or "cgroup2"
	options string // for a new mount of it
	dir     string // the folder of this process's cgroup; "" when the mount does not show it
}

// lab is the folder of the lab's cgroup, as the keeper and init see it.
func (h hierarchy) lab() string { return filepath.Join(h.dir, labGroup) }

// cgroups lists the hierarchies that are mounted below /sys/fs/cgroup.
func cgroups() ([]hierarchy, error) {
	places, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []hierarchy
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(tail) < 3 || tail[0] != "cgroup" && tail[0] != "cgroup2" {
			continue
		}
		h := hierarchy{mount: fields[4], kind: tail[0], options: controllers(tail[2])}
		if !strings.HasPrefix(h.mount, "/sys/fs/cgroup") {
			continue
		}
		root := strings.TrimSuffix(fields[3], "/") // what of the hierarchy is mounted
		if rest, below := strings.CutPrefix(placeIn(string(places), h), root); below && rest != "" {
			h.dir = filepath.Join(h.mount, rest)
		}
		list = append(list, h)
	}
	if len(list) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted below /sys/fs/cgroup")
	}
	return list, nil
}

// controllers keeps those super block options that say which hierarchy it is.
func controllers(options string) string {
	var keep []string
	for o := range strings.SplitSeq(options, ",") {
		switch {
		case strings.HasPrefix(o, "name="):
			keep = append(keep, "none", o)
		case o != "rw" && o != "ro" && o != "xattr" && o != "clone_children" && !strings.Contains(o, "="):
			keep = append(keep, o)
		}
	}
	return strings.Join(keep, ",")
}

// placeIn finds the process's cgroup in the text of /proc/self/cgroup.
func placeIn(places string, h hierarchy) string {
	for line := range strings.Lines(places) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		want := strings.TrimPrefix(h.options, "none,")
		if h.kind == "cgroup2" && parts[1] == "" || h.kind == "cgroup" && parts[1] == want {
			return parts[2]
		}
	}
	return ""
}

// makeCgroups makes the lab's cgroup in each hierarchy.
func makeCgroups(list []hierarchy) error {
	for _, h := range list {
		if h.dir == "" {
			return fmt.Errorf("%s does not show the cgroup of this process", h.mount)
		}
		if err := os.Mkdir(h.lab(), 0o755); err != nil {
			return err
		}
		if h.options != "cpuset" {
			continue
		}
		// A new cpuset is empty, and nothing can run in an empty one.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			data, err := os.ReadFile(filepath.Join(h.dir, file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(h.lab(), file), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// joinCgroups moves this process into the lab's cgroups.
func joinCgroups(list []hierarchy) error {
	for _, h := range list {
		if err := os.WriteFile(filepath.Join(h.lab(), "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("join the cgroup: %w", err)
		}
	}
	return nil
}

// mountCgroups mounts the hierarchies again, so that the lab's cgroups are their roots.
func mountCgroups(list []hierarchy) error {
	if list[0].mount != "/sys/fs/cgroup" {
		if err := unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
		}
	}
	for _, h := range list {
		if err := os.MkdirAll(h.mount, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(h.kind, h.mount, h.kind, 0, h.options); err != nil {
			return fmt.Errorf("mount %s: %w", h.mount, err)
		}
		if h.kind != "cgroup2" || h.mount != "/sys/fs/cgroup" {
			continue
		}
		// Here controllers can be handed to the containers only while no process is beside them.
		leaf := filepath.Join(h.mount, "init.scope")
		if err := os.Mkdir(leaf, 0o755); err != nil {
			return err
		}
		for _, pid := range []int{1, os.Getpid()} {
			if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
				return fmt.Errorf("leave the root cgroup: %w", err)
			}
		}
	}
	return nil
}

// removeCgroups removes the lab's cgroups with all that is below. Their processes are dead or
// dying when it is called.
func removeCgroups(list []hierarchy) error {
	var errs []error
	for _, h := range list {
		if h.dir == "" {
			continue
		}
		errs = append(errs, removeCgroup(h.lab()))
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var folders []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				folders = append(folders, path)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := len(folders) - 1; i >= 0; i-- {
			err = errors.Join(err, unix.Rmdir(folders[i]))
		}
		if _, gone := os.Lstat(dir); errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		<-tick.C
	}
}
