package move

import (
	"net/netip"
	"slices"
)

// wish is what planning knows of a request.
type wish struct {
	bridge string       // addresses of different bridges have nothing to do with each other
	has    []netip.Addr // what the guest has and will give up
	to     netip.Addr
}

// unit is a set of guests that can only be moved together: one guest, or those of a cycle. Members are
// numbers of wishes.
type unit struct {
	after []int   // the units that must have been moved before; they come before it in the plan
	first []int   // give up their old addresses before anyone takes a new one
	lanes [][]int // each lane takes the new addresses one after another; lanes do so at the same time
}

// laneLength is how many guests of a cycle follow each other: the one that gave up its address
// first is silent until all of its lane have moved, all others not for a moment.
const laneLength = 8

// plan orders the wishes so that nobody takes an address that another still has: who wants an address waits
// until its holder has moved. Where all wait for each other, some give up theirs first. It is pure.
func plan(wishes []wish) []unit {
	waits := waitsFor(wishes)
	sets := components(waits)
	at := make([]int, len(wishes)) // the unit of each wish
	for u, set := range sets {
		for _, i := range set {
			at[i] = u
		}
	}
	units := make([]unit, len(sets))
	for u, set := range sets {
		units[u] = unit{lanes: [][]int{set}}
		if len(set) > 1 {
			units[u].first, units[u].lanes = lanes(ring(set, waits, at))
		}
		seen := map[int]bool{u: true}
		for _, i := range set {
			for _, j := range waits[i] {
				if !seen[at[j]] {
					seen[at[j]] = true
					units[u].after = append(units[u].after, at[j])
				}
			}
		}
	}
	return units
}

// place is an address on a bridge.
type place struct {
	bridge string
	addr   netip.Addr
}

// waitsFor lists for each wish those whose guests have the address it wants.
func waitsFor(wishes []wish) [][]int {
	holders := make(map[place][]int)
	for i, w := range wishes {
		for _, a := range w.has {
			holders[place{w.bridge, a}] = append(holders[place{w.bridge, a}], i)
		}
	}
	waits := make([][]int, len(wishes))
	for i, w := range wishes {
		for _, j := range holders[place{w.bridge, w.to}] {
			if j != i {
				waits[i] = append(waits[i], j)
			}
		}
	}
	return waits
}

// ring orders the members so that each wants what the one before it has. ok is false when
// they are no simple ring: an address that two guests have at once makes one.
func ring(set []int, waits [][]int, at []int) (order []int, ok bool) {
	next := make(map[int]int, len(set)) // who wants what the key has
	for _, i := range set {
		for _, j := range waits[i] {
			if at[j] != at[i] {
				continue
			}
			if _, taken := next[j]; taken {
				return set, false
			}
			next[j] = i
		}
	}
	for i, n := set[0], 0; n < len(set); i, n = next[i], n+1 {
		order = append(order, i)
	}
	return order, len(next) == len(set)
}

// lanes splits a ring. Of anything else all give up first, and then all take at once.
func lanes(order []int, isRing bool) (first []int, all [][]int) {
	if !isRing {
		for _, i := range order {
			all = append(all, []int{i})
		}
		return order, all
	}
	for from := 0; from < len(order); from += laneLength {
		first = append(first, order[from])
		to := min(from+laneLength, len(order))
		lane := append([]int{}, order[from+1:to]...)
		all = append(all, append(lane, order[to%len(order)]))
	}
	return first, all
}

// components finds the sets of wishes that wait for each other, in an order in which nobody waits for a
// later one (Tarjan; by its own stack, since a chain may be as long as a network).
func components(waits [][]int) [][]int {
	const unseen = -1
	n := len(waits)
	index, low, onStack, step := make([]int, n), make([]int, n), make([]bool, n), make([]int, n)
	for i := range index {
		index[i] = unseen
	}
	var sets [][]int
	var stack, path []int
	count := 0
	enter := func(i int) {
		index[i], low[i], onStack[i] = count, count, true
		count++
		stack, path = append(stack, i), append(path, i)
	}
	for root := range n {
		if index[root] != unseen {
			continue
		}
		for enter(root); len(path) > 0; {
			i := path[len(path)-1]
			if step[i] < len(waits[i]) {
				j := waits[i][step[i]]
				step[i]++
				switch {
				case index[j] == unseen:
					enter(j)
				case onStack[j]:
					low[i] = min(low[i], index[j])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				up := path[len(path)-1]
				low[up] = min(low[up], low[i])
			}
			if low[i] != index[i] {
				continue
			}
			var set []int
			for {
				j := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				onStack[j] = false
				set = append(set, j)
				if j == i {
					break
				}
			}
			slices.Sort(set)
			sets = append(sets, set)
		}
	}
	return sets
}
