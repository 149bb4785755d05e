package config

import _ "embed"

//go:embed reference.toml
var reference string // never written to: an embedded file has to be a variable

// Reference is a berth.toml with every key, its default, unit and meaning. It is itself
// a configuration.
func Reference() []byte { return []byte(reference) }
