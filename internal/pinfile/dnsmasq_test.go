package pinfile_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
	"berth/internal/pinfile"
)

// corpus is lines of both grammars; "@" stands for an address of the line's own.
var corpus = []struct {
	line   string
	ours   bool
	theirs bool
	reason string // why the two differ
}{
	{"cent01,@", true, true, ""},
	{"@,cent02", true, true, ""},
	{"00:16:3e:00:00:01,@", true, true, ""},
	{"0:16:3E:0:0:2,@", true, true, ""},
	{"00:16:3e:00:00:03,named,@", true, true, ""},
	{"named2,@,00:16:3e:00:00:04", true, true, ""},
	{"web.proj,@", true, true, ""},
	{"final.dot.,@", true, true, ""},
	{"12h.,@", true, true, ""},
	{"123.,@", true, true, ""},
	{"infinite.,@", true, true, ""},
	{"ignore.,@", true, true, ""},
	{"h,@", true, true, ""},
	{"mm,@", true, true, ""},
	{"UPPER,@", true, true, ""},
	{"under_score,@", true, true, ""},
	{"Infinite,@", true, true, ""},
	{"beef,@", true, true, ""},
	{"a1,@,45m", true, true, ""},
	{"a2,12H,@", true, true, ""},
	{"1w,a3,@", true, true, ""},
	{"a4,@,3600", true, true, ""},
	{"a5,@,0", true, true, ""},
	{"a6,@,45 m", true, true, ""},
	{"a7,@,infinite", true, true, ""},
	{"a8,@ # comment", true, true, ""},
	{"a9,@\t#comment", true, true, ""},
	{"b1,@, # comment", true, true, ""},
	{" \tb2 ,\v @ \f", true, true, ""},
	{",b3,,@,", true, true, ""},
	{"b4,@\r", true, true, ""},
	{"b5,@ # \xff\x01 \"x", true, true, ""},
	{"# b6,@", true, true, ""},
	{"  # b6,@", true, true, ""},
	{"", true, true, ""},
	{" \t\r", true, true, ""},
	{strings.Repeat("l", 63) + ",@", true, true, ""},

	{"bad name,@", false, false, ""},
	{"name @", false, false, ""},
	{"b!,@", false, false, ""},
	{"-x,@", false, false, ""},
	{"c5,@,#x", false, false, ""},
	{"c8\x7f,@", false, false, ""},
	{"m\u00fcller,@", false, false, ""},
	{"\xff,@", false, false, ""},
	{"dhcp-host=c9,@", false, false, ""},
	{"00:16:3e:01:02:0g,@", false, false, ""},
	{"00:16:3e:01:02:1*,@", false, false, ""},
	{"d1,[fd00::x]", false, false, ""},
	{"\ufeffd2,@", false, false, ""},
	{"\ufeff# x", false, false, ""},
	{`"d6`, false, false, ""},
	{strings.Repeat("l", 64) + ",@", false, false, ""},

	{"cent01:eth1,@", true, false, "a second NIC is a name of its own here"},
	{"_x,@", true, false, "a guest may be called so; as a host name it would be wrong (RFC 952)"},

	{"e1", false, true, "a pin without an address pins nothing"},
	{"00:16:3e:00:00:05", false, true, "a pin without an address pins nothing"},
	{"@", false, true, "an address without a holder is nobody's"},
	{"1h", false, true, "says nothing of anybody"},
	{",", false, true, "says nothing of anybody"},
	{"e2,@,ignore", false, true, "no guest is left without an answer"},
	{"id:01:02,@", false, true, "a guest is known by its port, not by what it sends"},
	{"e3,id:*,@", false, true, "a guest is known by its port, not by what it sends"},
	{"set:red,e4,@", false, true, "there are no tags"},
	{"net:red,e5,@", false, true, "there are no tags"},
	{"tag:red,e6,@", false, true, "there are no tags"},
	{"e7,[fd00::1]", false, true, "IPv6 is not served yet"},
	{"00:16:3e:00:00:06,00:16:3e:00:00:07,@", false, true, "one holder a pin"},
	{"00:16:3e:*:*:*,@", false, true, "one holder a pin"},
	{"06-00:16:3e:00:00:08,@", false, true, "Ethernet only"},
	{"00:16:3e:00:00,@", false, true, "Ethernet only"},
	{"00:16:3e:00:00:01:02:03,@", false, true, "Ethernet only"},
	{"00:00:00:00:00:00,@", false, true, "not the address of an interface"},
	{"01:00:5e:00:00:01,@", false, true, "not the address of an interface"},
	{"0016:3e00:0009,@", false, true, "looks like a mistake; two digits an octet are asked for"},
	{"00:16:3e:00:00-0a,@", false, true, "looks like a mistake; colons are asked for"},
	{"00-16-3e-00-00-0b,@", false, true, "dnsmasq takes it for a name, the operator for a hardware address"},
	{"00:16:3e:00:00:0c,10.64.177.300", false, true, "dnsmasq takes a mistaken address for a name"},
	{"00:16:3e:00:00:0d,10.64.177.010", false, true, "dnsmasq takes a mistaken address for a name"},
	{"cafe:be,@", true, true, "accepted by both, but dnsmasq takes it for a hardware address of three octets"},
	{"c1,c2,@", false, true, "of two names dnsmasq 2.90 drops one in silence"},
	{"c3,10.64.177.300", false, true, "dnsmasq takes a mistaken address for a name"},
	{"c4,10.64.177.61/24", false, true, "dnsmasq takes a mistaken address for a name"},
	{"c6,@#x", false, true, "dnsmasq takes a mistaken address for a name"},
	{"c7\x02,@", false, true, "dnsmasq uses control characters for its own ends, and reads a digit"},
	{"e8,@,10.64.255.254", false, true, "of two addresses dnsmasq drops one in silence"},
	{"e9,@,1h,2h", false, true, "of two lease times dnsmasq drops one in silence"},
	{"f1,@,1 2h", false, true, "dnsmasq reads the first of the two numbers"},
	{"f2,@,4294967295", false, true, "dnsmasq makes it infinite, or something else"},
	{"f3,@,99999999999999999999w", false, true, "dnsmasq makes it infinite, or something else"},
	{"web-,@", false, true, "no host name (RFC 1123 §2.1)"},
	{"f4.a!b,@", false, true, "dnsmasq does not look at the domain"},
	{`"f5",@`, false, true, "no field needs quotation marks"},
	{"f6\x00,@", false, true, "dnsmasq takes it for the end of the line"},
}

