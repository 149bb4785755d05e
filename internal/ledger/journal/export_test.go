package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// HeaderOfVersion is the header of a log as another version of berth would write it.
func HeaderOfVersion(v byte) []byte {
	b := header(kindLog, 1)
	b[7] = v
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return b
}
