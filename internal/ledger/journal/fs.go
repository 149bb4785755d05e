package journal

import "io"

// FS is what the journal asks of a file system. Names are paths; errors are those
// of package os. Tests put one in its place that fails or forgets.
type FS interface {
	MkdirAll(dir string) error                    // with mode 0700, and durable
	Lock(dir string) (io.Closer, error)           // exclusive until closed; *LockedError names who has it
	List(dir string) ([]string, error)            // base names
	ReadFile(name string) ([]byte, error)         // whole
	Create(name string) (File, error)             // empty, mode 0600, replacing what was there
	OpenAt(name string, size int64) (File, error) // cut to size, further writes go to the end
	Rename(from, to string) error                 // replacing to
	Remove(name string) error                     // fs.ErrNotExist when it is not there
	SyncDir(dir string) error                     // makes Create, Rename and Remove durable
}

// File is a file being written from its end on.
type File interface {
	io.Writer
	Sync() error // data and size are durable when it returns
	Close() error
}
