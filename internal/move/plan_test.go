package move

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPlan(t *testing.T) {
	a := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(n)}) }
	w := func(to int, has ...int) wish {
		x := wish{bridge: "br0", to: a(to)}
		for _, h := range has {
			x.has = append(x.has, a(h))
		}
		return x
	}
	cases := []struct {
		name   string
		wishes []wish
		want   string // units: "first | lane, lane < after"
	}{
		{"nobody", nil, ""},
		{"one", []wish{w(2, 1)}, "[] [[0]] < []"},
		{"two that have nothing to do with each other", []wish{w(2, 1), w(4, 3)}, "[] [[0]] < []; [] [[1]] < []"},
		{"a chain goes from its end", []wish{w(2, 1), w(3, 2), w(4, 3)}, "[] [[2]] < []; [] [[1]] < [0]; [] [[0]] < [1]"},
		{"a swap", []wish{w(2, 1), w(1, 2)}, "[0] [[1 0]] < []"},
		{"a cycle of three", []wish{w(2, 1), w(3, 2), w(1, 3)}, "[0] [[2 1 0]] < []"},
		{"a chain into a swap", []wish{w(9, 5), w(2, 1, 9), w(1, 2)}, "[1] [[2 1]] < []; [] [[0]] < [0]"},
		{"one that is where it shall be", []wish{w(1, 1)}, "[] [[0]] < []"},
		{"the same addresses on other bridges", []wish{w(2, 1), {bridge: "br1", has: []netip.Addr{a(2)}, to: a(1)}}, "[] [[0]] < []; [] [[1]] < []"},
		{"an address that two have at once", []wish{w(2, 1), w(1, 2), w(3, 2)}, "[] [[2]] < []; [0] [[1 0]] < [0]"},
		{"a knot", []wish{w(2, 1), w(1, 2), w(3, 2, 1), w(4, 3)}, "[] [[3]] < []; [] [[2]] < [0]; [0] [[1 0]] < [1]"},
		{"a knot of three", []wish{w(2, 1, 3), w(1, 2), w(3, 2)}, "[0 1 2] [[0] [1] [2]] < []"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			have := ""
			for i, u := range plan(c.wishes) {
				if i > 0 {
					have += "; "
				}
				have += fmt.Sprintf("%v %v < %v", u.first, u.lanes, u.after)
			}
			if have != c.want {
				t.Errorf("have %s\nwant %s", have, c.want)
			}
		})
	}
}

func TestLongCyclesAreSplit(t *testing.T) {
	const n = 100
	var wishes []wish
	for i := range n {
		wishes = append(wishes, wish{has: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, to: netip.AddrFrom4([4]byte{10, 0, 0, byte((i + 1) % n)})})
	}
	units := plan(wishes)
	if len(units) != 1 || len(units[0].first) != (n+laneLength-1)/laneLength {
		t.Fatalf("units: %v", units)
	}
	for _, lane := range units[0].lanes {
		if len(lane) > laneLength {
			t.Errorf("a lane of %d", len(lane))
		}
	}
}

// However the goroutines of a plan take turns: nobody takes what another has, and everybody ends with what he wants.
func TestNobodyTakesWhatAnotherHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wishes := drawWishes(t)
		units := plan(wishes)
		holder := make(map[place]int)
		for i, w := range wishes {
			for _, a := range w.has {
				holder[place{w.bridge, a}] = i
			}
		}
		release := func(i int) {
			for _, a := range wishes[i].has {
				if p := (place{wishes[i].bridge, a}); holder[p] == i && a != wishes[i].to {
					delete(holder, p)
				}
			}
		}
		ended := make([]int, len(wishes))
		done := make([]bool, len(units))
		next := make([][]int, len(units)) // how far each lane of a unit is
		for u := range units {
			next[u] = make([]int, len(units[u].lanes))
		}
		for {
			var able [][2]int // unit, lane
			for u := range units {
				if done[u] || slices.ContainsFunc(units[u].after, func(v int) bool { return !done[v] }) {
					continue
				}
				for l, lane := range units[u].lanes {
					if next[u][l] < len(lane) {
						able = append(able, [2]int{u, l})
					}
				}
			}
			if len(able) == 0 {
				break
			}
			turn := rapid.SampledFrom(able).Draw(t, "turn")
			u, l := turn[0], turn[1]
			if !slices.ContainsFunc(next[u], func(n int) bool { return n > 0 }) {
				for _, i := range units[u].first {
					release(i)
				}
			}
			i := units[u].lanes[l][next[u][l]]
			p := place{wishes[i].bridge, wishes[i].to}
			if h, taken := holder[p]; taken && h != i {
				t.Fatalf("%d takes %s, which %d still has", i, p.addr, h)
			}
			holder[p] = i
			release(i)
			ended[i]++
			next[u][l]++
			done[u] = true
			for l, lane := range units[u].lanes {
				done[u] = done[u] && next[u][l] == len(lane)
			}
		}
		for i, n := range ended {
			if n != 1 {
				t.Fatalf("%d moved %d times", i, n)
			}
			if holder[place{wishes[i].bridge, wishes[i].to}] != i {
				t.Fatalf("%d does not have what it wanted", i)
			}
		}
	})
}

// drawWishes gives guests some addresses each, of which nobody else has the same, and different wishes.
func drawWishes(t *rapid.T) []wish {
	n := rapid.IntRange(0, 40).Draw(t, "guests")
	const space = 60
	numbers := make([]int, space)
	for i := range numbers {
		numbers[i] = i
	}
	held := rapid.Permutation(numbers).Draw(t, "held")
	wanted := rapid.Permutation(numbers[:max(n, rapid.IntRange(0, space).Draw(t, "spread"))]).Draw(t, "wanted")
	at := func(k int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(k)}) }
	wishes := make([]wish, n)
	for i := range wishes {
		wishes[i] = wish{bridge: rapid.SampledFrom([]string{"br0", "br0", "br1"}).Draw(t, "bridge"), to: at(wanted[i])}
		for range rapid.IntRange(0, 2).Draw(t, "addresses") {
			if len(held) > 0 {
				wishes[i].has = append(wishes[i].has, at(held[0]))
				held = held[1:]
			}
		}
	}
	return wishes
}
