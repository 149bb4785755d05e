package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"berth": main})
}

// One file of testdata/script is one behaviour of the command line. The daemon that a
// script talks to, if it starts one, is a fixture: what the real one does is tested in test/e2e.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fixture": startFixture,
			"exit1":   exits(1),
			"exit2":   exits(2),
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("BERTH_SOCKET", filepath.Join(env.WorkDir, "berth.sock"))
			env.Setenv("TZ", "UTC")
			return nil
		},
	})
}

// exits is the script command that runs a program and wants it to fail with a code.
func exits(code int) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: exit%d program [argument...]", code)
		}
		err := ts.Exec(args[0], args[1:]...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code {
			ts.Fatalf("%v; want exit code %d", err, code)
		}
	}
}
