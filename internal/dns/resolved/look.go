package resolved

import (
	"context"
	"maps"
	"slices"
)

// finding is what a look at resolved has found.
type finding int

const (
	inOrder  finding = iota // or there is no resolved
	repaired                // something was told
	trouble                 // something could not be told
)

// look compares what resolved knows with what it should, and tells it the difference.
// The error is that the bus does not answer.
func (r *Registrar) look(ctx context.Context, b *bus) (finding, error) {
	running, err := b.hasResolved(ctx)
	if err != nil {
		return trouble, err
	}
	r.mu.Lock()
	wanted, told := slices.Clone(r.wanted), maps.Clone(r.told)
	r.mu.Unlock()
	if !running {
		r.noteAbsent()
		return inOrder, nil
	}
	found := inOrder
	for index, l := range told {
		if !slices.ContainsFunc(wanted, func(w Link) bool { return w.Index == index }) {
			found = max(found, r.takeBack(ctx, b, l))
		}
	}
	for _, l := range wanted {
		found = max(found, r.tell(ctx, b, l))
	}
	return found, nil
}

// tell makes resolved know one network.
func (r *Registrar) tell(ctx context.Context, b *bus, l Link) finding {
	same, err := b.knows(ctx, l)
	if ctx.Err() != nil {
		return inOrder // a call that was broken off says nothing
	}
	if same {
		r.note(l, nil)
		return inOrder
	}
	if err == nil {
		// Noted first: half of it may be there when the rest is refused.
		r.remember(l)
		err = b.setLink(ctx, l)
	}
	r.note(l, err)
	if err != nil {
		return trouble
	}
	return repaired
}

// takeBack makes resolved forget a network, unless it has been told something else
// about the interface by now.
func (r *Registrar) takeBack(ctx context.Context, b *bus, l Link) finding {
	servers, err := b.serversOf(ctx, l.Index)
	if ours := len(servers) == 0 || slices.Equal(servers, serversFor(l)); err == nil && ours {
		err = b.revertLink(ctx, l.Index)
	}
	if err != nil && !isGone(err) {
		r.o.Log.Debug("resolver does not forget", "network", l.Name, "err", err)
		return trouble
	}
	r.forget(l.Index)
	r.o.Log.Info("resolver no longer told", "network", l.Name, "addr", l.Gateway)
	return inOrder
}

func (r *Registrar) remember(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[l.Index] = l
}

func (r *Registrar) forget(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.told, index)
}

// note stores what became of telling l, and logs what is news.
func (r *Registrar) note(l Link, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, ok := r.outcomes[l.Name]
	if !ok || before.link != l {
		return // Set has replaced it meanwhile
	}
	r.outcomes[l.Name] = outcome{link: l, told: err == nil, err: err}
	switch {
	case err == nil:
		r.told[l.Index] = l
		if !before.told {
			r.o.Log.Info("resolver told", "network", l.Name, "addr", l.Gateway)
		}
	case before.err == nil || before.err.Error() != err.Error():
		r.o.Log.Warn("resolver not told", "network", l.Name, "addr", l.Gateway, "err", err)
	}
}

// noteAbsent stores that there is no resolved to tell.
func (r *Registrar) noteAbsent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, o := range r.outcomes {
		r.outcomes[name] = outcome{link: o.link, absent: true}
	}
}

// Revert makes resolved forget what it was told about an interface that stays: a
// bridge that was adopted, and is given back. Where resolved does not run, or knows no
// such interface, there is nothing to do. It needs no Run.
func (r *Registrar) Revert(ctx context.Context, index int) error {
	b, err := openBus(ctx, r.o)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil // without a bus there is no resolved
	}
	defer b.close()
	running, err := b.hasResolved(ctx)
	if err != nil || !running {
		return err
	}
	if err := b.revertLink(ctx, index); err != nil && !isGone(err) {
		return refusal(Link{Index: index}, err)
	}
	r.forget(index)
	return nil
}
