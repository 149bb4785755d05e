package host

import (
	"os"
	"path/filepath"
	"strings"
)

const sysctlRoot = "/proc/sys"

// readSysctl reads a parameter by its path below /proc/sys (an interface's name may hold dots).
func readSysctl(key string) (string, error) {
	data, err := os.ReadFile(filepath.Join(sysctlRoot, key))
	return strings.TrimSpace(string(data)), err
}

// writeSysctl sets a parameter that exists.
func writeSysctl(key, value string) error {
	f, err := os.OpenFile(filepath.Join(sysctlRoot, key), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// sysctlName is the form sysctl(8) takes: dots between the parts, slashes for dots within one.
func sysctlName(key string) string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(key)
}
