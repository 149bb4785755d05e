package firewall

import (
	"bytes"
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// probe is a packet of which only this much is known.
type probe struct {
	iif, oif string // "": some other interface
	reply    bool   // belongs to a connection that exists
	service  bool   // asks DHCP or DNS: a rule for the bridge that accepts some ports is taken to mean these
	what     string // as a person says it
}

type verdict int

const (
	goOn verdict = iota
	acceptIt
	dropIt
	comeBack // return
)

// walker follows a packet through the chains of one table.
type walker struct {
	conn   *nftables.Conn
	base   *nftables.Chain
	chains []*nftables.Chain
	rules  map[string][]*nftables.Rule // by chain
}

// walk is what the chain decides about p. The kernel allows calls 16 deep.
func (w *walker) walk(chain string, p probe, depth int) (verdict, error) {
	if depth > 16 {
		return goOn, errTooDeep
	}
	rules, ok := w.rules[chain]
	if !ok {
		var err error
		if rules, err = w.conn.GetRules(w.base.Table, &nftables.Chain{Name: chain, Table: w.base.Table}); err != nil {
			return goOn, err
		}
		w.rules[chain] = rules
	}
	for _, r := range rules {
		v, err := w.decide(r.Exprs, p, depth)
		if err != nil || v == acceptIt || v == dropIt {
			return v, err
		}
		if v == comeBack {
			return goOn, nil
		}
	}
	return goOn, nil
}

// decide is one rule's verdict; a rule that does not match, or may not, goes on.
func (w *walker) decide(exprs []expr.Any, p probe, depth int) (verdict, error) {
	m := matcher{walker: w, probe: p, loaded: map[uint32]any{}}
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			return w.obey(e, &m, depth)
		case *expr.Reject:
			return m.ifCertain(dropIt), nil
		case *expr.Target:
			if e.Name == "REJECT" {
				return m.ifCertain(dropIt), nil
			}
		default:
			matches, err := m.match(e)
			if err != nil || !matches {
				return goOn, err
			}
		}
	}
	if p.reply && m.stateMap {
		return acceptIt, nil
	}
	return goOn, nil
}

func (w *walker) obey(v *expr.Verdict, m *matcher, depth int) (verdict, error) {
	switch v.Kind {
	case expr.VerdictAccept:
		if m.probe.service && m.byName || m.probe.reply && m.byState {
			return acceptIt, nil
		}
		return m.ifCertain(acceptIt), nil
	case expr.VerdictDrop:
		return m.ifCertain(dropIt), nil
	case expr.VerdictReturn:
		return m.ifCertain(comeBack), nil
	case expr.VerdictJump, expr.VerdictGoto:
		if m.doubt {
			return goOn, nil
		}
		result, err := w.walk(v.Chain, m.probe, depth+1)
		if v.Kind == expr.VerdictGoto && result == goOn {
			result = comeBack
		}
		return result, err
	}
	return goOn, nil
}

// matcher evaluates the conditions of one rule.
type matcher struct {
	walker   *walker
	probe    probe
	loaded   map[uint32]any // by register: what is known of it
	doubt    bool           // a condition was not understood
	byName   bool           // the bridge's name was asked for, and it is that
	byState  bool           // the connection's state was asked for
	stateMap bool           // … and leads to a verdict by a map, which surely lets replies pass
}

func (m *matcher) ifCertain(v verdict) verdict {
	if m.doubt {
		return goOn
	}
	return v
}

// Contents of a register.
type (
	interfaceName   string
	protocolNumber  byte
	connectionState struct{}
)

// match evaluates one condition; false: the rule surely does not match.
func (m *matcher) match(e expr.Any) (bool, error) {
	switch e := e.(type) {
	case *expr.Counter, *expr.Log:
	case *expr.Meta:
		m.load(e)
	case *expr.Ct:
		delete(m.loaded, e.Register)
		if e.Key == expr.CtKeySTATE {
			m.loaded[e.Register] = connectionState{}
		}
	case *expr.Bitwise:
		m.loaded[e.DestRegister] = m.loaded[e.SourceRegister]
	case *expr.Cmp:
		return m.compare(e), nil
	case *expr.Lookup:
		return m.lookup(e)
	case *expr.Match:
		switch e.Name {
		case "comment":
		case "conntrack", "state":
			m.byState, m.doubt = true, true
		default:
			m.doubt = true
		}
	case *expr.Payload:
		delete(m.loaded, e.DestRegister)
	default:
		m.doubt = true
	}
	return true, nil
}

func (m *matcher) load(e *expr.Meta) {
	delete(m.loaded, e.Register)
	switch {
	case e.SourceRegister: // sets something, asks nothing
	case e.Key == expr.MetaKeyIIFNAME && m.probe.iif != "":
		m.loaded[e.Register] = interfaceName(m.probe.iif)
	case e.Key == expr.MetaKeyOIFNAME && m.probe.oif != "":
		m.loaded[e.Register] = interfaceName(m.probe.oif)
	case e.Key == expr.MetaKeyNFPROTO:
		m.loaded[e.Register] = protocolNumber(unix.NFPROTO_IPV4)
	}
}

func (m *matcher) compare(e *expr.Cmp) bool {
	var equal bool
	switch have := m.loaded[e.Register].(type) {
	case interfaceName:
		equal = isName(string(have), e.Data)
		m.byName = m.byName || equal && e.Op == expr.CmpOpEq
	case protocolNumber:
		equal = len(e.Data) > 0 && byte(have) == e.Data[0]
	case connectionState:
		m.byState, m.doubt = true, true
		return true
	default:
		m.doubt = true
		return true
	}
	switch e.Op {
	case expr.CmpOpEq:
		return equal
	case expr.CmpOpNeq:
		return !equal
	}
	m.doubt = true
	return true
}

// isName compares as the kernel does: as many bytes as given. iptables' "br+" gives
// no final zero.
func isName(name string, data []byte) bool { return bytes.HasPrefix(ifname(name), data) }

// lookup knows sets of interface names; maps to verdicts are beyond it.
func (m *matcher) lookup(e *expr.Lookup) (bool, error) {
	if _, ok := m.loaded[e.SourceRegister].(connectionState); ok {
		m.byState, m.stateMap = true, e.IsDestRegSet
	}
	name, ok := m.loaded[e.SourceRegister].(interfaceName)
	if !ok || e.IsDestRegSet {
		m.doubt = true
		return true, nil
	}
	set, err := m.walker.conn.GetSetByName(m.walker.base.Table, e.SetName)
	if err != nil {
		return false, err
	}
	if set.KeyType.Name != nftables.TypeIFName.Name || set.Interval {
		m.doubt = true
		return true, nil
	}
	elements, err := m.walker.conn.GetSetElements(set)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, err
	}
	var in bool
	for _, element := range elements {
		in = in || bytes.Equal(element.Key, ifname(string(name)))
	}
	m.byName = m.byName || in && !e.Invert
	return in != e.Invert, nil
}
