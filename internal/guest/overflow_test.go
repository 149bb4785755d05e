package guest

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
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

// batch runs many ip commands in one process.
func (l *overflowLog) batch(t *testing.T, commands string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
}
