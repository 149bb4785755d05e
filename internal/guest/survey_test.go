package guest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// resolved lists the bridges and resolves what is due.
func resolved(t *testing.T, s *survey) {
	t.Helper()
	if err := s.findBridges(); err != nil {
		t.Fatal(err)
	}
	if err := s.relist(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.resolve(); err != nil {
		t.Fatal(err)
	}
}

func newTestSurvey(t *testing.T, bridges ...string) (*survey, *time.Time) {
	now := time.Unix(1_000_000, 0)
	s := newSurvey(func() time.Time { return now })
	s.wanted = bridges
	t.Cleanup(s.kernel.close)
	return s, &now
}

func TestKnownNamespaceIsNotWalkedFor(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	web := netnstest.AddGuest(t, "br0", "web", "")
	s, _ := newTestSurvey(t, "br0")
	resolved(t, s)
	web.Plug(t, "br0", "vweb1", "eth1", "")
	resolved(t, s)
	if g := s.view().byPort[indexOf(t, "vweb1")]; g.Name != "web:eth1" || s.walks != 1 {
		t.Errorf("have %+v after %d walks, want one", g, s.walks)
	}
}

func TestManyPortsAreFoundInOneWalk(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	for i := range 20 {
		netnstest.AddGuest(t, "br0", fmt.Sprintf("g%d", i), "")
	}
	s, _ := newTestSurvey(t, "br0")
	resolved(t, s)
	if named := len(s.view().byName); named != 20 || s.walks != 1 {
		t.Errorf("%d guests named in %d walks, want 20 in one", named, s.walks)
	}
}

// A guest that nobody can name makes events and frames as fast as it likes.
func TestUnnameableGuestDoesNotKeepUsWalking(t *testing.T) {
	netnstest.Require(t, "ip", "sh")
	netnstest.Bridge(t, "br0", "")
	r := container{}.start(t)
	r.plug(t, "br0", "veth0", "eth0")
	s, now := newTestSurvey(t, "br0")
	index := indexOf(t, "veth0")
	for range 10_000 { // ten seconds
		*now = now.Add(time.Millisecond)
		if err := s.findBridges(); err != nil {
			t.Fatal(err)
		}
		if len(s.ports) == 0 {
			resolved(t, s)
		}
		s.demand(index)
		if _, err := s.resolve(); err != nil {
			t.Fatal(err)
		}
	}
	if s.walks < 10 || s.walks > 16 {
		t.Errorf("%d walks in ten seconds, want about one a second", s.walks)
	}
}

func TestWalksPause(t *testing.T) {
	var p pause
	now := time.Unix(1000, 0)
	if !p.isOver(now) {
		t.Error("the first walk has to wait")
	}
	p.walked(now, now.Add(time.Second))
	if p.isOver(now.Add(4*time.Second-1)) || !p.isOver(now.Add(4*time.Second)) {
		t.Error("after a walk of 1 s, want a pause of 3 s")
	}
}

// A namespace's number is given away again as soon as it is free; whoever gets it must not
// be taken for the one before.
func TestReusedNumberIsNotTheOldGuest(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	netnstest.Bridge(t, "br0", "")
	netnstest.AddGuest(t, "br0", "old", "")
	s, now := newTestSurvey(t, "br0")
	resolved(t, s)
	nsid := s.ports[indexOf(t, "vold")].nsid
	netnstest.Run(t, "ip", "link", "del", "vold")
	netnstest.Run(t, "ip", "netns", "del", "old")
	eventually(t, "the number is free", func() bool {
		return !strings.Contains(netnstest.Run(t, "ip", "netns", "list-id"), fmt.Sprintf("nsid %d", nsid))
	})
	netnstest.AddGuest(t, "br0", "new", "")
	*now = now.Add(time.Hour)
	resolved(t, s)
	p := s.ports[indexOf(t, "vnew")]
	if p.nsid != nsid {
		t.Fatalf("the number was not reused: %d, was %d", p.nsid, nsid)
	}
	if g := s.view().byPort[p.index]; g.Name != "new" {
		t.Errorf("have %+v, want new", g)
	}
}

func BenchmarkStartWithPorts(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			netnstest.Require(b, "ip")
			netnstest.Bridge(b, "br0", "")
			var batch, clean strings.Builder
			for i := range n {
				fmt.Fprintf(&batch, "netns add g%d\nlink add v%d master br0 type veth peer name eth0 netns g%d\n", i, i, i)
				fmt.Fprintf(&clean, "link del v%d\nnetns del g%d\n", i, i)
			}
			ip := func(commands string) {
				cmd := exec.Command("ip", "-force", "-batch", "-")
				cmd.Stdin = strings.NewReader(commands)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("ip -batch: %v\n%s", err, out)
				}
			}
			ip(batch.String())
			defer ip(clean.String())
			for b.Loop() {
				s := newSurvey(time.Now)
				s.wanted = []string{"br0"}
				if err := s.findBridges(); err != nil {
					b.Fatal(err)
				}
				if err := s.relist(); err != nil {
					b.Fatal(err)
				}
				if _, err := s.resolve(); err != nil {
					b.Fatal(err)
				}
				if named := len(s.view().byName); named != n {
					b.Fatalf("%d named, want %d", named, n)
				}
				s.kernel.close()
			}
		})
	}
}
