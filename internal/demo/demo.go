// Package demo plays berth's main job on real parts inside a private network
// namespace: a bridge served by this very binary, three guests with a DHCP client,
// and what happens to them when their pins change.
package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
)

// Options say how to play.
type Options struct {
	Out    io.Writer
	Self   string // this program, to start as daemon and as DHCP client
	Colour bool
	Log    *slog.Logger
}

const (
	bridge  = "demobr0"
	domain  = "demo"
	gateway = "10.64.177.1"
	config  = `# the whole configuration of this demo
[network.demobr0]
ipv4   = "10.64.177.1/24"
domain = "demo"
drain  = "30s"
upstream = []
`
	pinsHeader = "# NAME,ADDRESS: save this file, and it has happened\n"
)

// guests of the demo, in order of appearance.
func guestNames() []string { return []string{"web", "blue", "green"} }

// play is the running demo.
type play struct {
	Options
	began   time.Time
	dir     string
	pins    string
	client  *control.Client
	guests  map[string]*guest
	clients string // which DHCP client the guests run
}

// Run plays the story from inside the namespaces that Enter made. It returns when
// the story is told and everything it started has ended.
func Run(ctx context.Context, opts Options) error {
	if err := settle(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &play{Options: opts, began: time.Now(), dir: "/run/berth-demo", guests: make(map[string]*guest)}
	p.pins = filepath.Join(p.dir, "pins")
	p.client = control.NewClient(filepath.Join(p.dir, "sock"))
	stop, err := p.serve(ctx)
	defer func() {
		for _, g := range p.guests {
			g.stop()
		}
		cancel()
		stop()
	}()
	if err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{p.boot, p.pin, p.swap, p.edit, p.end} {
		if err := act(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
	return nil
}

// serve starts the daemon on a configuration of its own and waits until it answers.
// The returned function waits until it has ended, after the context.
func (p *play) serve(ctx context.Context) (func(), error) {
	stop := func() {}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return stop, fmt.Errorf("demo folder: %w", err)
	}
	for name, text := range map[string]string{"berth.toml": config, "pins": pinsHeader} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			return stop, fmt.Errorf("demo configuration: %w", err)
		}
	}
	logFile, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return stop, fmt.Errorf("demo log: %w", err)
	}
	defer logFile.Close()
	cmd := exec.CommandContext(ctx, p.Self, "serve",
		"--config", filepath.Join(p.dir, "berth.toml"), "--pins", p.pins,
		"--state", filepath.Join(p.dir, "state"), "--socket", filepath.Join(p.dir, "sock"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		return stop, fmt.Errorf("start the daemon: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop = func() { <-exited }
	for {
		if _, err := p.client.Status(ctx); err == nil {
			return stop, nil
		}
		select {
		case err := <-exited:
			exited <- err
			said, _ := os.ReadFile(logFile.Name())
			return stop, &ipam.Problem{Code: ipam.CodeHost, Text: fmt.Sprintf("the demo's daemon did not start: %s", lastLines(said)), Hint: "report this, please, with the lines above"}
		case <-ctx.Done():
			return stop, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// boot plugs in the guests and waits for their first, dynamic, addresses.
func (p *play) boot(ctx context.Context) error {
	p.head("A bridge, served by berth, and three guests. Nothing of this machine is touched.")
	p.say("bridge %s, %s/24, domain %s: DHCP, DNS and NAT by one process", bridge, gateway, domain)
	for _, name := range guestNames() {
		g, err := plug(ctx, p, name)
		if err != nil {
			return err
		}
		p.guests[name] = g
	}
	for _, name := range guestNames() {
		addr, err := p.address(ctx, name)
		if err != nil {
			return err
		}
		p.say("%-6s booted with %s: %s, from the range", name, p.clients, p.paint(1, addr.String()))
	}
	return nil
}

// pin moves a running guest while a TCP connection to its old address is open.
func (p *play) pin(ctx context.Context) error {
	p.head("One command, and the running guest has the address.")
	old, err := p.address(ctx, "web")
	if err != nil {
		return err
	}
	stream, err := p.openStream(ctx, p.guests["web"], old)
	if err != nil {
		return err
	}
	p.say("a TCP connection to web at %s is open and answers every 10 ms", old)
	before, err := p.resolve(ctx, "web")
	if err != nil {
		return err
	}
	to := netip.MustParseAddr("10.64.177.101")
	p.command("berth pin web %s", to)
	out, err := p.client.Pin(ctx, control.PinRequest{Name: "web", Addr: to})
	if err != nil {
		return err
	}
	p.results(out)
	p.steps(out.Results[0])
	after, err := p.resolve(ctx, "web")
	if err != nil {
		return err
	}
	p.say("web.demo in DNS: %s before, %s now", before, p.paint(32, after))
	if err := p.answers(ctx, to); err != nil {
		return err
	}
	if err := stream.want(ctx, 100); err != nil {
		return err
	}
	n, pause := stream.close()
	p.say("the TCP connection to %s lived: %d of %d answers, longest pause %s", old, n, n, p.millis(pause))
	return p.settled(ctx, "web")
}

// swap exchanges the addresses of two pinned guests in one step.
func (p *play) swap(ctx context.Context) error {
	p.head("Two guests swap their addresses in one step.")
	before := make(map[string]string)
	for i, name := range []string{"blue", "green"} {
		addr := netip.MustParseAddr("10.64.177.50")
		if i == 1 {
			addr = addr.Next()
		}
		p.command("berth pin %s %s", name, addr)
		out, err := p.client.Pin(ctx, control.PinRequest{Name: name, Addr: addr})
		if err != nil {
			return err
		}
		p.results(out)
		if err := p.settled(ctx, name); err != nil {
			return err
		}
		if before[name], err = p.resolve(ctx, name); err != nil {
			return err
		}
	}
	p.command("berth swap blue green")
	out, err := p.client.Swap(ctx, control.SwapRequest{Names: [2]string{"blue", "green"}})
	if err != nil {
		return err
	}
	p.results(out)
	for _, name := range []string{"blue", "green"} {
		addr, err := p.resolve(ctx, name)
		if err != nil {
			return err
		}
		p.say("%s.demo in DNS: %s before, %s now", name, before[name], p.paint(32, addr))
	}
	for _, name := range []string{"blue", "green"} {
		if err := p.settled(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// edit saves the pins file, as an editor would.
func (p *play) edit(ctx context.Context) error {
	p.head("Or save the pins file with any editor.")
	p.command("sed -i s/10.64.177.101/10.64.177.200/ %s", p.pins)
	before, err := p.resolve(ctx, "web")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(p.pins)
	if err != nil {
		return fmt.Errorf("pins file: %w", err)
	}
	saved := time.Now()
	if err := save(p.pins, strings.ReplaceAll(string(text), "10.64.177.101", "10.64.177.200")); err != nil {
		return err
	}
	if err := p.answers(ctx, netip.MustParseAddr("10.64.177.200")); err != nil {
		return err
	}
	took := time.Since(saved)
	addr, err := p.resolve(ctx, "web")
	if err != nil {
		return err
	}
	p.say("web answers at %s %s after the file was saved", p.paint(32, "10.64.177.200"), p.millis(took))
	p.say("web.demo in DNS: %s before, %s now", before, p.paint(32, addr))
	return p.settled(ctx, "web")
}

// save replaces a file as sed -i and most editors do.
func save(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return fmt.Errorf("save the pins file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save the pins file: %w", err)
	}
	return nil
}

// end shows the state as berth ls would, and what to type next.
func (p *play) end(ctx context.Context) error {
	p.head("What berth knows now:")
	guests, err := p.client.Guests(ctx, "")
	if err != nil {
		return err
	}
	for _, g := range guests {
		fmt.Fprintf(p.Out, "    %-6s %-15s %-8s %s\n", g.Name, join(g.Configured), g.State, g.Client)
	}
	p.head("For your own bridge: berth serve, then: berth pin NAME ADDRESS")
	return nil
}
