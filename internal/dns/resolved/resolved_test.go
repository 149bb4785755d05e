package resolved_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"berth/internal/dns/resolved"
)

func lxdbr0(index int) resolved.Link {
	return resolved.Link{
		Name: "lxdbr0", Index: index, Domain: "lxd",
		Gateway: netip.MustParseAddr("10.64.177.1"), Subnet: netip.MustParsePrefix("10.64.177.0/24"),
	}
}

// told are the calls that make resolved know lxdbr0.
func told(index string) []string {
	return []string{
		"resolve1 SetLinkDefaultRoute(" + index + ", false)",
		"resolve1 SetLinkDNSSEC(" + index + ", no)",
		"resolve1 SetLinkDNSOverTLS(" + index + ", no)",
		"resolve1 SetLinkDomains(" + index + ", [{lxd true} {177.64.10.in-addr.arpa true}])",
		"resolve1 SetLinkDNS(" + index + ", [{2 [10 64 177 1]}])",
	}
}

// options are those of a host whose programs ask resolved.
func options(t *testing.T, b *testBus) resolved.Options {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return resolved.Options{
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Bus: b.connect,
		Timeout: 10 * time.Second, Every: time.Hour, ResolvConf: conf, NSSwitch: filepath.Join(dir, "absent"),
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// run runs a registrar; it must end without an error when the test does.
func run(t *testing.T, o resolved.Options) *resolved.Registrar {
	t.Helper()
	r := resolved.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(15 * time.Second):
			t.Error("Run does not end")
		}
	})
	return r
}

func awaitState(t *testing.T, r *resolved.Registrar, want string) {
	t.Helper()
	eventually(t, "state "+want+", is "+r.State("lxdbr0"), func() bool { return strings.Contains(r.State("lxdbr0"), want) })
}

func awaitCalls(t *testing.T, f *fake, want ...string) {
	t.Helper()
	eventually(t, "calls "+strings.Join(want, "; "), func() bool { return slices.Equal(f.log(), want) || len(f.log()) > len(want) })
	if got := f.log(); !slices.Equal(got, want) {
		t.Fatalf("calls:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const good = "systemd-resolved asks 10.64.177.1 for *.lxd"

func TestANetworkIsToldOnce(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")...)
	if got := r.State("lxdbr0"); got != good {
		t.Errorf("state %q, want %q", got, good)
	}
	var before int
	f.do(func(f *fake) { before = f.looks })
	r.Set([]resolved.Link{lxdbr0(7)})
	eventually(t, "another look", func() bool { var n int; f.do(func(f *fake) { n = f.looks }); return n > before })
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")...)
	if got := r.State("other"); got != "" {
		t.Errorf("state of a network that is not there: %q", got)
	}
}

func TestABridgeMadeAnewIsToldByItsNewIndex(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, good)
	f.do(func(f *fake) { delete(f.links, 7) })
	f.add(12)
	r.Set([]resolved.Link{lxdbr0(12)})
	awaitCalls(t, f, append(told("7"), told("12")...)...) // 7 is gone: nothing to take back
	awaitState(t, r, good)
}

func TestABridgeThatResolvedHearsOfLaterIsTold(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "Link 7 not known; berth tries again")
	f.add(7)
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")...)
}

func TestANetworkThatGoesIsTakenBack(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, good)
	r.Set(nil)
	awaitCalls(t, f, append(told("7"), "resolve1 RevertLink(7)")...)
}

func TestWhatSomebodyElseSetIsNotTakenBack(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7, 8)
	f.do(func(f *fake) {
		f.links[7].DNS = []fakeServer{{2, []byte{192, 0, 2, 1}}}
		f.refuse["resolve1 SetLinkDNS"] = dbus.NewError("org.example.No", []any{"not now"})
	})
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "not now; berth tries again")
	f.do(func(f *fake) { f.calls = nil })
	other := lxdbr0(8)
	other.Name = "other"
	r.Set([]resolved.Link{other}) // told after 7 has been looked at
	eventually(t, "8 is told", func() bool { return slices.Contains(f.log(), told("8")[4]) })
	if slices.Contains(f.log(), "resolve1 RevertLink(7)") {
		t.Error("somebody else's servers were taken away")
	}
}

func TestWhatWasToldByHalfIsTakenBack(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	f.do(func(f *fake) { f.refuse["resolve1 SetLinkDNS"] = dbus.NewError("org.example.No", []any{"not now"}) })
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "not now; berth tries again")
	r.Set(nil)
	eventually(t, "7 is reverted", func() bool { return slices.Contains(f.log(), "resolve1 RevertLink(7)") })
}

func TestResolvedIsToldAgain(t *testing.T) {
	tests := []struct {
		name   string
		forget func(t *testing.T, b *testBus, f *fake) *fake
	}{
		{"after somebody reverted the link", func(t *testing.T, _ *testBus, f *fake) *fake {
			f.do(func(f *fake) { f.calls, f.links[7].DNS, f.links[7].Domains = nil, nil, nil })
			f.touched(t)
			return f
		}},
		{"after somebody made it the default route", func(t *testing.T, _ *testBus, f *fake) *fake {
			f.do(func(f *fake) { f.calls, f.links[7].DefaultRoute = nil, true })
			f.touched(t)
			return f
		}},
		{"after resolved was started again", func(t *testing.T, b *testBus, f *fake) *fake {
			f.conn.Close()
			return startFake(t, b, 7)
		}},
		{"after the bus was started again", func(t *testing.T, b *testBus, _ *fake) *fake {
			b.stop()
			b.start(t)
			return startFake(t, b, 7)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newTestBus(t)
			b.start(t)
			f := startFake(t, b, 7)
			r := run(t, options(t, b))
			r.Set([]resolved.Link{lxdbr0(7)})
			awaitCalls(t, f, told("7")...)
			awaitState(t, r, good)
			f = tt.forget(t, b, f)
			awaitCalls(t, f, told("7")...)
			awaitState(t, r, good)
		})
	}
}

