package dnsmasq

import (
	"strings"
)

// cutTag is what a field asks for with "tag:" or its older form "net:".
func cutTag(field text) (text, bool) {
	if tag, ok := field.cutPrefix("tag:"); ok {
		return tag, true
	}
	return field.cutPrefix("net:")
}

// applies reports whether all tags that a line asks for are set for everybody on the bridge: its own
// name is, and that of another is not.
func (r *reader) applies(tags []text) bool {
	for _, t := range tags {
		r.tags[strings.TrimPrefix(t.plain(), "!")] = true
		if r.command.Bridge == "" || t.plain() != r.command.Bridge {
			return false
		}
	}
	return true
}

// noteTags remembers which tags a line asks for that is not honoured.
func (r *reader) noteTags(value text) {
	if value.isEmpty() {
		return
	}
	for _, f := range value.fields() {
		if tag, ok := cutTag(f); ok {
			r.tags[strings.TrimPrefix(tag.plain(), "!")] = true
		}
	}
}

// setTag remembers that a line sets a tag. It matters only when another line asks for it.
func (r *reader) setTag(tag text) {
	r.set = append(r.set, placed{tag.plain(), r.in(tag.col())})
}

// unserveTags lists the tags that are set for nothing here.
func (r *reader) unserveTags() {
	for _, t := range r.set {
		if r.tags[t.text] {
			r.unserveAt(t.at, byPort, "the tag %s is not set; other lines ask for it", quote(t.text))
		}
	}
}
