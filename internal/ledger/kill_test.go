package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger"
)

// childEnv makes the test binary the victim of TestKill: its value is the directory to write to.
const childEnv = "BERTH_LEDGER_CHILD"

// A report is one line that the child prints: first that it tries something, then that it was acknowledged.
type report struct {
	Done bool
	Pin  bool
	Name string
	Addr netip.Addr // of a pin that is tried, and of everything done
}

const (
	killWriters = 8  // clients at a time
	killClients = 40 // of each writer
	killPins    = 20
)

// killNet has room for all clients; its pins lie beside the range.
func killNet() ipam.Networks {
	return ipam.Networks{network(br, "10.8.0.1/16", "10.8.1.0", "10.8.9.255")}
}

// beChild takes leases and sets pins for ever, and says so on standard output.
func beChild(dir string) int {
	l, err := ledger.Open(context.Background(), ledger.Options{Dir: dir, RotateAt: 20_000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l.Configure(killNet())
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(r report) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(r) // one write, so never half a line of a living process
	}
	var failed sync.Once
	code := 0
	fail := func(err error) {
		failed.Do(func() { fmt.Fprintln(os.Stderr, err); code = 1 })
	}
	var wg sync.WaitGroup
	for w := range killWriters {
		wg.Go(func() {
			for i := 0; ; i = (i + 1) % killClients {
				name := fmt.Sprintf("c%d-%d", w, i)
				e, err := l.Offer(br, client(name), netip.Addr{})
				if err == nil {
					say(report{Name: name, Addr: e.Addr})
					_, err = l.Bind(context.Background(), br, client(name), e.Addr, time.Hour)
				}
				if err != nil {
					fail(err)
					return
				}
				say(report{Done: true, Name: name, Addr: e.Addr})
			}
		})
	}
	wg.Go(func() {
		wished := make([]string, killPins)
		for _, p := range l.Pins() {
			var i int
			_, _ = fmt.Sscanf(p.Holder.Guest, "p%d", &i)
			wished[i] = fmt.Sprintf("p%d=%s", i, p.Addr)
		}
		for round := 0; ; round++ {
			i := round % killPins
			name := fmt.Sprint("p", i)
			a := netip.AddrFrom4([4]byte{10, 8, byte(100 + rand.IntN(100)), byte(i + 1)})
			wished[i] = name + "=" + a.String()
			say(report{Pin: true, Name: name, Addr: a})
			if _, err := l.SetPins(context.Background(), pinsOf(wished)); err != nil {
				fail(err)
				return
			}
			say(report{Pin: true, Done: true, Name: name, Addr: a})
		}
	})
	wg.Wait()
	return code
}

// pinsOf makes pins of the lines that are not empty.
func pinsOf(lines []string) []ipam.Pin {
	var some []string
	for _, line := range lines {
		if line != "" {
			some = append(some, line)
		}
	}
	return pins(some...)
}

// promise is what is known of one name.
type promise struct {
	acked netip.Addr // the last acknowledged
	tried netip.Addr // under way since; invalid: nothing
}

// TestKill kills a process that writes to a real directory, at random moments, and checks after each kill that
// nothing acknowledged is missing or changed.
func TestKill(t *testing.T) {
	const kills = 50
	dir := filepath.Join(t.TempDir(), "state")
	promises := map[string]*promise{}
	acks := 0
	for round := range kills {
		acks += killOne(t, dir, 50+rand.IntN(600), promises)
		compare(t, dir, round, promises)
		if t.Failed() {
			return
		}
	}
	if acks < 50*kills {
		t.Errorf("only %d acknowledgements over %d kills: no real load", acks, kills)
	}
	t.Logf("%d acknowledgements over %d kills", acks, kills)
}

// killOne runs the child, kills it after so many reports, and notes all that it had said.
func killOne(t *testing.T, dir string, after int, promises map[string]*promise) (acks int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break // the kill cut the line: it was not said
		}
		if seen++; seen == after {
			_ = child.Process.Kill() // what it has said by then is still read
		}
		p := promises[r.Name]
		if p == nil {
			p = &promise{}
			promises[r.Name] = p
		}
		if !r.Done {
			p.tried = r.Addr
			continue
		}
		acks++
		if !r.Pin && p.acked.IsValid() && p.acked != r.Addr {
			t.Errorf("%s was given %s, and %s before", r.Name, r.Addr, p.acked)
		}
		*p = promise{acked: r.Addr}
	}
	_ = child.Wait()
	if seen < after {
		t.Fatalf("the child ended by itself after %d reports", seen)
	}
	return acks
}

// compare opens what the child left behind.
func compare(t *testing.T, dir string, round int, promises map[string]*promise) {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, RotateAt: 20_000})
	if err != nil {
		t.Fatalf("kill %d: %v", round, err)
	}
	l.Configure(killNet())
	l.CheckBooks(t)
	have := map[string]netip.Addr{}
	for _, p := range l.Pins() {
		have[p.Holder.Guest] = p.Addr
	}
	for _, lease := range l.Leases() {
		have[lease.Holder.Guest] = lease.Addr
	}
	for name, p := range promises {
		if have[name] != p.acked && have[name] != p.tried {
			t.Errorf("kill %d: %s was acknowledged %s (under way: %s), stored is %s", round, name, p.acked, p.tried, have[name])
		}
		// What was under way may have been stored or not; from here on it is what the ledger says.
		*p = promise{acked: have[name]}
	}
	for name, a := range have {
		if promises[name] == nil {
			t.Errorf("kill %d: %s has %s, and nobody asked", round, name, a)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
