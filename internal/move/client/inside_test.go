package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
)

// play runs a role until the standard input ends.
func play(role string) error {
	var err error
	switch {
	case role == "networkd":
		err = playNetworkd()
	case strings.HasPrefix(role, "bus "):
		err = playBus(strings.TrimPrefix(role, "bus "))
	default:
		err = errors.New("unknown role")
	}
	if err != nil {
		return err
	}
	fmt.Println("up")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return nil
}

// manager answers as systemd-networkd does: to root only.
type manager struct{ conn *dbus.Conn }

func (m manager) RenewLink(index int32, sender dbus.Sender) *dbus.Error {
	return m.called("RenewLink", index, sender)
}

func (m manager) ReconfigureLink(index int32, sender dbus.Sender) *dbus.Error {
	return m.called("ReconfigureLink", index, sender)
}

func (m manager) called(member string, index int32, sender dbus.Sender) *dbus.Error {
	var uid uint32
	err := m.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixUser", 0, string(sender)).Store(&uid)
	if err != nil || uid != 0 {
		return dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", nil)
	}
	if os.Getenv("BERTH_TEST_OLD") != "" {
		return dbus.NewError("org.freedesktop.DBus.Error.UnknownMethod", nil)
	}
	fmt.Printf("%s %d by %d\n", member, index, uid)
	return nil
}

func playNetworkd() error {
	conn, err := dbus.Connect("unix:path=/" + busSocket)
	if err != nil {
		return err
	}
	// Export with the sender as a parameter.
	if err := conn.Export(manager{conn}, "/org/freedesktop/network1", "org.freedesktop.network1.Manager"); err != nil {
		return err
	}
	reply, err := conn.RequestName("org.freedesktop.network1", dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("the name is taken: %v", reply)
	}
	return err
}

// playBus is a bus that means ill.
func playBus(how string) error {
	l, err := net.Listen("unix", "/"+busSocket)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go annoy(c, how)
		}
	}()
	return nil
}

func annoy(c net.Conn, how string) {
	defer c.Close()
	in := bufio.NewReader(c)
	switch how {
	case "silent":
		_, _ = in.ReadString(0)
		select {}
	case "endless line":
		for {
			if _, err := c.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
				return
			}
		}
	case "rejects":
		_, _ = in.ReadString('\n')
		fmt.Fprint(c, "REJECTED EXTERNAL\r\n")
		return
	}
	_, _ = in.ReadString('\n')
	fmt.Fprint(c, "OK 0123456789abcdef0123456789abcdef\r\n")
	_, _ = in.ReadString('\n')
	signal := callMessage(7, "a.b", "/", "a.b", "C", nil)
	signal[1] = 4
	switch how {
	case "closes":
	case "huge message":
		m := bytes.Clone(signal[:16])
		binary.LittleEndian.PutUint32(m[4:], 1<<27)
		_, _ = c.Write(m)
		select {}
	case "garbage":
		_, _ = c.Write(bytes.Repeat([]byte{0xff}, 256))
		select {}
	case "broken fields":
		m := bytes.Clone(signal)
		binary.LittleEndian.PutUint32(m[20:], 0xfffffff0)
		_, _ = c.Write(m)
		select {}
	case "flood":
		for {
			if _, err := c.Write(signal); err != nil {
				return
			}
		}
	}
}

func byteOrder(little bool) binary.ByteOrder {
	if little {
		return binary.LittleEndian
	}
	return binary.BigEndian
}
