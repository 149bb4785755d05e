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
		switch {
		case p.Holder.Guest == "" && p.Name != "":
			text = fmt.Appendf(text, "%s,%s,%s", p.Holder.MAC, p.Name, p.Addr)
		case p.Holder.Guest == "":
			text = fmt.Appendf(text, "%s,%s", p.Holder.MAC, p.Addr)
		default:
			text = fmt.Appendf(text, "%s,%s", p.Holder.Guest, p.Addr)
		}
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
