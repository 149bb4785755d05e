package daemon

import (
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
)

// warnings is the lasting trouble, by who reports it: a reporter replaces what it
// said before, so that a mended fault disappears by itself.
type warnings struct {
	mu   sync.Mutex
	said map[string][]control.Warning
}

// set replaces what reporter says. A problem that was there before keeps its time.
func (w *warnings) set(reporter string, problems ipam.Problems) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said == nil {
		w.said = make(map[string][]control.Warning)
	}
	before := w.said[reporter]
	var now []control.Warning
	for _, p := range problems {
		text := p.Error()
		next := control.Warning{Code: p.Code, Text: text, Hint: p.Hint, Since: time.Now()}
		if i := slices.IndexFunc(before, func(b control.Warning) bool { return b.Text == text }); i >= 0 {
			next.Since = before[i].Since
		}
		now = append(now, next)
	}
	w.said[reporter] = now
}

// all lists everything, oldest first.
func (w *warnings) all() []control.Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []control.Warning{}
	for _, said := range w.said {
		list = append(list, said...)
	}
	slices.SortFunc(list, func(a, b control.Warning) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Text, b.Text)
	})
	return list
}
