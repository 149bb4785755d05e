package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// ApplyVerb is the hidden verb by which a DHCP client hands over what it learned:
// the script that udhcpc calls starts this program with it.
const ApplyVerb = "demo-apply"

// ClientVerb is the hidden verb that runs the built-in DHCP client.
const ClientVerb = "demo-dhcp"

// startClient starts a DHCP client on eth0 of the present namespace and says which:
// busybox udhcpc where it is installed, else the one built in. Neither sends a host
// name: who is asking is known by the port it is plugged into.
func startClient(ctx context.Context, self, dir string) (*exec.Cmd, string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil || !hasUdhcpc(busybox) {
		cmd := exec.CommandContext(ctx, self, ClientVerb, "-i", "eth0")
		// Called like the client whose signals it understands, so that it is told like it.
		cmd.Args[0] = "udhcpc"
		return cmd, "berth's own DHCP client (no busybox here)", cmd.Start()
	}
	script, err := writeScript(self, dir)
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, busybox, "udhcpc", "-f", "-i", "eth0", "-s", script, "-t", "5", "-T", "1", "-A", "1")
	return cmd, "busybox udhcpc", cmd.Start()
}

// hasUdhcpc reports whether this busybox was built with udhcpc.
func hasUdhcpc(busybox string) bool {
	out, err := exec.Command(busybox, "--list").Output()
	return err == nil && slices.Contains(strings.Fields(string(out)), "udhcpc")
}

// writeScript makes udhcpc's script: this very program, by way of the first line. The
// link keeps that line free of spaces, which the kernel would split at.
func writeScript(self, dir string) (string, error) {
	link := filepath.Join(dir, "berth")
	if err := os.Symlink(self, link); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("link to this program: %w", err)
	}
	script := filepath.Join(dir, "udhcpc.script")
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!%s %s\n", link, ApplyVerb), 0o755); err != nil {
		return "", fmt.Errorf("script for udhcpc: %w", err)
	}
	return script, nil
}

// Apply does what a udhcpc script does: event is udhcpc's ("deconfig", "bound",
// "renew", …), getenv gives the variables interface, ip, mask and router.
func Apply(event string, getenv func(string) string) error {
	switch event {
	case "deconfig":
		return configure(getenv("interface"), netip.Prefix{}, netip.Addr{})
	case "bound", "renew":
		addr, err := netip.ParseAddr(getenv("ip"))
		if err != nil {
			return fmt.Errorf("address %q: %w", getenv("ip"), err)
		}
		bits := 24
		if _, err := fmt.Sscan(getenv("mask"), &bits); err != nil {
			return fmt.Errorf("mask %q: %w", getenv("mask"), err)
		}
		router, _ := netip.ParseAddr(getenv("router"))
		return configure(getenv("interface"), netip.PrefixFrom(addr, bits), router)
	}
	return nil
}

// configure makes want the interface's one address of its length (none when want is
// the zero Prefix) and router its default gateway.
func configure(nic string, want netip.Prefix, router netip.Addr) error {
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return fmt.Errorf("interface %s: %w", nic, err)
	}
	if want.IsValid() {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: want.Addr().AsSlice(), Mask: net.CIDRMask(want.Bits(), 32)}}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add %s: %w", want, err)
		}
	}
	present, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", nic, err)
	}
	for _, a := range present {
		ones, _ := a.Mask.Size()
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if ip == want.Addr() || want.IsValid() && ones != want.Bits() {
			continue // ours, or one that somebody lets drain
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return fmt.Errorf("delete %s: %w", ip, err)
		}
	}
	if !router.IsValid() {
		return nil
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: router.AsSlice()}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("default route by %s: %w", router, err)
	}
	return nil
}
