package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A file is a header and frames. One frame is one batch: it was written and synced
// as a whole before the next was begun, so a whole frame proves that everything
// before it had been durable.
//
//	header: "berth" kind 0 version | id (8) | CRC32C of those 16 (4) | 0 (4)
//	frame:  length of payload (4) | CRC32C of id, offset, length, payload (4) | payload
//	payload: records, each preceded by its length as uvarint
//
// Numbers are little-endian. An empty payload is a mark: in a log "closed in good
// order", in a snapshot "complete". The id is random and the offset is where the frame
// begins: neither a stale block of another file nor bytes that a client made us
// store can pass for a frame.
const (
	headerSize = 24
	frameSize  = 8
	version    = 1
)

// fileKind is the letter in a file's header.
type fileKind byte

const (
	kindLog      fileKind = 'J'
	kindSnapshot fileKind = 'S'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errTorn    = errors.New("no whole record")
	errVersion = errors.New("written by a newer version of berth")
)

func header(kind fileKind, id uint64) []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, 'b', 'e', 'r', 't', 'h', byte(kind), 0, version)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return binary.LittleEndian.AppendUint32(b, 0)
}

// parseHeader gives the id of a file; errTorn when its header is not whole.
func parseHeader(data []byte, kind fileKind) (uint64, error) {
	if len(data) < headerSize || string(data[:5]) != "berth" ||
		binary.LittleEndian.Uint32(data[16:]) != crc32.Checksum(data[:16], castagnoli) {
		return 0, errTorn
	}
	if data[7] > version {
		return 0, errVersion
	}
	if fileKind(data[5]) != kind {
		return 0, fmt.Errorf("it is of kind %q, not %q", data[5], kind)
	}
	return binary.LittleEndian.Uint64(data[8:]), nil
}

func checksum(id uint64, offset int64, payload []byte) uint32 {
	var seed [20]byte
	binary.LittleEndian.PutUint64(seed[0:], id)
	binary.LittleEndian.PutUint64(seed[8:], uint64(offset))
	binary.LittleEndian.PutUint32(seed[16:], uint32(len(payload)))
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, payload)
}

// seal fills in the first frameSize bytes of frame, which is to be written at offset.
func seal(frame []byte, id uint64, offset int64) {
	payload := frame[frameSize:]
	binary.LittleEndian.PutUint32(frame, uint32(len(payload)))
	binary.LittleEndian.PutUint32(frame[4:], checksum(id, offset, payload))
}

// frameAt gives the payload of the frame at off, or errTorn; io.EOF at the very end.
func frameAt(data []byte, id uint64, off int) ([]byte, error) {
	if off == len(data) {
		return nil, io.EOF
	}
	if len(data)-off < frameSize {
		return nil, errTorn
	}
	n := int64(binary.LittleEndian.Uint32(data[off:]))
	if n > int64(len(data)-off-frameSize) {
		return nil, errTorn
	}
	payload := data[off+frameSize : off+frameSize+int(n)]
	if binary.LittleEndian.Uint32(data[off+4:]) != checksum(id, int64(off), payload) {
		return nil, errTorn
	}
	return payload, nil
}

// scanBudget bounds the bytes that frameAfter sums up, so that a damaged file of
// unlucky lengths can not hold up the start for ever.
const scanBudget = 8 << 30

// frameAfter reports whether a whole frame begins anywhere after off: then what is
// damaged at off had once been synced. Out of budget it says so too: refusing
// is the answer that loses nothing.
func frameAfter(data []byte, id uint64, off int) bool {
	budget := int64(scanBudget)
	for o := off + 1; o+frameSize <= len(data); o++ {
		n := int64(binary.LittleEndian.Uint32(data[o:]))
		if n > int64(len(data)-o-frameSize) {
			continue
		}
		if budget -= n + 20; budget < 0 {
			return true
		}
		if _, err := frameAt(data, id, o); err == nil {
			return true
		}
	}
	return false
}

func appendRecord(dst, record []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(record))), record...)
}

// records calls f with each record of a payload.
func records(payload []byte, f func([]byte) error) error {
	for len(payload) > 0 {
		n, w := binary.Uvarint(payload)
		if w <= 0 || n > uint64(len(payload)-w) {
			return errors.New("a record is longer than its frame")
		}
		if err := f(payload[w : w+int(n)]); err != nil {
			return err
		}
		payload = payload[w+int(n):]
	}
	return nil
}
