package firewall

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/nftables"
)

// replace writes the whole table in one transaction. It is made first so that
// deleting it never fails.
func replace(c *nftables.Conn, r ruleset) error {
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	for _, s := range r.sets {
		s.Table = table
		if err := c.AddSet(&s.Set, s.elements); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	policy := nftables.ChainPolicyAccept
	for _, ch := range r.chains {
		into := c.AddChain(&nftables.Chain{Name: ch.name, Table: table, Type: ch.kind, Hooknum: &ch.hook, Priority: &ch.prio, Policy: &policy})
		for _, exprs := range ch.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: into, Exprs: exprs})
		}
	}
	return c.Flush()
}

// find is the inet table of that name, or nil.
func find(c *nftables.Conn, name string) (*nftables.Table, error) {
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, nil
}

// read is the table as the kernel has it now; an empty ruleset when there is none.
func read(c *nftables.Conn) (ruleset, error) {
	var r ruleset
	table, err := find(c, Table)
	if err != nil || table == nil {
		return r, err
	}
	sets, err := c.GetSets(table)
	if err != nil {
		return r, err
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return r, err
		}
		r.sets = append(r.sets, set{*s, elements})
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return r, err
	}
	for _, ch := range chains {
		if ch.Table.Name != Table {
			continue
		}
		have := chain{name: ch.Name, kind: ch.Type}
		if ch.Hooknum != nil && ch.Policy != nil && *ch.Policy == nftables.ChainPolicyAccept {
			have.hook, have.prio = *ch.Hooknum, *ch.Priority
		}
		rules, err := c.GetRules(table, ch)
		if err != nil {
			return r, err
		}
		for _, rule := range rules {
			have.rules = append(have.rules, rule.Exprs)
		}
		r.chains = append(r.chains, have)
	}
	return r, nil
}

// equal compares what a packet would notice: not handles, nor the order of elements.
func (r ruleset) equal(want ruleset) bool {
	sameSet := func(a, b set) bool {
		return a.Name == b.Name && a.KeyType.GetNFTMagic() == b.KeyType.GetNFTMagic() && a.Interval == b.Interval &&
			slices.EqualFunc(sorted(a.elements), sorted(b.elements), func(x, y nftables.SetElement) bool {
				return bytes.Equal(x.Key, y.Key) && x.IntervalEnd == y.IntervalEnd
			})
	}
	sameChain := func(a, b chain) bool {
		return a.name == b.name && a.kind == b.kind && a.hook == b.hook && a.prio == b.prio &&
			len(a.rules) == len(b.rules) && (len(a.rules) == 0 || reflect.DeepEqual(a.rules, b.rules))
	}
	return slices.EqualFunc(byName(r.sets, func(s set) string { return s.Name }), byName(want.sets, func(s set) string { return s.Name }), sameSet) &&
		slices.EqualFunc(byName(r.chains, func(c chain) string { return c.name }), byName(want.chains, func(c chain) string { return c.name }), sameChain)
}

func byName[T any](all []T, name func(T) string) []T {
	return slices.SortedFunc(slices.Values(all), func(a, b T) int { return bytes.Compare([]byte(name(a)), []byte(name(b))) })
}

// sorted puts elements in order and leaves out the end of nothing at 0.0.0.0, with
// which nft begins an interval set.
func sorted(elements []nftables.SetElement) []nftables.SetElement {
	elements = slices.DeleteFunc(slices.Clone(elements), func(e nftables.SetElement) bool {
		return e.IntervalEnd && len(bytes.Trim(e.Key, "\x00")) == 0
	})
	return slices.SortedFunc(slices.Values(elements), func(a, b nftables.SetElement) int {
		if c := bytes.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd {
			return -1
		}
		return 1
	})
}
