package archtest

import (
	"fmt"
	"path"
	"strings"
)

// all stands for every package but the test helpers and the commands.
const all = "*"

// rooms says what the packages of a folder, and of those below it, may import of this
// module beside their own room. The longest entry that fits counts.
var rooms = map[string][]string{
	"cmd/berth": {"internal/control", "internal/daemon", "internal/demo", "internal/ipam", "internal/leasefile"},

	"internal/ipam": {}, // the nouns know nobody

	// Files.
	"internal/config":    {"internal/ipam", "internal/pinfile"}, // dnsmasq's hosts have the pins file's grammar
	"internal/pinfile":   {"internal/ipam"},
	"internal/filewatch": {"internal/ipam"},
	"internal/leasefile": {"internal/ipam"},

	// The one owner.
	"internal/ledger": {"internal/ipam"},

	// The upper half asks the ledger, through methods that each declares for itself.
	"internal/dhcp4":   {"internal/ipam"},
	"internal/dhcp6":   {"internal/ipam"},
	"internal/ra":      {"internal/ipam"},
	"internal/proxy":   {"internal/ipam"},
	"internal/dns":     {"internal/ipam"},
	"internal/control": {"internal/ipam"},
	"internal/web":     {"internal/ipam", "internal/control"},

	// The lower half makes the kernel equal to it.
	"internal/host":      {"internal/ipam", "internal/firewall"}, // down takes the table away, too
	"internal/firewall":  {"internal/ipam", "internal/host/drift"},
	"internal/guest":     {"internal/ipam"},
	"internal/move":      {"internal/ipam", "internal/guest"},
	"internal/reconcile": {"internal/ipam", "internal/guest", "internal/move", "internal/host", "internal/firewall"},

	"internal/daemon": {all}, // wires them
	"internal/demo":   {"internal/ipam", "internal/control"},

	"internal/netnstest": {},
	"internal/archtest":  {},
	"test":               {"internal/ipam", "internal/control", "internal/netnstest"},
}

// helpers are packages for tests. They are not part of any program.
var helpers = []string{"internal/netnstest", "internal/archtest", "internal/ledger/storetest", "internal/ledger/journal/crashfs"}

func isHelper(dir string) bool {
	for _, h := range helpers {
		if isUnder(dir, h) {
			return true
		}
	}
	return false
}

// entryOf is the longest entry of a table that a folder lies in.
func entryOf[V any](table map[string]V, dir string) (string, bool) {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := table[dir]; ok {
			return dir, true
		}
	}
	return "", false
}

func checkArrows(t *tree) []breach {
	var found []breach
	for _, s := range t.sources {
		if s.isTest() {
			continue
		}
		room, ok := entryOf(rooms, s.dir())
		if !ok {
			found = append(found, s.breach(s.file, "%s is no room of the house: give it a line in arrows_test.go and in ARCHITECTURE.md", s.dir()))
			continue
		}
		for imported, at := range s.imports() {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if ours && !mayImport(room, dir) && !isHelper(dir) {
				found = append(found, s.breach(at, "%s imports %s", s.dir(), dir))
			}
		}
	}
	return found
}

func mayImport(room, dir string) bool {
	if isUnder(dir, room) && room != "test" {
		return true
	}
	for _, may := range rooms[room] {
		if may == all && !isUnder(dir, "cmd") && !isUnder(dir, "internal/demo") || isUnder(dir, may) {
			return true
		}
	}
	return false
}

func checkHelpers(t *tree) []breach {
	return t.code(func(s *source) []breach {
		var found []breach
		for imported, at := range s.imports() {
			if dir, ours := strings.CutPrefix(imported, module+"/"); ours && isHelper(dir) {
				found = append(found, s.breach(at, "%s imports the test helper %s", s.dir(), dir))
			}
		}
		return found
	})
}

// modules says where a module of somebody else may be imported; nil is in tests only.
// One that is not here may be imported by all.
var modules = map[string][]string{
	"github.com/insomniacslk/dhcp":    nil, // the oracle; our own codec makes no garbage
	"pgregory.net/rapid":              nil,
	"github.com/google/go-cmp":        nil,
	"github.com/rogpeppe/go-internal": nil,
	"github.com/miekg/dns":            {"internal/dns", "internal/demo"},
	"github.com/pelletier/go-toml":    {"internal/config"},
	"github.com/spf13/cobra":          {"cmd"},
	"golang.org/x/term":               {"cmd"},
	"github.com/godbus/dbus":          {"internal/dns/resolved", "internal/move/client", "internal/guest"},
	"github.com/google/nftables":      {"internal/firewall", "internal/host", "internal/demo"},
	"golang.org/x/sync":               {"internal"},
}

func checkModules(t *tree) []breach {
	return t.code(func(s *source) []breach {
		var found []breach
		for imported, at := range s.imports() {
			entry, ok := entryOf(modules, imported)
			if !ok || isUnderAny(s.dir(), modules[entry]) {
				continue
			}
			where := "only tests may"
			if modules[entry] != nil {
				where = fmt.Sprintf("only %s may", strings.Join(modules[entry], ", "))
			}
			found = append(found, s.breach(at, "%s imports %s: %s", s.dir(), imported, where))
		}
		return found
	})
}

func isUnderAny(dir string, parents []string) bool {
	for _, p := range parents {
		if isUnder(dir, p) {
			return true
		}
	}
	return false
}