func TestDnsmasqAgrees(t *testing.T) {
	var lines []string
	for i, c := range corpus {
		if c.ours != c.theirs && c.reason == "" {
			t.Errorf("%q: no reason for the difference", c.line)
		}
		lines = append(lines, strings.ReplaceAll(c.line, "@", ownAddress(i)))
	}
	refused := refusedByDnsmasq(t, lines)
	for i, c := range corpus {
		if have := !refused[i+1]; have != c.theirs {
			t.Errorf("%q: dnsmasq accepts it: %t", lines[i], have)
		}
		if _, problems := pinfile.Parse("pins", []byte(lines[i]+"\n")); (len(problems) == 0) != c.ours {
			t.Errorf("%q: %v", lines[i], problems)
		}
	}
}

// TestDnsmasqAgreesOnMixtures makes lines of what means the same to both, and of mistakes.
func TestDnsmasqAgreesOnMixtures(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	blank := func() string { return pick("", "", "", " ", "\t", "  ") }
	var lines []string
	for i := range 3000 {
		name := func() string {
			return pick("g", "Web-", "x_", "9") + strconv.Itoa(random.IntN(1e6)) + pick("", "", "x", ".proj", ".a.b.", "-y", "!", " y", "\x7f", "#", "/", "=")
		}
		hardware := fmt.Sprintf("%02x:%x:%02X:1:2:%02x", random.IntN(128)*2, random.IntN(256), random.IntN(256), random.IntN(256))
		fields := [][]string{
			{name() + "z", ownAddress(i)},
			{hardware, ownAddress(i)},
			{hardware, name() + "z", ownAddress(i)},
			{hardware + pick("", "g", ":zz"), ownAddress(i)},
		}[random.IntN(4)]
		if random.IntN(3) == 0 {
			fields = append(fields, pick("infinite", strconv.Itoa(random.IntN(9999))+pick("", "s", "m", "h", "D", " m")))
		}
		if random.IntN(4) == 0 {
			fields = append(fields, "")
		}
		random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		line := ""
		for i, f := range fields {
			if i > 0 {
				line += ","
			}
			line += blank() + f + blank()
		}
		lines = append(lines, line+pick("", "", "\r", " # x", "\t#", " #\"", ","))
	}
	refused := refusedByDnsmasq(t, lines)
	_, problems := pinfile.Parse("pins", []byte(strings.Join(lines[:500], "\n")))
	if len(problems) < 50 || len(problems) > 450 {
		t.Errorf("%d of 500 lines are refused: no mixture", len(problems))
	}
	for i, line := range lines {
		if _, problems := pinfile.Parse("pins", []byte(line)); (len(problems) > 0) != refused[i+1] {
			t.Errorf("%q: refused by dnsmasq %t, here: %v", line, refused[i+1], problems)
		}
	}
}

