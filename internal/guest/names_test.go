package guest

import (
	"maps"
	"testing"
	"time"
)

func TestAssign(t *testing.T) {
	named := func(seq uint64, name string) *space { return &space{seq: seq, mark: mark{RuntimeLXD, name}} }
	behind := func(index, nic int, name string, sp *space) *port {
		return &port{link: link{index: index, kind: "veth", nsid: 1}, nic: link{index: nic, name: name}, space: sp}
	}
	web, shop, other := named(1, "web"), named(2, "shop"), named(3, "web")
	dead := named(0, "web")
	dead.dead = true
	cases := []struct {
		name     string
		ports    []*port
		want     map[int]string
		problems int
	}{
		{"two guests", []*port{behind(1, 5, "eth0", web), behind(2, 5, "eth0", shop)}, map[int]string{1: "web", 2: "shop"}, 0},
		{"lowest interface first", []*port{behind(1, 9, "eth0", web), behind(2, 5, "eth1", web)}, map[int]string{2: "web", 1: "web:eth0"}, 0},
		{"first known keeps the name", []*port{behind(1, 5, "eth0", other), behind(2, 5, "eth0", web)}, map[int]string{2: "web"}, 1},
		{"its second interface has none either", []*port{behind(1, 5, "eth0", other), behind(3, 6, "eth1", other), behind(2, 5, "eth0", web)}, map[int]string{2: "web"}, 1},
		{"the living before the dead", []*port{behind(1, 5, "eth0", dead), behind(2, 5, "eth0", web)}, map[int]string{2: "web"}, 0},
		{"the dead when alone", []*port{behind(1, 5, "eth0", dead)}, map[int]string{1: "web"}, 0},
		{"unknown interface", []*port{behind(1, 0, "", web)}, map[int]string{}, 0},
		{"unknown namespace", []*port{behind(1, 5, "eth0", nil)}, map[int]string{}, 0},
		{"no name", []*port{behind(1, 5, "eth0", named(4, ""))}, map[int]string{}, 0},
		{"interface name that is none", []*port{behind(1, 5, "eth0", web), behind(2, 6, "e\x01", web)}, map[int]string{1: "web"}, 1},
		{"interfaces that differ in case", []*port{behind(1, 5, "eth0", web), behind(2, 6, "e", web), behind(3, 7, "E", web)}, map[int]string{1: "web", 2: "web:e"}, 1},
		{"colon", []*port{behind(1, 5, "eth0", named(5, "web:eth1"))}, map[int]string{}, 1},
		{"newline", []*port{behind(1, 5, "eth0", named(5, "web\nroot"))}, map[int]string{}, 1},
	}
	for _, c := range cases {
		names, problems := assign(c.ports)
		if !maps.Equal(names, c.want) || len(problems) != c.problems {
			t.Errorf("%s: have %v, %v; want %v and %d problems", c.name, names, problems, c.want, c.problems)
		}
	}
}

func TestRetriesBackOff(t *testing.T) {
	now := time.Unix(0, 0)
	var r retry
	for try := range 20 {
		if !r.isDue(r.after) || !r.after.IsZero() && r.isDue(r.after.Add(-1)) {
			t.Fatalf("try %d: not due exactly from %v on", try, r.after)
		}
		now = now.Add(time.Hour)
		r.failed(now)
	}
	if wait := r.after.Sub(now); wait != lastRetry {
		t.Errorf("after many tries it waits %v, want %v", wait, lastRetry)
	}
	r.demand()
	if wait := r.after.Sub(now); wait != demandRetry {
		t.Errorf("on demand it waits %v, want %v", wait, demandRetry)
	}
}

func TestBudget(t *testing.T) {
	now := time.Unix(1000, 0)
	var b budget
	taken := 0
	for range 1000 {
		if b.take(now) {
			taken++
		}
	}
	if taken != refreshBurst {
		t.Errorf("%d at once, want %d", taken, refreshBurst)
	}
	taken = 0
	for range 10_000 { // ten seconds
		now = now.Add(time.Millisecond)
		if b.take(now) {
			taken++
		}
	}
	if want := int(10 * time.Second / refreshInterval); taken != want {
		t.Errorf("%d in ten seconds, want %d", taken, want)
	}
}

func TestSlowWatcherIsTold(t *testing.T) {
	w := &watcher{events: make(chan Event, 4)}
	for i := range 10 {
		w.send(Event{Kind: Added, Guest: Guest{PortIndex: i}})
	}
	var kinds []Kind
	for len(w.events) > 0 {
		kinds = append(kinds, (<-w.events).Kind)
	}
	if len(kinds) != 4 || kinds[3] != Lost {
		t.Errorf("have %v, want three events and Lost", kinds)
	}
	w.send(Event{Kind: Removed})
	if e := <-w.events; e.Kind != Removed {
		t.Errorf("after it caught up: %+v", e)
	}
}
