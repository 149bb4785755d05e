package config

// Load reads the file at path and checks it, like Parse. A file that can not be read is an
// *ipam.Problem.
func Load(path string, env Env) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, env)
}