func TestResolvedIsComparedNowAndThenWithoutASignal(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	o := options(t, b)
	o.Every = 20 * time.Millisecond
	r := run(t, o)
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, good)
	f.do(func(f *fake) { f.calls, f.links[7].Domains = nil, nil })
	awaitCalls(t, f, told("7")...)
}

func TestOneWhoUndoesAtOnceIsNotAnsweredWithAFlood(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	f.do(func(f *fake) { f.refuse["resolve1 SetLinkDNS"] = dbus.NewError("org.example.No", []any{"never"}) })
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	began := time.Now()
	eventually(t, "four tries", func() bool { return len(f.log()) >= 20 })
	if took := time.Since(began); took < 300*time.Millisecond { // at least two pauses, of 100 ms and 200 ms
		t.Errorf("four tries in %s", took)
	}
	awaitState(t, r, "never; berth tries again")
}

func TestWithoutABusItWaitsForOne(t *testing.T) {
	b := newTestBus(t)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "systemd-resolved does not run")
	b.start(t)
	f := startFake(t, b, 7)
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")...)
}

func TestWithoutResolvedItWaitsForIt(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "systemd-resolved does not run")
	f := startFake(t, b, 7)
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")...)
	f.conn.Close()
	awaitState(t, r, "systemd-resolved does not run")
}

func TestAResolvedThatHangsIsAskedAgain(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	release := make(chan struct{})
	f.do(func(f *fake) { f.hang = release })
	o := options(t, b)
	o.Timeout = 50 * time.Millisecond
	r := run(t, o)
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "it does not answer; berth tries again")
	f.do(func(f *fake) { f.hang = nil })
	close(release)
	awaitState(t, r, good)
}

func TestABusThatHangsIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path) // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(t, &testBus{address: "unix:path=" + path})
	o.Timeout = 20 * time.Millisecond
	r := run(t, o)
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, "systemd-resolved does not run")
	if err := r.Revert(t.Context(), 7); err != nil {
		t.Errorf("Revert: %v", err)
	}
}

func TestAnOldResolvedIsToldWhatItKnows(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := &fake{conn: b.client(t), links: make(map[int32]*fakeLink), refuse: make(map[string]*dbus.Error), ancient: true}
	f.add(7)
	f.export(t, managerName, managerPath, "RevertLink")
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	awaitState(t, r, good)
	awaitCalls(t, f, told("7")[3:]...)
}

func TestALinkOfNetworkdIsToldToNetworkd(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	f.startNetworkd(t)
	busy := dbus.NewError(managerName+".LinkBusy", []any{"Link lxdbr0 is managed."})
	f.do(func(f *fake) {
		for _, call := range append(told("7"), "resolve1 RevertLink(7)") {
			method, _, _ := strings.Cut(call, "(")
			f.refuse[method] = busy
		}
	})
	r := run(t, options(t, b))
	r.Set([]resolved.Link{lxdbr0(7)})
	var want []string
	for _, call := range told("7") {
		want = append(want, call, strings.Replace(call, "resolve1", "network1", 1))
	}
	awaitCalls(t, f, want...)
	awaitState(t, r, good)
	r.Set(nil)
	awaitCalls(t, f, append(want, "resolve1 RevertLink(7)", "network1 RevertLinkDNS(7)")...)
}

func TestRevertOfABridgeThatStays(t *testing.T) {
	b := newTestBus(t)
	r := resolved.New(options(t, b))
	if err := r.Revert(t.Context(), 7); err != nil {
		t.Errorf("without a bus: %v", err)
	}
	b.start(t)
	if err := r.Revert(t.Context(), 7); err != nil {
		t.Errorf("without resolved: %v", err)
	}
	f := startFake(t, b, 7)
	if err := r.Revert(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if err := r.Revert(t.Context(), 9); err != nil {
		t.Errorf("of an interface that is gone: %v", err)
	}
	awaitCalls(t, f, "resolve1 RevertLink(7)", "resolve1 RevertLink(9)")
	f.do(func(f *fake) {
		f.refuse["resolve1 RevertLink"] = dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"})
	})
	if err := r.Revert(t.Context(), 7); err == nil || !strings.Contains(err.Error(), "does not forget interface 7: no") {
		t.Errorf("refused: %v", err)
	}
}

func TestALinkThatCannotBeToldIsNot(t *testing.T) {
	b := newTestBus(t)
	b.start(t)
	f := startFake(t, b, 7)
	r := run(t, options(t, b))
	r.Set([]resolved.Link{{Name: "lxdbr0", Index: 7, Domain: "lxd"}, {Name: "none", Gateway: lxdbr0(0).Gateway}})
	awaitState(t, r, "the bridge has no address yet")
	awaitCalls(t, f)
}
