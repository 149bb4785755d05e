package archtest

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// rules are the rules of the house.
var rules = []struct {
	name  string
	why   string
	check func(*tree) []breach
}{
	{"arrows point down", "a service that knows another, or the ledger, cannot be tested or replaced by itself", checkArrows},
	{"no test helper in a program", "what makes namespaces for tests must not be reachable from the daemon", checkHelpers},
	{"modules stay in their rooms", "a module that is imported in one place can be replaced in one place", checkModules},
	{"the kernel is spoken to where one expects it", "privileges, namespaces and portability are reviewed room by room", checkSyscalls},
	{"exceptions are needed", "an exception without a cause hides the next one", checkKernelExceptions},
	{"no init", "what runs before main cannot be passed anything, and runs in every test", checkInit},
	{"no package variable that changes", "two daemons in one test would share it", checkVariables},
	{"no panic", "a guest that finds one stops the network of all", checkPanic},
	{"no sleep in tests", "it is too short on a busy machine and too long on every other", checkSleep},
	{"skips by netnstest only", "a skip must prove its reason, and the list of allowed skips goes by it", checkSkip},
	{"files are short", "a file is about one noun", checkLength},
	{"packages are called after a noun", "a drawer without a label fills up", checkNames},
	{"packages are explained", "one sentence, where one looks for it", checkPackageDoc},
	{"exported names are explained", "units, ranges and errors are part of the interface", checkDoc},
	{"no path of a workplace", "it is wrong on every other machine", checkWorkplaces},
	{"English only", "every reader reads it", checkEnglish},
}

func TestHouseRules(t *testing.T) {
	house := loadTree(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			found := rule.check(house)
			slices.SortFunc(found, func(a, b breach) int { return cmp.Compare(a.at, b.at) })
			for _, b := range found {
				t.Errorf("%s: %s\n\tthe rule: %s, because %s", b.at, b.what, rule.name, rule.why)
			}
		})
	}
}

