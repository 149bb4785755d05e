package dnsmasq_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/config/dnsmasq"
)

// BenchmarkParse reads ten thousand hosts.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&text, "dhcp-host=00:16:3e:00:%02x:%02x,cent%d,10.64.%d.%d\n", i>>8, i&255, i, i>>8, i&255)
	}
	for b.Loop() {
		if c, problems := dnsmasq.Parse("c", []byte(text.String()), machineless); len(c.Pins) != 10000 || len(problems) > 0 {
			b.Fatal(len(c.Pins), problems)
		}
	}
}
