// Package config turns berth.toml into checked networks, and says in words what differs
// between two sets of them. The files of older services become the same in the packages below it.
package config

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// Env is what checking needs to know of the machine.
type Env struct {
	// Auto gives the subnet of a network with ipv4 = "auto": the gateway's address with its
	// prefix length, the same for as long as the network exists. nil: "auto" is refused.
	Auto func(network string) (netip.Prefix, error)
}

// File is a checked configuration.
type File struct {
	Networks ipam.Networks // in the order of the file
	Warnings ipam.Problems // what is understood, but not served by this version
	Pins     []ipam.Pin    // of files that berth never writes to
	Files    []string      // every file and folder that was read, to be watched
	Log      LogFormat     // "" as LogText
}

// ErrOff is the cause of the problem that a file has whose networks are switched off.
var ErrOff = errors.New("the network is switched off")

// smallest is the shortest configuration that serves anybody.
const smallest = `[network.lxdbr0] and below it ipv4 = "10.64.177.1/24"`

// checker collects what is wrong with a file while it becomes networks.
type checker struct {
	env      Env
	problems ipam.Problems
	warnings ipam.Problems
}

func (c *checker) add(p *ipam.Problem) { c.problems = append(c.problems, p) }

// refuse reports a bad value at its place.
func (c *checker) refuse(v *document.Value, hint, format string, args ...any) {
	c.add(v.Problem(hint, format, args...))
}

// Parse checks the text of berth.toml; path is the name that places carry. The error is
// ipam.Problems: every unknown key and every bad value in the order of the file, each with
// line, column and hint; a mistake of syntax ends the reading.
func Parse(path string, data []byte, env Env) (*File, error) {
	root, problems := document.Parse(path, data)
	if len(problems) > 0 {
		return nil, inOrder(problems)
	}
	c := &checker{env: env}
	drafts := c.networks(path, root)
	c.between(drafts)
	format := c.log(root)
	if len(c.problems) > 0 {
		return nil, inOrder(c.problems)
	}
	f := &File{Warnings: inOrder(c.warnings), Log: format}
	for _, d := range drafts {
		f.Networks = append(f.Networks, &d.Network)
	}
	return f, nil
}

func inOrder(problems ipam.Problems) ipam.Problems {
	slices.SortStableFunc(problems, func(a, b *ipam.Problem) int {
		return cmp.Or(cmp.Compare(a.Source.Line, b.Source.Line), cmp.Compare(a.Source.Col, b.Source.Col))
	})
	return problems
}

// networks checks what the file says at its top, and each network by itself.
func (c *checker) networks(path string, root *document.Table) []*draft {
	for _, e := range root.Entries {
		switch {
		case e.Key == "network", e.Key == "log":
		case e.Value.Kind != document.TableKind && isNetworkKey(e.Key):
			c.add(e.Problem("write [network.lxdbr0] above it", "%s stands outside every network", e.Key))
		default:
			c.add(e.Unknown("key", []string{"network", "log"}))
		}
	}
	top := root.Find("network")
	if top == nil || top.Value.Kind == document.TableKind && len(top.Value.Table.Entries) == 0 {
		if len(c.problems) > 0 {
			return nil // one of them is a misspelled network
		}
		c.add(&ipam.Problem{
			Code: ipam.CodeConfig, Source: ipam.Source{File: path},
			Text: "no network is configured", Hint: "write " + smallest,
		})
		return nil
	}
	if top.Value.Kind != document.TableKind {
		c.refuse(top.Value, "write "+smallest, "network is a table of networks, not %s", top.Value.Kind)
		return nil
	}
	var drafts []*draft
	for _, e := range top.Value.Table.Entries {
		if d := c.network(e); d != nil {
			drafts = append(drafts, d)
		}
	}
	return drafts
}
