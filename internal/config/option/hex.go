package option

import (
	"encoding/hex"
	"strings"

	"berth/internal/config/document"
)

const hexPrefix = "hex:"

func isHex(text string) bool {
	return len(text) >= len(hexPrefix) && strings.EqualFold(text[:len(hexPrefix)], hexPrefix)
}

// bytesKind is the type of options whose content is known to nobody here, or too intricate
// to be written otherwise.
func bytesKind() kind {
	return kind{
		toml: document.String, label: "bytes", want: "bytes in hexadecimal", example: `"hex:01:02:0a"`,
		encode: func(e *encoder, v *document.Value) {
			e.refuse(v, `write its bytes in hexadecimal: "hex:`+hex.EncodeToString([]byte(shorten(v.Text)))+`" is this text`,
				"%q does not begin with hex:", v.Text)
		},
		show: func([]byte) string { return "" },
	}
}

// shorten keeps a hint on one line.
func shorten(text string) string { return text[:min(len(text), 16)] }

// hex takes bytes as they are; colons, hyphens and blanks between them are for the reader.
func (e *encoder) hex(v *document.Value) {
	digits := strings.NewReplacer(":", "", "-", "", " ", "").Replace(v.Text[len(hexPrefix):])
	data, err := hex.DecodeString(digits)
	if err != nil {
		e.refuse(v, `write two digits of 0-9 and a-f for each byte, like "hex:0a:40:b1:01"`, "%q is not hexadecimal", v.Text)
		return
	}
	e.put(data...)
}

func showHex(data []byte) string { return hexPrefix + hex.EncodeToString(data) }
