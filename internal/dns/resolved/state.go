package resolved

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"berth/internal/ipam"
)

// State says in one sentence whether this host resolves the names of a network, or
// what to type so that it does; "" for a network that Set does not know.
func (r *Registrar) State(network string) string {
	r.mu.Lock()
	o, ok := r.outcomes[network]
	r.mu.Unlock()
	l := o.link
	switch {
	case !ok:
		return ""
	case o.absent:
		return withoutResolved(l, r.o.ResolvConf)
	case o.err != nil:
		p := refusal(l, o.err)
		if p.Hint == "" {
			return p.Text
		}
		return p.Text + ": " + p.Hint
	case !o.told:
		return "systemd-resolved is being told"
	}
	told := fmt.Sprintf("systemd-resolved asks %s for %s", l.Gateway, namesOf(l))
	if asksResolved(r.o.ResolvConf, r.o.NSSwitch) {
		return told
	}
	return told + ", but programs here do not ask systemd-resolved: ln -sf ../run/systemd/resolve/stub-resolv.conf " + r.o.ResolvConf
}

// namesOf says which names are meant.
func namesOf(l Link) string {
	if name := domainOf(l); name != "" {
		return "*." + name
	}
	return "the addresses of " + l.Subnet.String()
}

// refusal says why resolved does not know a network, and what helps.
func refusal(l Link, err error) *ipam.Problem {
	p := &ipam.Problem{
		Code: ipam.CodeHost, Err: err,
		Text: fmt.Sprintf("systemd-resolved does not ask %s for %s: %s; berth tries again", l.Gateway, namesOf(l), cause(err)),
	}
	if l.Name == "" {
		p.Text = fmt.Sprintf("systemd-resolved does not forget interface %d: %s", l.Index, cause(err))
		p.Hint = fmt.Sprintf("resolvectl revert %d", l.Index)
	}
	if isError(err, busName+".Error.AccessDenied", busName+".Error.InteractiveAuthorizationRequired") {
		p.Code = ipam.CodeDenied
		if l.Name != "" {
			p.Hint = fmt.Sprintf("sudo resolvectl dns %s %s && sudo resolvectl domain %s %s", l.Name, l.Gateway, l.Name, routes(l))
		}
	}
	return p
}

// routes are the link's domains as resolvectl takes them.
func routes(l Link) string {
	var list []string
	for _, d := range domainsFor(l) {
		list = append(list, "'~"+d.Name+"'")
	}
	return strings.Join(list, " ")
}

// cause is the last error without the names of methods around it.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it does not answer"
	}
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return err.Error()
}
