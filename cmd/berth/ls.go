package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/internal/control"
)

func lsCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the guests: what they should have, and what they really have",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			guests, err := control.NewClient(u.socket).Guests(cmd.Context(), "")
			if err != nil {
				return err
			}
			if u.json {
				return u.printJSON(guests)
			}
			if len(guests) == 0 {
				u.printf("no guest is plugged in and nothing is pinned yet\n")
				return nil
			}
			rows := make([][]string, len(guests))
			for i, g := range guests {
				rows[i] = []string{g.Name, addrs(g.Configured), addrs(g.Pinned), addrs(g.DNS), state(g), g.Client, g.Runtime, g.Port, g.MAC, g.Network}
			}
			u.table([]string{"NAME", "ADDRESS", "PINNED", "DNS", "STATE", "CLIENT", "RUNTIME", "PORT", "MAC", "NETWORK"}, rows)
			for _, g := range guests {
				if g.Note != "" {
					u.printf("%s: %s\n", printable(g.Name), printable(g.Note))
				}
			}
			return nil
		},
	}
}

// state marks what disagrees, so that it can be found without colour too.
func state(g control.Guest) string {
	s := string(g.State)
	if g.State == control.Drift {
		s += "!"
	}
	if len(g.Draining) > 0 {
		s += " (draining " + addrs(g.Draining) + ")"
	}
	return s
}

func showCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show everything about one guest",
		Args:  exactArgs("NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeGuests(cmd, u, args, 1)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			guests, err := control.NewClient(u.socket).Guests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if u.json {
				return u.printJSON(guests)
			}
			for i, g := range guests {
				if i > 0 {
					u.printf("\n")
				}
				u.show(g)
			}
			return nil
		},
	}
}

func (u *ui) show(g control.Guest) {
	since := ""
	if !g.Since.IsZero() {
		since = " since " + g.Since.Local().Format(time.DateTime)
	}
	rows := [][2]string{
		{"network", g.Network}, {"state", state(g) + since}, {"note", g.Note},
		{"pinned", addrs(g.Pinned)}, {"leased", addrs(g.Leased)},
		{"configured", addrs(g.Configured)}, {"draining", addrs(g.Draining)}, {"dns", addrs(g.DNS)},
		{"hardware address", g.MAC}, {"port", g.Port}, {"runtime", g.Runtime}, {"dhcp client", g.Client},
	}
	if !g.Expiry.IsZero() {
		rows = append(rows, [2]string{"lease until", g.Expiry.Local().Format(time.DateTime)})
	}
	if !g.Expected.IsZero() {
		rows = append(rows, [2]string{"settled by", g.Expected.Local().Format(time.DateTime)})
	}
	u.printf("%s\n", u.paint("bold", printable(g.Name)))
	for _, r := range rows {
		if r[1] == "" && (r[0] == "note" || r[0] == "draining") {
			continue
		}
		u.printf("  %s%s%s\n", r[0], strings.Repeat(" ", 18-len(r[0])), printable(dash(r[1])))
	}
}

func whyCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:     "why NAME|ADDRESS",
		Short:   "Say which line, lease or range decided an address",
		Example: "  berth why cent01\n  berth why 10.64.177.101",
		Args:    exactArgs("NAME|ADDRESS"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeGuests(cmd, u, args, 1)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := control.NewClient(u.socket).Why(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if u.json {
				return u.printJSON(why)
			}
			for _, line := range why.Because {
				u.printf("%s\n", printable(line))
			}
			return nil
		},
	}
}
