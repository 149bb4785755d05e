package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"berth/internal/control"
	"berth/internal/leasefile"
)

// importSource is a set-up that is taken over, and where its dnsmasq keeps leases; "%s" is the bridge.
type importSource struct{ name, leases string }

func importSources() []importSource {
	return []importSource{
		{"dnsmasq", "/var/lib/misc/dnsmasq.leases"},
		{"lxd-bridge", "/var/lib/lxd-bridge/dnsmasq.%s.leases"},
		{"lxc-net", "/var/lib/misc/dnsmasq.%s.leases"},
	}
}

func importCommand(u *ui) *cobra.Command {
	var req control.ImportRequest
	var paths []string
	var names []string
	for _, s := range importSources() {
		names = append(names, s.name)
	}
	cmd := &cobra.Command{
		Use:   "import " + strings.Join(names, "|"),
		Short: "Take over the leases of a dnsmasq, so that no guest changes its address",
		Long: `import reads the lease file of the dnsmasq that served the network before, and makes
its leases berth's: each guest has the address it had, until the same time. Stop that
dnsmasq first. What is not taken over is listed with line and reason: addresses
outside the networks, and those that are pinned to, or leased by, somebody else.
To do it twice does no harm. With --dry-run it also lists what the configuration
of the old service says and berth does not honour.

Without --leases the file is looked for where the old service kept it, for every
network: ` + importSources()[1].leases + `, ` + importSources()[2].leases + `,
` + importSources()[0].leases + ` (%s is the bridge).`,
		Example:   "  berth import lxd-bridge --dry-run\n  berth import dnsmasq --leases /var/lib/misc/dnsmasq.leases",
		Args:      exactArgs("SOURCE"),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := sourceNamed(args[0])
			if err != nil {
				return err
			}
			req.Source = source.name
			client := control.NewClient(u.socket)
			isNamed := len(paths) > 0
			if !isNamed {
				if paths, err = source.paths(cmd, client); err != nil {
					return err
				}
			}
			if req.Files, err = readLeases(cmd, paths, isNamed); err != nil {
				return err
			}
			done, err := client.Import(cmd.Context(), req)
			if err != nil {
				return err
			}
			return u.imported(done)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "leases", nil, "the lease file (may be given several times)")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "print what would happen, change nothing")
	return cmd
}

func sourceNamed(name string) (importSource, error) {
	var names []string
	for _, s := range importSources() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return importSource{}, usageProblem(name+" is nothing that berth can take over", "berth import "+strings.Join(names, "|"))
}

// paths are where the source keeps the leases of the networks that the daemon serves.
func (s importSource) paths(cmd *cobra.Command, client *control.Client) ([]string, error) {
	if !strings.Contains(s.leases, "%s") {
		return []string{s.leases}, nil
	}
	st, err := client.Status(cmd.Context())
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, n := range st.Networks {
		paths = append(paths, fmt.Sprintf(s.leases, n.Name))
	}
	return paths, nil
}

// readLeases reads the files. Of those that were not named on the command line one is enough.
func readLeases(cmd *cobra.Command, paths []string, isNamed bool) ([]control.LeaseFile, error) {
	var files []control.LeaseFile
	var absent error
	for _, path := range paths {
		text, err := leasefile.Read(cmd.Context(), path)
		if errors.Is(err, fs.ErrNotExist) && !isNamed {
			absent = err
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, control.LeaseFile{Path: path, Text: string(text)})
	}
	if len(files) == 0 && absent != nil {
		return nil, absent
	}
	return files, nil
}

// imported prints what became of the leases.
func (u *ui) imported(done control.Import) error {
	if u.json {
		return u.printJSON(done)
	}
	verb := "took over"
	if done.DryRun {
		verb = "would take over"
	}
	for _, l := range done.Imported {
		u.printf("%s %s for %s%s\n", verb, l.Addr, u.paint("bold", printable(l.Name)), validity(l))
	}
	for _, p := range done.LeftOut {
		u.printf("%s: %s\n", u.paint("yellow", "not taken over"), printable(p.Error()))
		if p.Hint != "" {
			u.printf("  hint: %s\n", printable(p.Hint))
		}
	}
	for _, p := range done.Unserved {
		u.printf("%s: %s\n", u.paint("yellow", "not honoured"), printable(p.Error()))
		if p.Hint != "" {
			u.printf("  hint: %s\n", printable(p.Hint))
		}
	}
	u.printf("%s: %s %s, %d as before, %d not taken over\n", printable(strings.Join(done.Files, ", ")),
		verb, count(len(done.Imported), "lease", "leases"), done.Same, len(done.LeftOut))
	return nil
}

// validity says until when a lease holds, and whose it is.
func validity(l control.ImportedLease) string {
	words := ""
	if l.Name != l.MAC && l.MAC != "" {
		words = " (" + l.MAC + ")"
	}
	switch {
	case l.Expired:
		return words + ", which has run out"
	case l.Expiry.IsZero():
		return words + ", for ever"
	}
	when := l.Expiry.Local()
	if time.Until(when) < 24*time.Hour {
		return words + ", until " + when.Format(time.TimeOnly)
	}
	return words + ", until " + when.Format(time.DateTime)
}
