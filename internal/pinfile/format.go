package pinfile

import (
	"fmt"
	"time"

	"berth/internal/ipam"
)

// Format is pins as a pins file would say them, one a line, in the order given.
func Format(pins []ipam.Pin) []byte {
	var text []byte
	for _, p := range pins {
		who, ok := spell(p.Holder)
		if !ok {
			continue // no line says it, and so no line was the source of it
		}
		if name, ok := spell(ipam.ByName(p.Name)); ok && !p.Holder.IsGuest() {
			who += "," + name
		}
		text = fmt.Appendf(text, "%s,%s", who, p.Addr)
		switch {
		case p.LeaseTime >= ipam.NeverExpires:
			text = append(text, ",infinite"...)
		case p.LeaseTime > 0:
			text = fmt.Appendf(text, ",%ds", p.LeaseTime/time.Second)
		}
		text = append(text, '\n')
	}
	return text
}
