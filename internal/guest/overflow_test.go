package guest

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// overflowLog notices that the index reported lost events.
type overflowLog struct {
	t    *testing.T
	seen chan struct{}
}

func (l *overflowLog) logger() *slog.Logger { return slog.New(l) }

func (l *overflowLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *overflowLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *overflowLog) WithGroup(string) slog.Handler            { return l }

func (l *overflowLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "overflowed") {
		select {
		case l.seen <- struct{}{}:
		default:
		}
	}
	return nil
}

// cyclePorts creates, plugs in and deletes n ports, several at a time.
func cyclePorts(t *testing.T, n int) {
	t.Helper()
	const lanes = 12
	var group errgroup.Group
	for lane := range lanes {
		var batch strings.Builder
		for i := lane; i < n; i += lanes {
			fmt.Fprintf(&batch, "link add p%d type veth peer name q%d\nlink set p%d master br0 up\nlink del p%d\n", i, i, i, i)
		}
		group.Go(func() error {
			cmd := exec.Command("ip", "-batch", "-")
			cmd.Stdin = strings.NewReader(batch.String())
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("ip -batch: %w: %s", err, out)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
