package dnsmasqlog

import (
	"log/slog"
	"strconv"
)

// message is what a record says of a DHCP message.
type message struct {
	kind string // dnsmasq's word for it; "": the record is about none
	addr string
	mac  string
	port string
	note string // the name in an ACK, the reason in a NAK
}

// The texts of the records that tell of a message.
const (
	received = "received"
	sent     = "sent"
)

// messageOf is the message that a record of the server is about.
func messageOf(r slog.Record) message {
	var m message
	if r.Level != slog.LevelDebug || r.Message != received && r.Message != sent {
		return m
	}
	var kind, name, why string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "type":
			kind = a.Value.String()
		case "addr":
			m.addr = a.Value.String()
		case "mac":
			m.mac = a.Value.String()
		case "port":
			m.port = a.Value.String()
		case "name":
			name = a.Value.String()
		case "err":
			why = a.Value.String()
		}
		return true
	})
	m.kind = wordFor(r.Message, kind)
	switch m.kind {
	case "DHCPACK":
		m.note = name
	case "DHCPNAK":
		m.note = reason(why)
	case "DHCPRELEASE":
		if why != "" {
			m.note = "unknown lease"
		}
	}
	return m
}

// wordFor is dnsmasq's word for a message; the other ones that clients may send, it does not speak of.
func wordFor(text, kind string) string {
	if text == sent {
		return map[string]string{"offer": "DHCPOFFER", "ack": "DHCPACK", "nak": "DHCPNAK"}[kind]
	}
	return map[string]string{
		"discover": "DHCPDISCOVER", "request": "DHCPREQUEST", "decline": "DHCPDECLINE", "release": "DHCPRELEASE", "inform": "DHCPINFORM",
	}[kind]
}

// reason puts the reason of a NAK into the words that tools know.
func reason(why string) string {
	switch why {
	case "the address is another's":
		return "address in use"
	case "another address is meant for this client":
		return "static lease available"
	}
	return why
}

// append writes the line. dnsmasq leaves a blank before a note that is not there.
func (m *message) append(dst []byte, pid int, network string) []byte {
	dst = appendHead(dst, pid)
	dst = append(append(append(dst, m.kind...), '('), network...)
	dst = append(dst, ')', ' ')
	if m.addr != "" {
		dst = append(append(dst, m.addr...), ' ')
	}
	dst = append(append(dst, m.mac...), ' ')
	return append(append(dst, m.note...), '\n')
}

func appendHead(dst []byte, pid int) []byte {
	dst = strconv.AppendInt(append(dst, "dnsmasq-dhcp["...), int64(pid), 10)
	return append(dst, ']', ':', ' ')
}

func appendLeftOut(dst []byte, pid int, network, port string, n int) []byte {
	dst = strconv.AppendInt(appendHead(dst, pid), int64(n), 10)
	dst = append(append(dst, " messages of port "...), port...)
	return append(append(append(dst, " of "...), network...), " are not listed: there were too many\n"...)
}
