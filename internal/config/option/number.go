package option

import (
	"fmt"
	"strconv"
	"strings"

	"berth/internal/config/document"
)

// numberKind is an integer of size bytes from least to most, in network order.
func numberKind(size int, least, most int64) kind {
	return kind{
		toml: document.Integer, label: "integer", want: fmt.Sprintf("an integer from %d to %d", least, most), example: strconv.FormatInt(max(least, 1), 10),
		encode: func(e *encoder, v *document.Value) { e.number(v, size, least, most) },
		show: func(data []byte) string {
			if len(data) != size {
				return ""
			}
			n := number(data)
			if least < 0 {
				n = n << (64 - 8*size) >> (64 - 8*size) // with its sign
			}
			return strconv.FormatInt(n, 10)
		},
	}
}

func u8(least int64) kind  { return numberKind(1, least, 1<<8-1) }
func u16(least int64) kind { return numberKind(2, least, 1<<16-1) }
func u32() kind            { return numberKind(4, 0, 1<<32-1) }
func s32() kind            { return numberKind(4, -1<<31, 1<<31-1) }

// numbersKind is a list of integers of 16 bits.
func numbersKind(least int64) kind {
	const size, most = 2, 1<<16 - 1
	return kind{
		toml: document.Array, label: "integers", want: "a list of integers", example: fmt.Sprintf("[%d]", max(least, 1)),
		encode: func(e *encoder, v *document.Value) {
			for _, item := range v.Items {
				if item.Kind != document.Integer {
					e.refuse(item, "write a number without quotes", "an integer is wanted here, not %s", item.Kind)
					continue
				}
				e.number(item, size, least, most)
			}
		},
		show: func(data []byte) string {
			if len(data)%size != 0 {
				return ""
			}
			var texts []string
			for ; len(data) > 0; data = data[size:] {
				texts = append(texts, strconv.FormatInt(number(data[:size]), 10))
			}
			return strings.Join(texts, " ")
		},
	}
}

func (e *encoder) number(v *document.Value, size int, least, most int64) {
	if v.Int < least || v.Int > most {
		e.refuse(v, fmt.Sprintf("write a number from %d to %d", least, most), "%d is out of range", v.Int)
		return
	}
	for i := size - 1; i >= 0; i-- {
		e.put(byte(v.Int >> (8 * i)))
	}
}

func number(data []byte) int64 {
	var n int64
	for _, b := range data {
		n = n<<8 | int64(b)
	}
	return n
}

// flagKind is one byte, 0 or 1.
func flagKind() kind {
	return kind{
		toml: document.Bool, label: "flag", want: "true or false", example: "true",
		encode: func(e *encoder, v *document.Value) {
			if v.Bool {
				e.put(1)
			} else {
				e.put(0)
			}
		},
		show: func(data []byte) string {
			if len(data) != 1 || data[0] > 1 {
				return ""
			}
			return strconv.FormatBool(data[0] == 1)
		},
	}
}
