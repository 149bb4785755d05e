package main

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"berth/internal/daemon"
)

func serveCommand(u *ui) *cobra.Command {
	opts := daemon.Options{}
	var level string
	sources := []string{"config", "lxd-bridge", "lxc-net"}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon in the foreground",
		Long: `serve makes each network of berth.toml: its bridge, address, NAT, DHCP and DNS. It
watches berth.toml and the pins file and applies what is saved; SIGHUP reads them again.

Without a berth.toml it takes the place of an older service, whose files it reads as they
lie: /etc/default/lxd-bridge, else /etc/default/lxc-net, and the configuration of
dnsmasq that belongs to them. Their dhcp-host lines are pins that no command changes. These
files are watched too. One that says that the bridge is switched off ends serve
with exit 0.

Stopping it leaves bridge, addresses, NAT and guests as they are: only "berth
down" takes them away.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lvl slog.Level
			if err := lvl.UnmarshalText([]byte(level)); err != nil {
				return usageProblem("--log-level "+level+" is no level", "--log-level debug, info, warn or error")
			}
			named := 0
			for _, name := range sources {
				if cmd.Flags().Changed(name) {
					named++
				}
			}
			if named > 1 {
				return usageProblem("only one of --"+strings.Join(sources, ", --")+" can be given", "name the one file that the networks are in")
			}
			opts.Search = named == 0
			opts.Log = slog.New(slog.NewTextHandler(u.err, &slog.HandlerOptions{Level: lvl, ReplaceAttr: underJournal()}))
			opts.Socket, opts.Version, opts.Lines = u.socket, versionString(), u.err
			err := daemon.Run(cmd.Context(), opts)
			if daemon.IsOff(err) {
				u.fail(err)
				return nil
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Config, "config", defaultConfig, "the networks")
	flags.StringVar(&opts.LXDBridge, "lxd-bridge", "", "a file of lxd-bridge with the network, in place of --config")
	flags.StringVar(&opts.LXCNet, "lxc-net", "", "a file of lxc-net with the network, in place of --config")
	flags.StringVar(&opts.Pins, "pins", defaultPins, "the pins file")
	flags.StringVar(&opts.State, "state", defaultState, "where the ledger is kept")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// underJournal drops the time from log lines when the journal stamps them itself.
func underJournal() func([]string, slog.Attr) slog.Attr {
	if envOr("JOURNAL_STREAM", "") == "" {
		return nil
	}
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
}

func downCommand(u *ui) *cobra.Command {
	opts := daemon.DownOptions{}
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take away everything berth put on this host: bridge, addresses, NAT, sysctls",
		Long: `down takes away exactly what berth put there, whatever the configuration says by
now, and leaves the ledger, the pins and the configuration. Stop the daemon first.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Socket = u.socket
			done, err := daemon.Down(cmd.Context(), opts)
			if u.json {
				if done == nil {
					done = []string{}
				}
				if jerr := u.printJSON(map[string]any{"dry_run": opts.DryRun, "done": done}); jerr != nil {
					return jerr
				}
				return err
			}
			if len(done) == 0 && err == nil {
				u.printf("nothing of berth's is on this host\n")
			}
			prefix := ""
			if opts.DryRun {
				prefix = "would "
			}
			for _, line := range done {
				u.printf("%s%s\n", prefix, printable(strings.TrimSpace(line)))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&opts.State, "state", defaultState, "where the ledger is kept")
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}
