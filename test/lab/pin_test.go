package lab_test

import (
	"encoding/json"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/control"
)

func TestPinMovesARunningLXDContainer(t *testing.T) {
	const addr = "10.64.177.101"
	s := serve(t, network, "")
	old := s.awaitState("cent01", control.Dynamic).Configured[0]
	cent01, cent02 := guestOf(t, "cent01"), guestOf(t, "cent02")
	bystander := startTrain(t, s.awaitState("cent03", control.Dynamic).Configured[0].String())
	connection := openStream(t, cent01, old.String())

	var got control.Result
	moved := time.Now()
	if err := json.Unmarshal([]byte(s.must("pin", "cent01", addr, "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("ping", "-c1", "-W1", "-q", addr).Run(); err != nil {
		t.Errorf("the new address does not answer the host: %v", err)
	}
	cent02.Run(t, "ping", "-c1", "-W1", "-q", addr)
	if have := lookup(t, "cent01.lxd"); have != addr {
		t.Errorf("DNS answers %q", have)
	}
	if !slices.Equal(got.From, []netip.Addr{old}) || got.To[0].String() != addr || got.LostUS != 0 {
		t.Errorf("the command says %+v", got)
	}
	s.mustHave("cent01", addr)
	g := s.look("cent01")
	if !slices.Equal(g.Draining, []netip.Addr{old}) {
		t.Errorf("draining %v, want %s", g.Draining, old)
	}
	if g.Client != "systemd-networkd" || g.Runtime != "lxd" {
		t.Errorf("it is said to be a guest of %q with the client %q", g.Runtime, g.Client)
	}
	if lease := networkdLease(t, "cent01"); lease != addr {
		t.Errorf("networkd inside believes it has %q", lease)
	}
	connection.mustLive(t, moved.Add(10*time.Second))
	if lost := bystander.stop(); lost > 0 {
		t.Errorf("another container lost %d pings", lost)
	}
	t.Logf("measured: a move inside LXD, accepted to verified: %.1f ms", float64(got.TookUS)/1e3)
}

// networkdLease is the address that the container's own networkd says it was given.
func networkdLease(t testing.TB, name string) string {
	t.Helper()
	out := inside(t, name, "sh", "-c", "cat /run/systemd/netif/leases/*")
	for line := range strings.Lines(out) {
		if addr, ok := strings.CutPrefix(line, "ADDRESS="); ok {
			return strings.TrimSpace(addr)
		}
	}
	return ""
}

// TestThreeRenewalsAfterAMove has leases so short that the container's networkd renews
// three times while the test watches.
func TestThreeRenewalsAfterAMove(t *testing.T) {
	const addr = "10.64.177.101"
	s := serve(t, strings.Replace(network, `"1h"`, `"10s"`, 1), "")
	old := s.awaitState("cent01", control.Dynamic).Configured[0].String()
	s.must("pin", "cent01", addr, "--drain", "1s", "--wait", "settled")
	cent01 := guestOf(t, "cent01")
	await(t, "the drain to end", func() bool { return slices.Equal(addresses(t, cent01), []string{addr + "/24"}) })

	changes := &lockedBuffer{}
	monitor := cent01.Command("ip", "-4", "-o", "monitor", "address")
	monitor.Stdout, monitor.Stderr = changes, changes
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = monitor.Process.Kill(); _ = monitor.Wait() }()
	train := startTrain(t, addr)
	renewals, expiry := 0, s.look("cent01").Expiry
	await(t, "three renewals", func() bool {
		if now := s.look("cent01").Expiry; now.After(expiry) {
			renewals, expiry = renewals+1, now
		}
		return renewals >= 3
	})
	if lost := train.stop(); lost > 0 {
		t.Errorf("%d pings lost over three renewals", lost)
	}
	s.mustHave("cent01", addr)
	if have := addresses(t, cent01); !slices.Equal(have, []string{addr + "/24"}) {
		t.Errorf("addresses %v after three renewals", have)
	}
	said := changes.String()
	if !strings.Contains(said, addr) {
		t.Errorf("the kernel was not seen to take a renewed lease:\n%s", said)
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "Deleted") || strings.Contains(line, old) {
			t.Errorf("an address changed: %s", line)
		}
	}
}

func TestSwapBySavingTheFile(t *testing.T) {
	const first, second = "10.64.177.101", "10.64.177.102"
	s := serve(t, network, pinLine("cent01", first)+pinLine("cent02", second))
	s.mustHave("cent01", first)
	s.mustHave("cent02", second)
	bystander := startTrain(t, s.awaitState("cent03", control.Dynamic).Configured[0].String())
	cent01, cent02, cent03 := guestOf(t, "cent01"), guestOf(t, "cent02"), guestOf(t, "cent03")
	swapped := startTrain(t, first)
	saved := time.Now()
	write(t, s.pins, pinLine("cent01", second)+pinLine("cent02", first))
	await(t, "the swap", func() bool {
		return slices.Contains(addresses(t, cent01), second+"/24") && slices.Contains(addresses(t, cent02), first+"/24")
	})
	took := time.Since(saved)
	if took > time.Second {
		t.Errorf("the swap took %s", took)
	}
	for _, addr := range []string{first, second} {
		await(t, "another container to reach "+addr, func() bool {
			return cent03.Command("ping", "-c1", "-W1", "-q", addr).Run() == nil
		})
	}
	s.mustHave("cent01", second)
	s.mustHave("cent02", first)
	for name, want := range map[string]string{"cent01": second, "cent02": first} {
		if have := networkdLease(t, name); have != want {
			t.Errorf("networkd inside %s believes it has %q, want %s", name, have, want)
		}
		if have := addresses(t, guestOf(t, name)); !slices.Equal(have, []string{want + "/24"}) {
			t.Errorf("%s has %v, want its new address alone", name, have)
		}
	}
	if lost := bystander.stop(); lost > 0 {
		t.Errorf("another container lost %d pings", lost)
	}
	t.Logf("measured: a swap of two LXD containers, file saved to both seen: %.0f ms; without an answer: %d ms", ms(took), swapped.stop()*10)
}
