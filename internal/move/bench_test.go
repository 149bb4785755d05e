package move

import (
	"testing"
	"time"
)

// BenchmarkMove moves one guest back and forth, with the verification.
func BenchmarkMove(b *testing.B) {
	for _, drain := range []time.Duration{0, 30 * time.Second} {
		b.Run("drain "+drain.String(), func(b *testing.B) {
			newBridge(b)
			g := plug(b, "web", `addr add 10.9.0.5/24 dev eth0
				route add default via 10.9.0.1 dev eth0`)
			requests := []Request{request(b, g, "10.9.0.5", "10.9.0.6", drain), request(b, g, "10.9.0.6", "10.9.0.5", drain)}
			for i := 0; b.Loop(); i++ {
				if r := DoAll(b.Context(), requests[i%2:i%2+1], func(int) {}); r[0].Err != nil {
					b.Fatal(r[0].Err)
				}
			}
		})
	}
}
