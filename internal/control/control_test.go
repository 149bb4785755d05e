package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth/internal/control"
	"berth/internal/ipam"
)

// fake is a daemon that answers what the test wants.
type fake struct {
	control.Daemon
	guests  []control.Guest
	outcome control.Outcome
	err     error
	asked   any
}

func (f *fake) Guests(context.Context) ([]control.Guest, error) { return f.guests, f.err }
func (f *fake) Status(context.Context) (control.Status, error) {
	return control.Status{Version: "1"}, f.err
}
func (f *fake) Why(_ context.Context, s string) (control.Why, error) {
	return control.Why{Subject: s}, f.err
}
func (f *fake) Pin(_ context.Context, r control.PinRequest) (control.Outcome, error) {
	f.asked = r
	return f.outcome, f.err
}
func (f *fake) Unpin(_ context.Context, r control.UnpinRequest) (control.Outcome, error) {
	f.asked = r
	return f.outcome, f.err
}
func (f *fake) Swap(_ context.Context, r control.SwapRequest) (control.Outcome, error) {
	f.asked = r
	return f.outcome, f.err
}
func (f *fake) Reload(_ context.Context, dry bool) (control.Outcome, error) {
	f.asked = dry
	return f.outcome, f.err
}

func (f *fake) Import(_ context.Context, r control.ImportRequest) (control.Import, error) {
	f.asked = r
	return control.Import{DryRun: r.DryRun, Same: len(r.Files), Imported: []control.ImportedLease{}}, f.err
}

// start serves f on a socket of its own and gives a client of it.
func start(t *testing.T, f *fake) *control.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, f, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return control.NewClient(socket)
}

func TestBothEndsAgree(t *testing.T) {
	f := &fake{
		guests:  []control.Guest{{Name: "a", MAC: "02:00:00:00:00:01", State: control.Settled}, {Name: "b:eth1", State: control.Dynamic}},
		outcome: control.Outcome{Rev: 7, Results: []control.Result{{Name: "a", To: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, TookUS: 5}}},
	}
	c := start(t, f)
	ctx := t.Context()
	guests, err := c.Guests(ctx, "")
	if err != nil || len(guests) != 2 {
		t.Fatalf("Guests = %v, %v", guests, err)
	}
	for _, name := range []string{"b:eth1", "02:00:00:00:00:01"} {
		if found, err := c.Guests(ctx, name); err != nil || len(found) != 1 {
			t.Errorf("Guests(%q) = %v, %v", name, found, err)
		}
	}
	drain := 3 * time.Second
	want := control.PinRequest{Name: "a", Addr: netip.MustParseAddr("10.0.0.9"), Drain: &drain, Wait: time.Second, Settle: true, DryRun: true}
	out, err := c.Pin(ctx, want)
	if err != nil || out.Rev != 7 || out.Results[0].TookUS != 5 {
		t.Fatalf("Pin = %+v, %v", out, err)
	}
	if diff := cmp.Diff(want, f.asked, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("the daemon was asked something else:\n%s", diff)
	}
	if _, err := c.Swap(ctx, control.SwapRequest{Names: [2]string{"a", "b"}}); err != nil || f.asked.(control.SwapRequest).Names[1] != "b" {
		t.Errorf("Swap: %v, %v", f.asked, err)
	}
	if _, err := c.Unpin(ctx, control.UnpinRequest{Name: "a"}); err != nil {
		t.Error(err)
	}
	if _, err := c.Reload(ctx, true); err != nil || f.asked != true {
		t.Errorf("Reload: %v, %v", f.asked, err)
	}
	if why, err := c.Why(ctx, "x y&z"); err != nil || why.Subject != "x y&z" {
		t.Errorf("Why: %v, %v", why, err)
	}
}

func TestProblemsArriveAsTheyAre(t *testing.T) {
	f := &fake{
		err:     ipam.Problems{{Code: ipam.CodeConflict, Text: "taken", Hint: "another", Source: ipam.Source{File: "pins", Line: 3}}, {Code: ipam.CodeRange, Text: "outside"}},
		outcome: control.Outcome{Results: []control.Result{{Name: "a", Error: "no"}}},
	}
	c := start(t, f)
	out, err := c.Pin(t.Context(), control.PinRequest{Name: "a"})
	var problems ipam.Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("Pin = %v", err)
	}
	if p := problems[0]; p.Error() != "pins:3: taken" || p.Hint != "another" || p.Code != ipam.CodeConflict {
		t.Errorf("first problem %+v", p)
	}
	if len(out.Results) != 1 || out.Results[0].Error != "no" {
		t.Errorf("the outcome beside the problem is lost: %+v", out)
	}
	f.err = errors.New("something broke")
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "something broke") {
		t.Errorf("Status = %v", err)
	}
	if _, err := c.Guests(t.Context(), "nobody"); err == nil {
		t.Error("a failure was not reported")
	}
}

