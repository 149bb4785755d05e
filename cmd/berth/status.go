package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/internal/control"
)

func statusCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the daemon's health and what needs attention",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := control.NewClient(u.socket).Status(cmd.Context())
			if err != nil {
				return err
			}
			if u.json {
				return u.printJSON(st)
			}
			health := u.paint("green", "healthy")
			if !st.Healthy {
				health = u.paint("red", "not healthy")
			}
			u.printf("berth %s: %s, pid %d, up %s, revision %d\n", st.Version, health, st.PID, time.Since(st.Started).Round(time.Second), st.Rev)
			files := append([]string{st.Config, st.Pins}, st.Files...)
			u.printf("files: %s\n", printable(strings.Join(unique(files), ", ")))
			for _, n := range st.Networks {
				u.printf("network %s: %s, range %s, domain %s, %d ports, %d pins, %d leases, %d free\n",
					n.Name, n.Gateway, n.Range, dash(n.Domain), n.Ports, n.Pins, n.Leases, n.Free)
				u.printf("  names on this host: %s\n", printable(dash(n.Resolver)))
			}
			for _, w := range st.Warnings {
				u.printf("%s %s\n", u.paint("yellow", "warning:"), printable(w.Text))
				if w.Hint != "" {
					u.printf("  hint: %s\n", printable(w.Hint))
				}
			}
			return nil
		},
	}
}

// unique leaves out what comes a second time.
func unique(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

func reloadCommand(u *ui) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Read all files again and apply them (saving a file does the same)",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := control.NewClient(u.socket).Reload(cmd.Context(), dryRun)
			return u.changed(out, err, func(out control.Outcome) {
				u.printf("reloaded; %s\n", count(len(out.Results), "guest", "guests")+" moved")
				for _, r := range out.Results {
					u.printf("%s\n", u.resultLine(r))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}

func versionCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			if u.json {
				return u.printJSON(map[string]string{"version": versionString()})
			}
			u.printf("berth %s\n", versionString())
			return nil
		},
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