// TestDnsmasqReadsAsMuchOfALine finds the length from which dnsmasq takes the rest of a line for
// a line of its own, which is then a bad name.
func TestDnsmasqReadsAsMuchOfALine(t *testing.T) {
	for size, whole := range map[int]bool{1024: true, 1025: false} {
		text := "long," + strings.Repeat(" ", size-len("long,10.64.9.9!")) + "10.64.9.9!"
		if refused := refusedByDnsmasq(t, []string{text}); (len(refused) == 0) != whole {
			t.Errorf("%d bytes: dnsmasq refuses lines %v", size, refused)
		}
		if _, problems := pinfile.Parse("pins", []byte(strings.Replace(text, "!", "9", 1))); (len(problems) == 0) != whole {
			t.Errorf("%d bytes: %v", size, problems)
		}
	}
}

func ownAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", 100+i>>16, i>>8&255, i&255) }

var refusal = regexp.MustCompile(`: (.*) at line (\d+) of (\S+)$`)

// refusedByDnsmasq starts a dnsmasq on a file of the lines and returns the numbers of those that it refuses.
func refusedByDnsmasq(t *testing.T, lines []string) map[int]bool {
	t.Helper()
	netnstest.Require(t, "ip", "dnsmasq")
	netnstest.Bridge(t, "br0", "10.64.177.1/24")
	file := filepath.Join(t.TempDir(), "pins")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--log-dhcp", "--interface=br0", "--bind-interfaces",
		"--dhcp-range=10.64.177.2,10.64.177.254", "--dhcp-hostsfile="+file, "--dhcp-leasefile="+file+".leases", "--pid-file=", "--user=root", "--log-facility=-")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	refused, done := map[int]bool{}, false
	var output strings.Builder
	for log := bufio.NewScanner(stderr); !done && log.Scan(); {
		fmt.Fprintln(&output, log.Text())
		if m := refusal.FindStringSubmatch(log.Text()); m != nil && m[3] == file {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			refused[n] = true
		}
		done = strings.HasSuffix(log.Text(), ": read "+file)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	_ = exec.Command("ip", "link", "del", "br0").Run()
	if !done {
		t.Fatalf("dnsmasq has not read the file:\n%s", output.String())
	}
	return refused
}
