package firewall

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// Obstacles finds chains of other tables that drop what the networks of spec need: what guests
// forward, the answers to it, and their questions to DHCP and DNS. An accept of ours cannot
// undo a drop of theirs, so each problem names table and chain, and the command that lets
// the bridge pass. Rules whose conditions are beyond what is understood here are taken as not
// matching; tables of the old iptables-legacy are not seen.
func (f *Firewall) Obstacles(ctx context.Context, spec Spec) ([]*ipam.Problem, error) {
	var problems []*ipam.Problem
	err := f.conn.do(ctx, "read the nftables rules of others", func(c *nftables.Conn) error {
		chains, err := c.ListChains()
		if err != nil {
			return err
		}
		for _, ch := range chains {
			if !canDrop(ch) {
				continue
			}
			w := &walker{conn: c, base: ch, chains: chains, rules: map[string][]*nftables.Rule{}}
			for _, n := range spec.Networks {
				blocked, err := w.blocks(n.Bridge)
				if err != nil {
					return fmt.Errorf("table %s %s, chain %s: %w", family(ch.Table), ch.Table.Name, ch.Name, err)
				}
				if blocked != "" {
					problems = append(problems, w.problem(n.Bridge, blocked))
				}
			}
		}
		return nil
	})
	return problems, err
}

// canDrop reports whether the chain is a foreign one that IPv4 packets from or to a bridge pass.
func canDrop(ch *nftables.Chain) bool {
	if ch.Hooknum == nil || ch.Type != nftables.ChainTypeFilter {
		return false
	}
	if ch.Table.Family != nftables.TableFamilyINet && ch.Table.Family != nftables.TableFamilyIPv4 {
		return false
	}
	ours := ch.Table.Family == nftables.TableFamilyINet && ch.Table.Name == Table
	return !ours && (*ch.Hooknum == unix.NF_INET_FORWARD || *ch.Hooknum == unix.NF_INET_LOCAL_IN)
}

// blocks says what the chain keeps the bridge from, "" when from nothing.
func (w *walker) blocks(bridge string) (string, error) {
	input := *w.base.Hooknum == unix.NF_INET_LOCAL_IN
	probes := []probe{
		{iif: bridge, what: "what guests send out"},
		{oif: bridge, reply: true, what: "the answers to guests"},
	}
	if input {
		probes = []probe{{iif: bridge, service: true, what: "guests' DHCP and DNS questions"}}
	}
	for _, p := range probes {
		verdict, err := w.walk(w.base.Name, p, 0)
		if err != nil {
			return "", err
		}
		dropped := verdict == dropIt || verdict == goOn && w.base.Policy != nil && *w.base.Policy == nftables.ChainPolicyDrop
		if dropped {
			return p.what, nil
		}
	}
	return "", nil
}

func (w *walker) problem(bridge, what string) *ipam.Problem {
	tool, hint := w.remedy(bridge)
	text := fmt.Sprintf("table %s %s, chain %s%s drops %s on %s", family(w.base.Table), w.base.Table.Name, w.base.Name, tool, what, bridge)
	return &ipam.Problem{Code: ipam.CodeHost, Text: text, Hint: hint}
}

// remedy is who made the chain, as far as that can be told, and what to type: in the
// words of the tool, because rules put past it vanish when it reloads.
func (w *walker) remedy(bridge string) (tool, hint string) {
	input := *w.base.Hooknum == unix.NF_INET_LOCAL_IN
	choose := func(forward, in string) string {
		if input {
			return strings.ReplaceAll(in, "BRIDGE", bridge)
		}
		return strings.ReplaceAll(forward, "BRIDGE", bridge)
	}
	switch t := w.base.Table; {
	case t.Name == "firewalld":
		const trust = "firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE && firewall-cmd --reload"
		return " (firewalld)", choose(trust, trust)
	case w.has("ufw-user-forward"):
		return " (ufw)", choose(
			"ufw route allow in on BRIDGE && ufw route allow out on BRIDGE",
			"ufw allow in on BRIDGE to any port 53 && ufw allow in on BRIDGE to any port 67 proto udp")
	case !input && w.has("DOCKER-USER"):
		return " (Docker)", choose("iptables -I DOCKER-USER -i BRIDGE -j ACCEPT && iptables -I DOCKER-USER -o BRIDGE -j ACCEPT", "")
	case t.Family == nftables.TableFamilyIPv4 && t.Name == "filter" && w.base.Name == strings.ToUpper(w.base.Name):
		return " (iptables)", choose(
			"iptables -I FORWARD -i BRIDGE -j ACCEPT && iptables -I FORWARD -o BRIDGE -j ACCEPT",
			"iptables -I INPUT -i BRIDGE -p udp -m multiport --dports 53,67 -j ACCEPT && iptables -I INPUT -i BRIDGE -p tcp --dport 53 -j ACCEPT")
	default:
		at := fmt.Sprintf("nft 'insert rule %s %s %s ", family(t), t.Name, w.base.Name)
		return "", choose(
			at+`iifname "BRIDGE" accept' && `+at+`oifname "BRIDGE" accept'`,
			at+`iifname "BRIDGE" udp dport { 53, 67 } accept' && `+at+`iifname "BRIDGE" tcp dport 53 accept'`)
	}
}

// has reports whether the table has a chain of that name.
func (w *walker) has(name string) bool {
	for _, ch := range w.chains {
		if ch.Name == name && ch.Table.Name == w.base.Table.Name && ch.Table.Family == w.base.Table.Family {
			return true
		}
	}
	return false
}

func family(t *nftables.Table) string {
	if t.Family == nftables.TableFamilyIPv4 {
		return "ip"
	}
	return "inet"
}

var errTooDeep = errors.New("chains call each other too deeply")
