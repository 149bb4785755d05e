package option

import (
	"strconv"
	"unicode/utf8"

	"berth/internal/config/document"
)

// textKind is a text; RFC 2132 §2 wants no NUL at its end.
func textKind() kind {
	return kind{
		toml: document.String, label: "text", want: "a text", example: `"text"`,
		encode: func(e *encoder, v *document.Value) {
			for _, c := range []byte(v.Text) {
				if c < ' ' || c == 0x7f {
					e.refuse(v, `write such bytes as "hex:…" when they must be`, "the text holds the control character %#02x", c)
					return
				}
			}
			e.put([]byte(v.Text)...)
		},
		show: func(data []byte) string {
			if !utf8.Valid(data) {
				return ""
			}
			return strconv.Quote(string(data))
		},
	}
}
