package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"berth/internal/demo"
)

func demoCommand(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show in ten seconds what berth is for; touches nothing of this machine",
		Long: `demo plays the main job on real parts inside a private network namespace: a bridge
served by this very program, three guests with a DHCP client, a pin, a swap and a
saved pins file. It needs root, or a kernel that allows ordinary users namespaces.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.json {
				return usageProblem("demo tells a story, not JSON", "berth demo")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if demo.Inside() {
				err := demo.Run(cmd.Context(), demo.Options{Out: u.out, Self: self, Colour: u.colour})
				if errors.Is(err, context.Canceled) {
					return errSilent // ^C: whoever typed it knows
				}
				return err
			}
			args := os.Args[1:]
			code, err := demo.Enter(cmd.Context(), self, args, u.out, u.err)
			if err != nil {
				return err
			}
			if code != 0 {
				return errSilent
			}
			return nil
		},
	}
}

// demoApplyCommand is what the demo's DHCP client calls with what it learned.
func demoApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use: demo.ApplyVerb, Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return demo.Apply(args[len(args)-1], os.Getenv)
		},
	}
}

// demoClientCommand is the demo's own DHCP client, for machines without busybox.
func demoClientCommand() *cobra.Command {
	var nic string
	cmd := &cobra.Command{
		Use: demo.ClientVerb, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.RunClient(cmd.Context(), nic)
		},
	}
	cmd.Flags().StringVarP(&nic, "interface", "i", "eth0", "the interface to configure")
	return cmd
}
