package client

import (
	"context"
	"path"
	"strconv"
	"strings"

	"berth/internal/guest"
)

// scene is what is seen of a guest: its processes, and its files as one of them sees them.
type scene struct {
	guest     guest.Guest
	processes []guest.Process
	root      *root // nil: none could be opened
}

func look(ctx context.Context, g guest.Guest) (*scene, error) {
	processes, err := guest.Processes(ctx, g)
	if err != nil {
		return nil, err
	}
	s := &scene{guest: g, processes: processes}
	s.root = s.openRoot()
	return s, nil
}

func (s *scene) close() { s.root.close() }

// openRoot opens the root folder of the guest's first process.
func (s *scene) openRoot() *root {
	candidates := s.processes
	if first := s.guest.Namespace; first.PID != 0 {
		candidates = append([]guest.Process{{PID: first.PID, Start: first.Start}}, candidates...)
	}
	const tries = 8
	for _, p := range candidates[:min(len(candidates), tries)] {
		if r, err := openRoot(p, s.guest.Namespace.Inode); err == nil {
			return r
		}
	}
	return nil
}

// called lists the processes with that command name, which the kernel cuts to 15 bytes.
func (s *scene) called(comm string) []guest.Process {
	var found []guest.Process
	for _, p := range s.processes {
		if p.Comm == comm[:min(len(comm), 15)] {
			found = append(found, p)
		}
	}
	return found
}

// read gives a file that a daemon keeps about the NIC, "" when there is none.
func (s *scene) read(folder string) string {
	return s.root.read(path.Join(folder, strconv.Itoa(s.guest.NICIndex)))
}

// value finds KEY=VALUE in the lines of a file.
func value(text, key string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return v
		}
	}
	return ""
}
