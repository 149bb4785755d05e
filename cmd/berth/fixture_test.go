package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/internal/control"
	"berth/internal/ipam"
)

// fixture is a daemon that answers what lies in files of the script's folder:
// guests.json, outcome.json, why.json and status.json, and problems.json, which comes before any
// of them. What it was asked to change it writes to request.json.
type fixture struct{ dir func(name string) string }

// startFixture is the script command "fixture": it serves at $BERTH_SOCKET until the script ends.
func startFixture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: fixture")
	}
	listener, err := control.Listen(ts.Getenv("BERTH_SOCKET"))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, listener, &fixture{dir: ts.MkAbs}, slog.New(slog.DiscardHandler))
	}()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
}

// read fills v from a file; problems.json fails it.
func (f *fixture) read(name string, v any) error {
	if data, err := os.ReadFile(f.dir("problems.json")); err == nil {
		var problems ipam.Problems
		if err := json.Unmarshal(data, &problems); err != nil {
			return err
		}
		// With an outcome beside, part of the change was done.
		if data, err := os.ReadFile(f.dir(name)); err == nil {
			_ = json.Unmarshal(data, v) // the problems are what counts
		}
		return problems
	}
	data, err := os.ReadFile(f.dir(name))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func (f *fixture) change(request any) (control.Outcome, error) {
	data, err := json.Marshal(request)
	if err == nil {
		err = os.WriteFile(f.dir("request.json"), append(data, '\n'), 0o644)
	}
	if err != nil {
		return control.Outcome{}, err
	}
	var out control.Outcome
	return out, f.read("outcome.json", &out)
}

func (f *fixture) Guests(context.Context) ([]control.Guest, error) {
	guests := []control.Guest{}
	return guests, f.read("guests.json", &guests)
}

func (f *fixture) Pin(_ context.Context, req control.PinRequest) (control.Outcome, error) {
	return f.change(req)
}

func (f *fixture) Unpin(_ context.Context, req control.UnpinRequest) (control.Outcome, error) {
	return f.change(req)
}

func (f *fixture) Swap(_ context.Context, req control.SwapRequest) (control.Outcome, error) {
	return f.change(req)
}

func (f *fixture) Reload(_ context.Context, dryRun bool) (control.Outcome, error) {
	return f.change(control.ReloadRequest{DryRun: dryRun})
}

func (f *fixture) Import(_ context.Context, req control.ImportRequest) (control.Import, error) {
	if _, err := f.change(req); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return control.Import{}, err
	}
	var done control.Import
	return done, f.read("import.json", &done)
}

func (f *fixture) Why(_ context.Context, subject string) (control.Why, error) {
	why := control.Why{Subject: subject}
	return why, f.read("why.json", &why)
}

func (f *fixture) Status(context.Context) (control.Status, error) {
	var st control.Status
	return st, f.read("status.json", &st)
}
