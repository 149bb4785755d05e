package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/ipam"
)

// maxBody bounds a request; the largest is a few names and addresses.
const maxBody = 1 << 20

// Listen opens the socket for root and, where the group exists, group berth. A
// socket file that nobody listens on is replaced; a living daemon's is not.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, &ipam.Problem{Code: ipam.CodeHost, Text: fmt.Sprintf("another berth answers at %s", path), Hint: "stop it first: systemctl stop berth"}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, &ipam.Problem{Code: ipam.CodeHost, Text: path + " exists and is no socket; it is left alone", Hint: "give another path: --socket /run/berth/berth.sock"}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// Created closed, then opened for the group: nobody else slips in between.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if g, err := user.LookupGroup("berth"); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil && os.Chown(path, 0, gid) == nil {
			if err := os.Chmod(path, 0o660); err != nil {
				l.Close()
				return nil, fmt.Errorf("control socket: %w", err)
			}
		}
	}
	return l, nil
}

// Serve answers on l until ctx ends, then finishes the requests under way.
func Serve(ctx context.Context, l net.Listener, d Daemon, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           Handler(d),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // who only waits is sent home
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control API: %w", err)
	}
	return <-stopped
}

// Handler is the API itself.
func Handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/guests", func(w http.ResponseWriter, r *http.Request) {
		guests, err := d.Guests(r.Context())
		answer(w, guests, err)
	})
	mux.HandleFunc("GET /v1/guests/{name}", func(w http.ResponseWriter, r *http.Request) {
		guests, err := d.Guests(r.Context())
		if err != nil {
			answer(w, nil, err)
			return
		}
		found := named(guests, r.PathValue("name"))
		if len(found) == 0 {
			err = &ipam.Problem{Code: ipam.CodeNotFound, Text: fmt.Sprintf("no guest or pin is called %q", r.PathValue("name")), Hint: "berth ls"}
		}
		answer(w, found, err)
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		st, err := d.Status(r.Context())
		answer(w, st, err)
	})
	mux.HandleFunc("GET /v1/why", func(w http.ResponseWriter, r *http.Request) {
		why, err := d.Why(r.Context(), r.FormValue("subject"))
		answer(w, why, err)
	})
	mux.HandleFunc("POST /v1/pin", change(d.Pin))
	mux.HandleFunc("POST /v1/unpin", change(d.Unpin))
	mux.HandleFunc("POST /v1/swap", change(d.Swap))
	mux.HandleFunc("POST /v1/import", takeOver(d))
	mux.HandleFunc("POST /v1/reload", change(func(ctx context.Context, req ReloadRequest) (Outcome, error) {
		return d.Reload(ctx, req.DryRun)
	}))
	return mux
}

// ReloadRequest asks that all files are read again.
type ReloadRequest struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// change makes a handler of a method that takes a JSON request.
func change[Req any](do func(context.Context, Req) (Outcome, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&req); err != nil {
			answer(w, nil, &ipam.Problem{Code: ipam.CodeUsage, Text: "request: " + err.Error()})
			return
		}
		out, err := do(r.Context(), req)
		answer(w, out, err)
	}
}

// named finds guests by name, in any case and with a domain after it or not, or by hardware address.
func named(guests []Guest, name string) []Guest {
	var found []Guest
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, g := range guests {
		if g.Name == name || g.MAC == name || g.Domain != "" && g.Name+"."+g.Domain == name {
			found = append(found, g)
		}
	}
	return found
}

// failure is the body of an answer that is no success.
type failure struct {
	Problems []*ipam.Problem `json:"problems"`
	Outcome  *Outcome        `json:"outcome,omitempty"`
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	if err == nil {
		_ = enc.Encode(body)
		return
	}
	problems := asProblems(err)
	w.WriteHeader(httpStatus(problems[0].Code))
	f := failure{Problems: problems}
	if out, ok := body.(Outcome); ok && len(out.Results) > 0 {
		f.Outcome = &out
	}
	_ = enc.Encode(f)
}

func asProblems(err error) []*ipam.Problem {
	var many ipam.Problems
	if errors.As(err, &many) && len(many) > 0 {
		return many
	}
	var one *ipam.Problem
	if errors.As(err, &one) {
		return []*ipam.Problem{one}
	}
	return []*ipam.Problem{{Code: "internal", Text: err.Error(), Hint: "the daemon's log has more: journalctl -u berth"}}
}

func httpStatus(code string) int {
	switch code {
	case ipam.CodeUsage, ipam.CodeConfig, ipam.CodeRange:
		return http.StatusBadRequest
	case ipam.CodeConflict:
		return http.StatusConflict
	case ipam.CodeNotFound:
		return http.StatusNotFound
	case ipam.CodeDenied:
		return http.StatusForbidden
	case ipam.CodeFull:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}