// Every rule must see what it is there for, and nothing else.
func TestRulesNotice(t *testing.T) {
	tests := []struct {
		rule, name string
		files      map[string]string
		want       string // "" for no breach, else a part of the only one
	}{
		{"arrows point down", "a service imports another",
			files("internal/dhcp4/a.go", `package dhcp4; import "berth/internal/dns"`), "internal/dhcp4/a.go:1 internal/dhcp4 imports internal/dns"},
		{"arrows point down", "a service imports the ledger",
			files("internal/dns/a.go", `package dns; import "berth/internal/ledger"`), "imports internal/ledger"},
		{"arrows point down", "a room below a service does",
			files("internal/dns/resolved/a.go", `package resolved; import "berth/internal/guest"`), "imports internal/guest"},
		{"arrows point down", "the nouns import something",
			files("internal/ipam/a.go", `package ipam; import "berth/internal/config"`), "imports internal/config"},
		{"arrows point down", "a command goes past the API",
			files("cmd/berth/a.go", `package main; import "berth/internal/ledger"`), "imports internal/ledger"},
		{"arrows point down", "a new room",
			files("internal/shed/a.go", `package shed`), "no room of the house"},
		{"arrows point down", "a test may look around",
			files("internal/dns/a_test.go", `package dns_test; import "berth/internal/guest"`), ""},
		{"arrows point down", "the wiring",
			files("internal/daemon/a.go", `package daemon; import ("berth/internal/dns/resolved"; "berth/internal/ledger")`), ""},
		{"arrows point down", "the wiring imports a command",
			files("internal/daemon/a.go", `package daemon; import "berth/internal/demo"`), "imports internal/demo"},
		{"arrows point down", "its own room",
			files("internal/ledger/a.go", `package ledger; import ("berth/internal/ipam"; "berth/internal/ledger/journal")`), ""},
		{"no test helper in a program", "a namespace for the daemon",
			files("internal/daemon/a.go", `package daemon; import "berth/internal/netnstest"`), "test helper internal/netnstest"},
		{"no test helper in a program", "one helper uses another",
			files("internal/ledger/storetest/a.go", `package storetest; import "berth/internal/netnstest"`), ""},
		{"modules stay in their rooms", "the oracle in a program",
			files("internal/dhcp4/a.go", `package dhcp4; import "github.com/insomniacslk/dhcp/dhcpv4"`), "only tests may"},
		{"modules stay in their rooms", "the oracle in a test",
			files("internal/dhcp4/a_test.go", `package dhcp4; import "github.com/insomniacslk/dhcp/dhcpv4"`), ""},
		{"modules stay in their rooms", "a codec in another room",
			files("internal/host/a.go", `package host; import "github.com/miekg/dns"`), "only internal/dns, internal/demo may"},
		{"modules stay in their rooms", "a version in the path",
			files("internal/host/a.go", `package host; import "github.com/pelletier/go-toml/v2"`), "only internal/config may"},
		{"the kernel is spoken to where one expects it", "netlink in a service",
			files("internal/dns/a.go", `package dns; import "github.com/vishvananda/netlink"`), "imports github.com/vishvananda/netlink"},
		{"the kernel is spoken to where one expects it", "in a file for Linux",
			files("internal/dns/a_linux.go", `package dns; import "golang.org/x/sys/unix"`), ""},
		{"the kernel is spoken to where one expects it", "names of errors and signals",
			files("internal/dns/a.go", `package dns; import "syscall"; func f() any { return []any{syscall.EADDRINUSE, syscall.SIGHUP} }`), ""},
		{"the kernel is spoken to where one expects it", "a call",
			files("internal/dns/a.go", `package dns; import "syscall"; func f() { syscall.Umask(0) }`), "uses syscall.Umask"},
		{"exceptions are needed", "one that is not",
			files("internal/control/server.go", `package control`), "needs no exception any more"},
		{"no init", "even in a test",
			files("internal/dns/a_test.go", `package dns; func init() {}`), "func init"},
		{"no init", "a method called so",
			files("internal/dns/a.go", `package dns; type s struct{}; func (s) init() {}`), ""},
		{"no panic", "a panic",
			files("internal/dns/a.go", `package dns; func f() { panic("no") }`), "panic"},
		{"no panic", "in a test",
			files("internal/dns/a_test.go", `package dns; func f() { panic("no") }`), ""},
		{"no package variable that changes", "a counter",
			files("internal/dns/a.go", `package dns; var n int`), "var n could change"},
		{"no package variable that changes", "a map",
			files("internal/dns/a.go", `package dns; var m = map[string]int{}`), "var m could change"},
		{"no package variable that changes", "a slice",
			files("internal/dns/a.go", `package dns; var s = []int{1}`), "var s could change"},
		{"no package variable that changes", "a pointer",
			files("internal/dns/a.go", `package dns; var p = &struct{}{}`), "var p could change"},
		{"no package variable that changes", "what is like a constant",
			files("internal/dns/a.go", `package dns; import "errors"; var errNo = errors.New("no"); var table = [...]string{"a"}; var _ any = errNo`), ""},
		{"no package variable that changes", "a table that another file writes to",
			files("internal/dns/a.go", `package dns; var table = [...]int{1}`, "internal/dns/b.go", `package dns; func f() { table[0]++ }`), "b.go:1 writes to table"},
		{"no package variable that changes", "its address is handed out",
			files("internal/dns/a.go", `package dns; var table = [...]int{1}; func f() *[1]int { return &table }`), "takes the address of table"},
		{"no package variable that changes", "a local one of the same name",
			files("internal/dns/a.go", `package dns; var table = [...]int{1}; func f() { table := [1]int{}; table[0] = 2 }`), ""},
		{"no package variable that changes", "an embedded file",
			files("internal/dns/a.go", "package dns\nimport _ \"embed\"\n//go:embed a.txt\nvar text string"), ""},
		{"no sleep in tests", "a sleep",
			files("internal/dns/a_test.go", `package dns; import "time"; func f() { time.Sleep(1) }`), "time.Sleep"},
		{"no sleep in tests", "between two looks",
			files("internal/dns/a_test.go", `package dns; import "time"; func f() { for { time.Sleep(1) } }`), ""},
		{"no sleep in tests", "on a fake clock",
			files("internal/dns/a_test.go", `package dns; import ("time"; "testing/synctest"); func f() { synctest.Wait(); time.Sleep(1) }`), ""},
		{"skips by netnstest only", "a skip of its own",
			files("internal/dns/a_test.go", `package dns; import "testing"; func TestX(t *testing.T) { t.Skipf("no") }`), "t.Skipf"},
		{"skips by netnstest only", "netnstest's",
			files("internal/netnstest/a.go", `package netnstest; import "testing"; func Require(t testing.TB) { t.Skip("no") }`), ""},
		{"files are short", "one that is not",
			files("internal/dns/a.go", "package dns\n"+strings.Repeat("//\n", longestFile)), "401 lines"},
		{"files are short", "a long test",
			files("internal/dns/a_test.go", "package dns\n"+strings.Repeat("//\n", longestFile)), ""},
		{"packages are called after a noun", "a drawer",
			files("internal/dns/util/a.go", `package util`), "package util"},
		{"packages are explained", "nowhere",
			files("internal/dns/dns.go", `package dns`), "no comment there"},
		{"packages are explained", "elsewhere, too",
			files("internal/dns/dns.go", "// Package dns answers.\npackage dns", "internal/dns/a.go", "// Package dns is.\npackage dns"), "belongs into internal/dns/dns.go"},
		{"exported names are explained", "a function",
			files("internal/dns/a.go", `package dns; func Ask() {}`), "func Ask has no comment"},
		{"exported names are explained", "a type",
			files("internal/dns/a.go", `package dns; type Name string`), "Name has no comment"},
		{"exported names are explained", "a method of a hidden type",
			files("internal/dns/a.go", `package dns; type name string; func (n name) String() string { return string(n) }`), ""},
		{"exported names are explained", "a group of constants",
			files("internal/dns/a.go", "package dns\n// The kinds.\nconst (\n\tA = 1\n\tB = 2\n)"), ""},
		{"exported names are explained", "one constant",
			files("internal/dns/a.go", "package dns\nconst A = 1"), "A has no comment"},
		{"no path of a workplace", "in the code",
			files("internal/dns/a.go", "package dns\n// see /"+"home/me/notes"), "a.go:2 path of a workplace"},
		{"English only", "a word that is not",
			files("internal/dns/a.go", "package dns\n// Br\u00fccke"), "letter"},
		{"English only", "signs, and a unit",
			files("internal/dns/a.go", "package dns\n// 3 µs → 4 µs, RFC 1035 §3"), ""},
	}
	tried := make(map[string]bool)
	for _, tt := range tests {
		t.Run(tt.rule+": "+tt.name, func(t *testing.T) {
			tried[tt.rule] = true
			i := slices.IndexFunc(rules, func(r struct {
				name  string
				why   string
				check func(*tree) []breach
			}) bool {
				return r.name == tt.rule
			})
			if i < 0 {
				t.Fatalf("there is no rule %q", tt.rule)
			}
			house := &tree{}
			for name, text := range tt.files {
				s, err := parseSource(name, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				house.sources = append(house.sources, s)
			}
			found := rules[i].check(house)
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("breaches where there are none: %v", found)
			case tt.want != "" && (len(found) != 1 || !strings.Contains(found[0].at+" "+found[0].what, tt.want)):
				t.Errorf("breaches %v, want one: %s", found, tt.want)
			}
		})
	}
	for _, r := range rules {
		if !tried[r.name] {
			t.Errorf("nothing shows that the rule %q sees anything", r.name)
		}
	}
}

// files is a map of paths to texts.
func files(pairs ...string) map[string]string {
	m := make(map[string]string)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}
