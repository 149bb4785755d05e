package archtest

import "regexp"

// kernelRooms may talk to the kernel in any of their files; others only in files called
// *_linux.go, so that one sees by the name where the kernel is spoken to.
var kernelRooms = []string{"internal/host", "internal/firewall", "internal/guest", "internal/move", "internal/netnstest", "internal/demo"}

// kernelModules are the ways to the kernel.
var kernelModules = map[string]bool{
	"golang.org/x/sys/unix":          true,
	"github.com/vishvananda/netlink": true,
	"github.com/vishvananda/netns":   true,
	"github.com/mdlayher":            true,
	"github.com/google/nftables":     true,
}

// words of package syscall name an error, a signal or a type that os and net use in their
// own interfaces; none of them calls the kernel.
var words = regexp.MustCompile(`^(E[A-Z0-9]+|SIG[A-Z0-9]+|Errno|Signal|RawConn|Conn|SysProcAttr)$`)

// kernelExceptions are the files that are none of those, with the reason.
var kernelExceptions = map[string]string{
	"internal/control/server.go": "the umask has to be set around the one call that makes the socket",
}

func checkSyscalls(t *tree) []breach {
	return t.code(func(s *source) []breach {
		if s.isLinux() || isUnderAny(s.dir(), kernelRooms) || kernelExceptions[s.path] != "" {
			return nil
		}
		return s.kernelUses()
	})
}

// kernelUses are the places where a file speaks to the kernel.
func (s *source) kernelUses() []breach {
	var found []breach
	for imported, at := range s.imports() {
		if _, ok := entryOf(kernelModules, imported); ok {
			found = append(found, s.breach(at, "imports %s", imported))
			continue
		}
		if imported != "syscall" {
			continue
		}
		for sel, name := range s.selectors("syscall") {
			if !words.MatchString(name) {
				found = append(found, s.breach(sel, "uses syscall.%s", name))
			}
		}
	}
	return found
}

// checkKernelExceptions sees to it that the list does not outlive its reasons.
func checkKernelExceptions(t *tree) []breach {
	var found []breach
	for exception := range kernelExceptions {
		needed := false
		for _, s := range t.sources {
			needed = needed || s.path == exception && s.kernelUses() != nil
		}
		if !needed {
			found = append(found, breach{exception, "needs no exception any more"})
		}
	}
	return found
}
