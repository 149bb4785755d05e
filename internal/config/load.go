package config

// Load reads the file at path and checks it, like Parse. A file that can not be read is an
// *ipam.Problem.
func Load(path string, env Env) (*File, error) {
	data, err := ReadFile(path, "--config")
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, data, env)
	if err != nil {
		return nil, err
	}
	f.Files = []string{path}
	return f, nil
}
