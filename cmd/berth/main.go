// Command berth gives every container on a Linux bridge the address it is pinned
// to, and moves running ones to a new address in milliseconds.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the Makefile; without it the module's own build information serves.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], newUI(os.Stdin, os.Stdout, os.Stderr)))
}

// run is main without the process: it returns the exit code (0 done, 1 failed, 2 usage).
func run(ctx context.Context, args []string, u *ui) int {
	u.json = asksForJSON(args) // an error of the flags themselves is told in JSON, too
	root := newRoot(u)
	root.SetArgs(args)
	root.SetOut(u.out)
	root.SetErr(u.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, errSilent) {
		return 1
	}
	u.fail(err)
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

func asksForJSON(args []string) bool {
	for _, a := range args {
		switch a {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}

func newRoot(u *ui) *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Fixed addresses for running containers",
		Long: `berth gives every container on a Linux bridge the address it is pinned to, and
moves a running container to a new address in milliseconds: nothing is restarted,
no connection is cut.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{text: err.Error(), hint: cmd.CommandPath() + " --help"}
	})
	root.PersistentFlags().StringVar(&u.socket, "socket", envOr("BERTH_SOCKET", defaultSocket), "the daemon's control socket (env BERTH_SOCKET)")
	root.PersistentFlags().BoolVar(&u.json, "json", u.json, "print JSON; errors too, on stderr")
	root.AddCommand(
		serveCommand(u), downCommand(u),
		pinCommand(u), unpinCommand(u), swapCommand(u), reloadCommand(u), importCommand(u),
		lsCommand(u), showCommand(u), whyCommand(u), statusCommand(u),
		demoCommand(u), demoApplyCommand(), demoClientCommand(), versionCommand(u),
	)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SuggestionsMinimumDistance = 2 // letters that may differ; without it only beginnings are found
	return root
}

// unknownVerb names the verb that was probably meant.
func unknownVerb(cmd *cobra.Command, verb string) error {
	hint := "berth --help lists the verbs"
	if near := cmd.SuggestionsFor(verb); len(near) > 0 {
		hint = "did you mean: berth " + strings.Join(near, ", berth ")
	}
	return &usageError{text: "there is no verb " + verb, hint: hint}
}

// Where things lie unless the command line says otherwise.
const (
	defaultSocket = "/run/berth/berth.sock"
	defaultConfig = "/etc/berth/berth.toml"
	defaultPins   = "/etc/berth/pins"
	defaultState  = "/var/lib/berth"
)

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// errSilent ends the command with exit 1; what there is to say was said.
var errSilent = errors.New("failed, and said why")

// usageError is a command line that says nothing sensible: exit 2.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// exactArgs asks for the named arguments, no more and no fewer.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return &usageError{text: "missing " + strings.Join(names[len(args):], " "), hint: cmd.UseLine()}
		case len(args) > len(names):
			return &usageError{text: "too many arguments: " + strings.Join(args[len(names):], " "), hint: cmd.UseLine()}
		}
		for i, a := range args {
			if a == "" {
				return &usageError{text: names[i] + " is empty", hint: cmd.UseLine()}
			}
		}
		return nil
	}
}

func usageProblem(text, hint string) error {
	return &usageError{text: text, hint: hint}
}
