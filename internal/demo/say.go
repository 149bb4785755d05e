package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"berth/internal/control"
)

// head starts an act.
func (p *play) head(text string) { fmt.Fprintf(p.Out, "\n%s\n", p.paint(1, text)) }

// say is one line of the timeline.
func (p *play) say(format string, args ...any) {
	fmt.Fprintf(p.Out, "%6.2f s  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// command shows what a user would type.
func (p *play) command(format string, args ...any) {
	p.say("%s %s", p.paint(2, "$"), fmt.Sprintf(format, args...))
}

// results prints what a change did to each guest.
func (p *play) results(out control.Outcome) {
	for _, r := range out.Results {
		lost := "never without an address"
		if r.LostUS > 0 {
			lost = "without an address for " + p.millis(time.Duration(r.LostUS)*time.Microsecond)
		}
		p.say("%s: %s → %s in %s, %s", r.Name, join(r.From), p.paint(32, join(r.To)), p.millis(time.Duration(r.TookUS)*time.Microsecond), lost)
	}
}

// steps prints the timeline of one move.
func (p *play) steps(r control.Result) {
	for _, s := range r.Steps {
		fmt.Fprintf(p.Out, "            %s  %s\n", p.paint(2, fmt.Sprintf("%7.2f ms", float64(s.AtUS)/1e3)), s.Step)
	}
}

func (p *play) millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func (p *play) paint(code int, s string) string {
	if !p.Colour {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, s)
}

func join(addrs []netip.Addr) string {
	parts := make([]string, len(addrs))
	for i, a := range addrs {
		parts[i] = a.String()
	}
	return strings.Join(parts, " ")
}

// lastLines is the end of what a program said.
func lastLines(said []byte) string {
	text := strings.TrimSpace(string(said))
	const most = 2000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return text
}
