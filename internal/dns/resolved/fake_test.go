package resolved_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

const (
	managerName = "org.freedesktop.resolve1"
	managerPath = dbus.ObjectPath("/org/freedesktop/resolve1")
	networkName = "org.freedesktop.network1"
	networkPath = dbus.ObjectPath("/org/freedesktop/network1")
)

// fake is a systemd-resolved that writes down what it is told.
type fake struct {
	conn *dbus.Conn

	mu      sync.Mutex
	calls   []string // every call that changes something, as "Method(index, …)"
	looks   int      // how often a link was read
	links   map[int32]*fakeLink
	refuse  map[string]*dbus.Error // by method
	hang    chan struct{}          // not nil: nothing is answered until it is closed
	ancient bool                   // it knows nothing of DNSSEC, TLS and default routes
}

// fakeLink has the property types of org.freedesktop.resolve1.Link.
type fakeLink struct {
	DNS          []fakeServer
	Domains      []fakeDomain
	DefaultRoute bool
	DNSSEC       string
	DNSOverTLS   string
}

type fakeServer struct {
	Family  int32
	Address []byte
}

type fakeDomain struct {
	Name        string
	RoutingOnly bool
}

// startFake puts a fake with the links of those indexes on the bus.
func startFake(t *testing.T, b *testBus, links ...int32) *fake {
	t.Helper()
	f := &fake{conn: b.client(t), links: make(map[int32]*fakeLink), refuse: make(map[string]*dbus.Error)}
	for _, index := range links {
		f.add(index)
	}
	f.export(t, managerName, managerPath, "RevertLink")
	return f
}

// startNetworkd puts the methods on the bus by the name of systemd-networkd, too.
func (f *fake) startNetworkd(t *testing.T) { f.export(t, networkName, networkPath, "RevertLinkDNS") }

func (f *fake) export(t *testing.T, name string, path dbus.ObjectPath, revert string) {
	t.Helper()
	from := strings.TrimPrefix(name, "org.freedesktop.")
	table := map[string]any{
		"GetLink": f.getLink,
		"SetLinkDNS": func(index int32, servers []fakeServer) *dbus.Error {
			return f.change(from, "SetLinkDNS", index, func(l *fakeLink) { l.DNS = servers }, servers)
		},
		"SetLinkDomains": func(index int32, domains []fakeDomain) *dbus.Error {
			return f.change(from, "SetLinkDomains", index, func(l *fakeLink) { l.Domains = domains }, domains)
		},
		revert: func(index int32) *dbus.Error {
			return f.change(from, revert, index, func(l *fakeLink) { *l = fakeLink{DefaultRoute: true, DNSSEC: "yes", DNSOverTLS: "yes"} })
		},
	}
	if !f.ancient {
		table["SetLinkDefaultRoute"] = func(index int32, on bool) *dbus.Error {
			return f.change(from, "SetLinkDefaultRoute", index, func(l *fakeLink) { l.DefaultRoute = on }, on)
		}
		table["SetLinkDNSSEC"] = func(index int32, mode string) *dbus.Error {
			return f.change(from, "SetLinkDNSSEC", index, func(l *fakeLink) { l.DNSSEC = mode }, mode)
		}
		table["SetLinkDNSOverTLS"] = func(index int32, mode string) *dbus.Error {
			return f.change(from, "SetLinkDNSOverTLS", index, func(l *fakeLink) { l.DNSOverTLS = mode }, mode)
		}
	}
	if err := f.conn.ExportMethodTable(table, path, name+".Manager"); err != nil {
		t.Fatal(err)
	}
	if reply, err := f.conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("take the name %s: %d, %v", name, reply, err)
	}
}

// add makes an interface known.
func (f *fake) add(index int32) {
	f.mu.Lock()
	f.links[index] = &fakeLink{DefaultRoute: true, DNSSEC: "yes", DNSOverTLS: "yes"}
	f.mu.Unlock()
	all := func(string) (map[string]dbus.Variant, *dbus.Error) { return f.properties(index) }
	_ = f.conn.ExportMethodTable(map[string]any{"GetAll": all}, linkPath(index), "org.freedesktop.DBus.Properties")
}

func linkPath(index int32) dbus.ObjectPath {
	digits := fmt.Sprint(index)
	return managerPath + dbus.ObjectPath(fmt.Sprintf("/link/_%x%s", digits[0], digits[1:]))
}

func (f *fake) getLink(index int32) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.links[index] == nil {
		return "/", noSuchLink(index)
	}
	return linkPath(index), nil
}

func noSuchLink(index int32) *dbus.Error {
	return dbus.NewError(managerName+".NoSuchLink", []any{fmt.Sprintf("Link %d not known", index)})
}

func (f *fake) properties(index int32) (map[string]dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	l := f.links[index]
	if l == nil {
		return nil, noSuchLink(index)
	}
	all := map[string]dbus.Variant{"DNS": dbus.MakeVariant(l.DNS), "Domains": dbus.MakeVariant(l.Domains)}
	if !f.ancient {
		all["DefaultRoute"] = dbus.MakeVariant(l.DefaultRoute)
		all["DNSSEC"] = dbus.MakeVariant(l.DNSSEC)
		all["DNSOverTLS"] = dbus.MakeVariant(l.DNSOverTLS)
	}
	return all, nil
}

// change writes a call down and carries it out.
func (f *fake) change(from, method string, index int32, do func(*fakeLink), args ...any) *dbus.Error {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text := fmt.Sprintf("%s %s(%d", from, method, index)
	for _, a := range args {
		text += fmt.Sprintf(", %v", a)
	}
	f.calls = append(f.calls, text+")")
	if err := f.refuse[from+" "+method]; err != nil {
		return err
	}
	if f.links[index] == nil {
		return noSuchLink(index)
	}
	do(f.links[index])
	return nil
}

// touched says what resolved says when its servers have changed.
func (f *fake) touched(t *testing.T) {
	t.Helper()
	if err := f.conn.Emit(managerPath, "org.freedesktop.DBus.Properties.PropertiesChanged",
		managerName+".Manager", map[string]dbus.Variant{}, []string{"DNS"}); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fake) do(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}
