package client

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// bus speaks the little of D-Bus that calling a method with one number takes (D-Bus specification 0.43).
type bus struct {
	conn   net.Conn
	in     *bufio.Reader
	serial uint32
}

func (b *bus) close() { b.conn.Close() }

const (
	maxBusMessage  = 64 << 10
	maxBusMessages = 64 // signals come between
)

// Types of messages and header fields.
const (
	methodCall   = 1
	methodReturn = 2
	methodError  = 3

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8

	noAutoStart = 2
)

// busError is an error that was answered.
type busError struct{ name string }

func (e *busError) Error() string { return "answered " + e.name }

// isUnknown reports whether nobody there has such a method.
func (e *busError) isUnknown() bool {
	switch strings.TrimPrefix(e.name, "org.freedesktop.DBus.Error.") {
	case "UnknownMethod", "UnknownObject", "UnknownInterface", "ServiceUnknown", "NameHasNoOwner":
		return true
	}
	return false
}

var errBusMalformed = errors.New("the system bus answers what is no D-Bus")

// begin authenticates as user 0 of the guest's own counting, and says hello.
func (b *bus) begin() error {
	// EXTERNAL with "0" in hexadecimal digits of its bytes.
	if _, err := b.conn.Write([]byte("\x00AUTH EXTERNAL 30\r\n")); err != nil {
		return fmt.Errorf("authenticate at the system bus: %w", err)
	}
	line, err := b.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("authenticate at the system bus: %w", err)
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return errors.New("the system bus does not take us for the guest's root")
	}
	if _, err := b.conn.Write([]byte("BEGIN\r\n")); err != nil {
		return fmt.Errorf("authenticate at the system bus: %w", err)
	}
	const self = "org.freedesktop.DBus"
	return b.call(self, "/org/freedesktop/DBus", self, "Hello")
}

// call calls a method and waits for its answer, whose content is of no interest.
func (b *bus) call(destination, path, iface, member string, args ...int32) error {
	b.serial++
	if _, err := b.conn.Write(callMessage(b.serial, destination, path, iface, member, args)); err != nil {
		return err
	}
	for range maxBusMessages {
		m, err := b.receive()
		if err != nil {
			return err
		}
		switch {
		case m.reply != b.serial:
		case m.typ == methodReturn:
			return nil
		case m.typ == methodError:
			return &busError{m.name}
		}
	}
	return errors.New("no answer among many messages")
}

func callMessage(serial uint32, destination, path, iface, member string, args []int32) []byte {
	var body []byte
	for _, a := range args {
		body = binary.LittleEndian.AppendUint32(body, uint32(a))
	}
	m := []byte{'l', methodCall, noAutoStart, 1}
	m = binary.LittleEndian.AppendUint32(m, uint32(len(body)))
	m = binary.LittleEndian.AppendUint32(m, serial)
	m = binary.LittleEndian.AppendUint32(m, 0) // length of the fields, below
	fields := len(m)
	m = appendField(m, fieldPath, 'o', path)
	m = appendField(m, fieldInterface, 's', iface)
	m = appendField(m, fieldMember, 's', member)
	m = appendField(m, fieldDestination, 's', destination)
	if len(args) > 0 {
		m = appendField(m, fieldSignature, 'g', strings.Repeat("i", len(args)))
	}
	binary.LittleEndian.PutUint32(m[fields-4:], uint32(len(m)-fields))
	return append(padTo(m, 8), body...)
}

// appendField appends a header field: a struct of its code and a variant with a text.
func appendField(m []byte, code, kind byte, text string) []byte {
	m = append(padTo(m, 8), code, 1, kind, 0)
	if kind == 'g' {
		m = append(m, byte(len(text)))
	} else {
		m = binary.LittleEndian.AppendUint32(padTo(m, 4), uint32(len(text)))
	}
	return append(append(m, text...), 0)
}

func padTo(m []byte, n int) []byte {
	for len(m)%n != 0 {
		m = append(m, 0)
	}
	return m
}

// answer is what is read of a message.
type answer struct {
	typ   byte
	reply uint32 // the call it answers
	name  string // of the error
}

// receive reads one message.
func (b *bus) receive() (answer, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(b.in, head); err != nil {
		return answer{}, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case head[3] != 1:
		return answer{}, errBusMalformed
	case head[0] == 'B':
		order = binary.BigEndian
	case head[0] != 'l':
		return answer{}, errBusMalformed
	}
	body, fields := order.Uint32(head[4:]), order.Uint32(head[12:])
	if body > maxBusMessage || fields > maxBusMessage {
		return answer{}, errBusMalformed
	}
	rest := make([]byte, (int(fields)+7)&^7+int(body))
	if _, err := io.ReadFull(b.in, rest); err != nil {
		return answer{}, err
	}
	a := answer{typ: head[1]}
	return a, a.readFields(rest[:fields], order)
}

// readFields reads the fields of which the type is known; offsets count from a multiple of 8.
func (a *answer) readFields(b []byte, order binary.ByteOrder) error {
	for at := 0; at < len(b); at = (at + 7) &^ 7 {
		if at+4 > len(b) || b[at+1] != 1 || b[at+3] != 0 {
			return errBusMalformed
		}
		code, kind := b[at], b[at+2]
		at += 4
		var length int
		switch kind {
		case 'u':
			if at+4 > len(b) {
				return errBusMalformed
			}
			if code == fieldReplySerial {
				a.reply = order.Uint32(b[at:])
			}
			at += 4
			continue
		case 'g':
			if at+1 > len(b) {
				return errBusMalformed
			}
			length = int(b[at])
			at++
		case 's', 'o':
			if at+4 > len(b) {
				return errBusMalformed
			}
			length = int(order.Uint32(b[at:]))
			at += 4
		default:
			return errBusMalformed
		}
		if length < 0 || length > len(b)-at-1 {
			return errBusMalformed
		}
		if code == fieldErrorName {
			a.name = strings.ToValidUTF8(string(b[at:at+min(length, 255)]), "?")
		}
		at += length + 1
	}
	return nil
}
