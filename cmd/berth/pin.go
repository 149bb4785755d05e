package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/internal/control"
	"berth/internal/ipam"
)

func pinCommand(u *ui) *cobra.Command {
	var req control.PinRequest
	var wait string
	cmd := &cobra.Command{
		Use:   "pin NAME ADDRESS",
		Short: "Give a guest a fixed address; a running one has it at once",
		Long: `pin writes NAME,ADDRESS into the pins file and, when the guest runs, moves it: the
command returns as soon as the guest really has the address, as read from its
network namespace and answered by ARP. The guest need not exist yet. A dynamic
holder of the address is moved away in the same step.

The old address stays usable for the drain time, so that open connections survive.`,
		Example: "  berth pin cent01 10.64.177.101\n  berth pin cent01 10.64.177.101 --drain 5m --wait settled",
		Args:    exactArgs("NAME", "ADDRESS"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeGuests(cmd, u, args, 1)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := netip.ParseAddr(args[1])
			if err != nil {
				return usageProblem(fmt.Sprintf("%s is no address", args[1]), "berth pin "+args[0]+" 10.64.177.101")
			}
			req.Name, req.Addr = args[0], addr
			if req.Wait, req.Settle, err = parseWait(wait); err != nil {
				return err
			}
			if req.Drain, err = drainOf(cmd); err != nil {
				return err
			}
			out, err := control.NewClient(u.socket).Pin(cmd.Context(), req)
			return u.changedOne(out, err, u.pinned)
		},
	}
	flags := cmd.Flags()
	drainFlag(cmd)
	flags.StringVar(&wait, "wait", "10s", `wait this long for the guest to have the address, or "settled": until its DHCP client knows too`)
	flags.BoolVar(&req.DryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}

// drainFlag gives the command --drain.
func drainFlag(cmd *cobra.Command) {
	cmd.Flags().Duration("drain", 0, "keep the old address this long too; 0 cuts at once (default: the network's drain)")
}

// drainOf is the value of --drain, nil when it was not given.
func drainOf(cmd *cobra.Command) (*time.Duration, error) {
	if !cmd.Flags().Changed("drain") {
		return nil, nil
	}
	drain, err := cmd.Flags().GetDuration("drain")
	switch {
	case err != nil:
	case drain < 0:
		err = usageProblem("--drain is negative", "--drain 0 cuts at once")
	case drain > control.MaxDrain:
		err = usageProblem(fmt.Sprintf("--drain %s is too long", drain), fmt.Sprintf("at most %s", control.MaxDrain))
	}
	return &drain, err
}

// parseWait reads the value of --wait.
func parseWait(s string) (wait time.Duration, settle bool, err error) {
	if s == "settled" {
		return 0, true, nil
	}
	wait, err = time.ParseDuration(s)
	if err != nil || wait < 0 {
		return 0, false, usageProblem(fmt.Sprintf("--wait %s is no duration", s), "--wait 10s, or --wait settled")
	}
	return wait, false, nil
}

func unpinCommand(u *ui) *cobra.Command {
	var req control.UnpinRequest
	cmd := &cobra.Command{
		Use:     "unpin NAME",
		Short:   "Take a pin away; the guest keeps its address as an ordinary lease",
		Example: "  berth unpin cent01",
		Args:    exactArgs("NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeGuests(cmd, u, args, 1)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			out, err := control.NewClient(u.socket).Unpin(cmd.Context(), req)
			return u.changedOne(out, err, func(out control.Outcome) {
				for _, r := range out.Results {
					if len(r.To) == 0 {
						u.printf("%s  unpinned; it never had the address\n", printable(r.Name))
						continue
					}
					u.printf("%s  unpinned; keeps %s as a lease\n", printable(r.Name), addrs(r.To))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}

func swapCommand(u *ui) *cobra.Command {
	var req control.SwapRequest
	cmd := &cobra.Command{
		Use:     "swap NAME NAME",
		Short:   "Exchange two guests' pins in one step",
		Example: "  berth swap blue green",
		Args:    exactArgs("NAME", "NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeGuests(cmd, u, args, 2)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Names = [2]string{args[0], args[1]}
			var err error
			if req.Drain, err = drainOf(cmd); err != nil {
				return err
			}
			out, err := control.NewClient(u.socket).Swap(cmd.Context(), req)
			return u.changed(out, err, u.pinned)
		},
	}
	drainFlag(cmd)
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}

// oneResult is what --json prints of a change of one guest: its result, and beside it
// what else came of the change.
type oneResult struct {
	control.Result
	Rev      uint64           `json:"rev"`
	Also     []control.Result `json:"also,omitempty"` // the others that were moved for it
	Warnings []*ipam.Problem  `json:"warnings,omitempty"`
}

// changedOne is changed for a verb about one guest.
func (u *ui) changedOne(out control.Outcome, err error, human func(control.Outcome)) error {
	if !u.json || out.DryRun || len(out.Results) == 0 {
		return u.changed(out, err, human)
	}
	one := oneResult{Result: out.Results[0], Rev: out.Rev, Also: out.Results[1:], Warnings: out.Warnings}
	if jerr := u.printJSON(one); jerr != nil {
		return jerr
	}
	return err
}

// changed prints the outcome of a change, or its plan, and what went wrong.
func (u *ui) changed(out control.Outcome, err error, human func(control.Outcome)) error {
	if err != nil && len(out.Results) == 0 {
		return err
	}
	switch {
	case u.json:
		if jerr := u.printJSON(out); jerr != nil {
			return jerr
		}
	case out.DryRun:
		u.plan(out)
	default:
		human(out)
	}
	for _, w := range out.Warnings {
		u.warn(w)
	}
	return err
}

// plan prints a dry run.
func (u *ui) plan(out control.Outcome) {
	if len(out.Plan) == 0 {
		u.printf("nothing would change\n")
	}
	for _, p := range out.Plan {
		u.printf("would %s\n", printable(p.Text))
	}
}

// pinned prints what became of each guest.
func (u *ui) pinned(out control.Outcome) {
	if len(out.Results) == 0 {
		u.printf("nothing to do: it is so already\n")
	}
	for _, r := range out.Results {
		u.printf("%s\n", u.resultLine(r))
	}
}

func (u *ui) resultLine(r control.Result) string {
	name := u.paint("bold", printable(r.Name))
	to := addrs(r.To)
	switch {
	case r.Error != "":
		return fmt.Sprintf("%s  %s: %s", name, u.paint("red", "not moved"), printable(r.Error))
	case r.State == control.Absent || r.State == control.Stopped:
		return fmt.Sprintf("%s  %s  pinned; the guest is %s and gets it when it starts", name, to, r.State)
	case len(r.From) == 0 || addrs(r.From) == to:
		return fmt.Sprintf("%s  %s  %s", name, to, u.stateWords(r))
	}
	return fmt.Sprintf("%s  %s → %s  in %s  %s", name, addrs(r.From), u.paint("green", to), micros(r.TookUS), u.stateWords(r))
}

// stateWords says how far the guest's own DHCP client is.
func (u *ui) stateWords(r control.Result) string {
	words := []string{string(r.State)}
	if r.Client != "" && r.Client != "none" {
		words = append(words, "("+printable(r.Client)+")")
	}
	if r.State == control.Settling && !r.Until.IsZero() {
		words = append(words, "until "+r.Until.Local().Format(time.TimeOnly))
	}
	return strings.Join(words, " ")
}

// completeGuests offers the names of guests for the first n arguments.
func completeGuests(cmd *cobra.Command, u *ui, args []string, n int) ([]string, cobra.ShellCompDirective) {
	if len(args) >= n {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	guests, err := control.NewClient(u.socket).Guests(cmd.Context(), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, g := range guests {
		if ipam.CheckName(g.Name) == nil {
			names = append(names, g.Name+"\t"+addrs(append(g.Pinned, g.Leased...)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
