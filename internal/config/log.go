package config

import "berth/internal/config/document"

// LogFormat is how the log's lines about DHCP look.
type LogFormat string

// The formats.
const (
	LogText    LogFormat = "text"    // as all others
	LogDnsmasq LogFormat = "dnsmasq" // as dnsmasq writes them, for the tools that read those
)

// log checks the table [log].
func (c *checker) log(root *document.Table) LogFormat {
	const hint = `write [log] and below it format = "dnsmasq"`
	format := LogText
	top := root.Find("log")
	if top == nil {
		return format
	}
	if top.Value.Kind != document.TableKind {
		c.refuse(top.Value, hint, "log is a table, not %s", top.Value.Kind)
		return format
	}
	for _, e := range top.Value.Table.Entries {
		switch {
		case e.Key != "format":
			c.add(e.Unknown("key", []string{"format"}))
		case e.Value.Kind != document.String:
			c.refuse(e.Value, `write format = "dnsmasq"`, "format is %s, not %s", document.String, e.Value.Kind)
		case e.Value.Text != string(LogText) && e.Value.Text != string(LogDnsmasq):
			c.refuse(e.Value, `write "text" or "dnsmasq"`, "%q is no format of the log", e.Value.Text)
		default:
			format = LogFormat(e.Value.Text)
		}
	}
	return format
}