func TestUnknownGuestIsNotFound(t *testing.T) {
	c := start(t, &fake{})
	_, err := c.Guests(t.Context(), "nobody")
	var problems ipam.Problems
	if !errors.As(err, &problems) || problems[0].Code != ipam.CodeNotFound || problems[0].Hint == "" {
		t.Errorf("Guests = %v", err)
	}
}

// TestRequestsByHand sends what our own client never would.
func TestRequestsByHand(t *testing.T) {
	h := control.Handler(&fake{})
	tests := []struct {
		name, method, path, body string
		code                     int
	}{
		{"no JSON", "POST", "/v1/pin", "hello", 400},
		{"unknown field", "POST", "/v1/pin", `{"nme":"a"}`, 400},
		{"bad address", "POST", "/v1/pin", `{"name":"a","addr":"10.0.0"}`, 400},
		{"too large", "POST", "/v1/pin", `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, 400},
		{"empty body", "POST", "/v1/swap", "", 400},
		{"wrong method", "GET", "/v1/pin", "", 405},
		{"no such thing", "GET", "/v1/everything", "", 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
			if w.Code != tt.code {
				t.Errorf("code %d, want %d: %s", w.Code, tt.code, w.Body)
			}
		})
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "deep", "sock")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("socket %v, %v: others may open it", info.Mode(), err)
	}
	if _, err := control.Listen(socket); err == nil || !strings.Contains(err.Error(), "another berth") {
		t.Errorf("a second daemon: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // as after kill -9: the file is left
	again, err := control.Listen(socket)
	if err != nil {
		t.Fatalf("a socket that nobody listens on is in the way: %v", err)
	}
	again.Close()
}

func TestNobodyAnswers(t *testing.T) {
	_, err := control.NewClient(filepath.Join(t.TempDir(), "sock")).Status(t.Context())
	var p *ipam.Problem
	if !errors.As(err, &p) || p.Code != ipam.CodeDaemon || !strings.Contains(p.Hint, "berth serve") {
		t.Errorf("Status = %v", err)
	}
}

func TestAnswerThatIsNoJSON(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "<html>")
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	if _, err := control.NewClient(socket).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("Status = %v", err)
	}
}

// TestShapesAreTheContract keeps the JSON names that scripts rely on.
func TestShapesAreTheContract(t *testing.T) {
	keys := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		var names []string
		for k := range m {
			names = append(names, k)
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct {
		v    any
		want string
	}{
		{control.Guest{Since: time.Unix(1, 0)}, "name network pinned leased configured dns mac port runtime client state since"},
		{control.Result{}, "name from to state took_us lost_us steps"},
		{control.Step{}, "step at_us"},
		{control.Status{}, "version healthy networks warnings"},
		{control.Warning{}, "code text since"},
	} {
		have := " " + keys(tt.v) + " "
		for _, k := range strings.Fields(tt.want) {
			if !strings.Contains(have, " "+k+" ") {
				t.Errorf("%T lacks %s: %s", tt.v, k, have)
			}
		}
	}
}

// TestImport sends a lease file that is larger than any other request may be.
func TestImport(t *testing.T) {
	f := &fake{}
	c := start(t, f)
	req := control.ImportRequest{DryRun: true, Files: []control.LeaseFile{{Path: "/var/lib/misc/dnsmasq.leases", Text: strings.Repeat("0 02:00:00:00:00:01 10.0.0.9 * *\n", 60_000)}}}
	done, err := c.Import(t.Context(), req)
	if err != nil || !done.DryRun || done.Same != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
	if diff := cmp.Diff(req, f.asked); diff != "" {
		t.Errorf("asked (-sent +heard):\n%s", diff)
	}
	f.err = &ipam.Problem{Code: ipam.CodeUsage, Text: "no lease file was given", Hint: "berth import dnsmasq --leases FILE"}
	var problems ipam.Problems
	if _, err := c.Import(t.Context(), control.ImportRequest{}); !errors.As(err, &problems) || problems[0].Hint == "" {
		t.Errorf("got %v", err)
	}
}
