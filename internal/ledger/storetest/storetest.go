// Package storetest is the contract of whatever stores the ledger's records, as
// tests that every store has to pass.
package storetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Store is a store under test; see journal.Journal for what its methods promise.
type Store interface {
	Append(record []byte, settle func(error)) (wait func(context.Context) error, err error)
	Close() error
}

// Owner is what a store is opened for; it knows nothing but what the store has told it.
type Owner struct {
	L       sync.Mutex
	mu      sync.Mutex
	state   map[string]string // by key
	history []string          // records replayed or settled, in order
}

// Open opens the same store every time it is called within one test.
type Open func(t *testing.T, o *Owner) (Store, error)

// Replay takes a stored record, "KEY=VALUE".
func (o *Owner) Replay(record []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == nil {
		o.state = map[string]string{}
	}
	k, v, ok := strings.Cut(string(record), "=")
	if !ok {
		return fmt.Errorf("record %q is not what was stored", record)
	}
	o.state[k] = v
	o.history = append(o.history, string(record))
	return nil
}

// Snapshot gives all that was settled.
func (o *Owner) Snapshot() iter.Seq[[]byte] {
	state := o.State()
	return func(yield func([]byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(state)) {
			if !yield([]byte(k + "=" + state[k])) {
				return
			}
		}
	}
}

// State is a copy of what was replayed and settled.
func (o *Owner) State() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.state)
}

// Put stores KEY=VALUE and waits.
func (o *Owner) Put(s Store, key, value string) error {
	record := []byte(key + "=" + value)
	o.L.Lock()
	wait, err := s.Append(record, func(err error) {
		if err == nil {
			_ = o.Replay(record)
		}
	})
	o.L.Unlock()
	if err != nil {
		return err
	}
	return wait(context.Background())
}

// Run runs the contract.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"records come back":                  testComeBack,
		"writers share but keep their order": testConcurrent,
		"any size comes back":                testSizes,
		"a second opener is refused":         testSecond,
		"closed means closed":                testClosed,
		"a wait can be given up":             testGivenUp,
		"settled before the wait is over":    testSettled,
		"closing stores what is waiting":     testClosing,
		"nothing is stored of nothing":       testEmpty,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func mustOpen(t *testing.T, open Open) (Store, *Owner) {
	t.Helper()
	o := &Owner{}
	s, err := open(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func mustClose(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testComeBack(t *testing.T, open Open) {
	want := map[string]string{}
	for round := range 5 {
		s, o := mustOpen(t, open)
		if diff := cmp.Diff(want, o.State()); diff != "" && round > 0 {
			t.Fatalf("after reopening (-want +got):\n%s", diff)
		}
		for i := range 40 {
			k, v := fmt.Sprint("k", (round+i)%17), fmt.Sprint(round, ".", i)
			if err := o.Put(s, k, v); err != nil {
				t.Fatal(err)
			}
			want[k] = v
		}
		mustClose(t, s)
	}
}

func testConcurrent(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if err := o.Put(s, fmt.Sprint("w", w), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
				if err := o.Put(s, "shared", fmt.Sprint(w, ".", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, s)
	again, o2 := mustOpen(t, open)
	defer mustClose(t, again)
	if diff := cmp.Diff(o.State(), o2.State()); diff != "" {
		t.Errorf("the order of settling is not the order of replaying (-settled +replayed):\n%s", diff)
	}
	for w := range 16 {
		if got := o2.State()[fmt.Sprint("w", w)]; got != "49" {
			t.Errorf("writer %d: last value %q", w, got)
		}
	}
}

func testSizes(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	want := map[string]string{}
	for i, size := range []int{0, 1, 127, 128, 4095, 4096, 300_000, 5 << 20} {
		k := fmt.Sprint("size", i)
		want[k] = strings.Repeat("x", size)
		if err := o.Put(s, k, want[k]); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	again, o2 := mustOpen(t, open)
	defer mustClose(t, again)
	if !maps.Equal(want, o2.State()) {
		t.Error("a record came back changed")
	}
}

func testSecond(t *testing.T, open Open) {
	s, _ := mustOpen(t, open)
	if other, err := open(t, &Owner{}); err == nil {
		mustClose(t, other)
		t.Error("the store could be opened twice")
	}
	mustClose(t, s)
	again, _ := mustOpen(t, open)
	mustClose(t, again)
}

func testClosed(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	mustClose(t, s)
	if err := o.Put(s, "late", "1"); err == nil {
		t.Error("a record was accepted after Close")
	}
	if _, there := o.State()["late"]; there {
		t.Error("a refused record was settled")
	}
	mustClose(t, s) // twice is harmless
}

func testGivenUp(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	settled := make(chan error, 1)
	o.L.Lock()
	wait, err := s.Append([]byte("given=up"), func(err error) { settled <- err })
	o.L.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	_ = wait(gone)
	if err := <-settled; err != nil {
		t.Error("a record is stored though nobody waits:", err)
	}
	mustClose(t, s)
}

// testSettled has the settling of records follow the order of Append, each before its wait is over.
func testSettled(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	var mu sync.Mutex
	var settled []int
	var waits []func(context.Context) error
	for i := range 200 {
		o.L.Lock()
		wait, err := s.Append([]byte(fmt.Sprintf("k=%d", i)), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				settled = append(settled, i)
			}
		})
		o.L.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	for i, wait := range slices.Backward(waits) {
		if err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if !slices.Contains(settled, i) {
			t.Errorf("the wait for record %d was over before it was settled", i)
		}
		mu.Unlock()
	}
	if !slices.IsSorted(settled) || len(settled) != 200 {
		t.Errorf("settled in the order %v", settled)
	}
	mustClose(t, s)
}

// testClosing closes while records are on their way and nobody has waited for them.
func testClosing(t *testing.T, open Open) {
	s, o := mustOpen(t, open)
	for i := range 50 {
		record := []byte(fmt.Sprintf("late%d=%d", i, i))
		o.L.Lock()
		_, err := s.Append(record, func(err error) {
			if err == nil {
				_ = o.Replay(record)
			}
		})
		o.L.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	again, o2 := mustOpen(t, open)
	defer mustClose(t, again)
	if diff := cmp.Diff(o.State(), o2.State()); diff != "" || len(o2.State()) != 50 {
		t.Errorf("settled and stored differ (-settled +stored):\n%s", diff)
	}
}

func testEmpty(t *testing.T, open Open) {
	for range 3 {
		s, o := mustOpen(t, open)
		if n := len(o.State()); n != 0 {
			t.Errorf("a new store has %d records", n)
		}
		mustClose(t, s)
	}
}
