package guest

import (
	"strconv"
	"strings"
)

// mark is what a cgroup path says about the container a process belongs to.
type mark struct {
	runtime string
	name    string // as the runtime wrote it, unchecked
}

// cgroups is the text of /proc/PID/cgroup by hierarchy. The kernel refuses line breaks in
// cgroup names, so the lines can be trusted.
type cgroups map[string][]string

func parseCgroups(data []byte) cgroups {
	paths := make(cgroups)
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		hierarchy, path, ok := strings.Cut(rest, ":")
		if ok {
			paths[hierarchy] = strings.Split(strings.TrimPrefix(path, "/"), "/")
		}
	}
	return paths
}

// mark finds the outermost element that names a container: what is below it was made by
// the container. own are berth's cgroups; what it shares with the process
// does not set the process apart (berth itself may run in a container). Hierarchies that
// contradict each other give nothing.
func (c cgroups) mark(own cgroups) mark {
	var found mark
	for hierarchy, path := range c {
		m := markOf(unshared(path, own[hierarchy]))
		switch {
		case m == mark{} || m == found:
		case found == mark{}:
			found = m
		default:
			return mark{}
		}
	}
	return found
}

func unshared(path, own []string) []string {
	for len(path) > 0 && len(own) > 0 && path[0] == own[0] {
		path, own = path[1:], own[1:]
	}
	return path
}

func markOf(path []string) mark {
	for i, element := range path {
		if m := markOfElement(element); m != (mark{}) {
			return m
		}
		// LXC before 4.0, and Docker with the cgroupfs driver, use a folder of their own at the top.
		if i == 0 && len(path) > 1 {
			switch {
			case element == "lxc" || element == "lxc.payload":
				return mark{RuntimeLXC, path[1]}
			case element == "docker" && isContainerID(path[1]):
				return mark{RuntimeDocker, path[1][:shortID]}
			}
		}
	}
	return mark{}
}

func markOfElement(element string) mark {
	if name, ok := strings.CutPrefix(element, "lxc.payload."); ok {
		return mark{RuntimeLXC, name}
	}
	if name, ok := between(element, "machine-", ".scope"); ok {
		return mark{RuntimeNspawn, unescapeUnit(name)}
	}
	if name, ok := between(element, "systemd-nspawn@", ".service"); ok {
		return mark{RuntimeNspawn, unescapeUnit(name)}
	}
	scope := strings.TrimSuffix(element, ".scope")
	if id, ok := strings.CutPrefix(scope, "libpod-"); ok && isContainerID(id) {
		return mark{RuntimePodman, id[:shortID]}
	}
	if id, ok := strings.CutPrefix(scope, "docker-"); ok && isContainerID(id) {
		return mark{RuntimeDocker, id[:shortID]}
	}
	return mark{}
}

func between(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

const shortID = 12 // what docker ps and podman ps show

func isContainerID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// unescapeUnit undoes systemd's escaping of names (systemd.unit(5)): \x2d is a hyphen.
func unescapeUnit(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) && s[i+1] == 'x' {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
