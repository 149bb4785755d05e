package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"berth/internal/ipam"
)

// Client talks to the daemon at a socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient is a client of the daemon at the socket path.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Guests lists all guests; with a name, those of that name.
func (c *Client) Guests(ctx context.Context, name string) ([]Guest, error) {
	path := "/v1/guests"
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	var guests []Guest
	return guests, c.call(ctx, http.MethodGet, path, nil, &guests)
}

// Status asks for the daemon's health.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	return st, c.call(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// Why asks what decided an address or a name.
func (c *Client) Why(ctx context.Context, subject string) (Why, error) {
	var why Why
	return why, c.call(ctx, http.MethodGet, "/v1/why?subject="+url.QueryEscape(subject), nil, &why)
}

// Pin pins a guest and waits until it has the address.
func (c *Client) Pin(ctx context.Context, req PinRequest) (Outcome, error) {
	return c.change(ctx, "/v1/pin", req)
}

// Unpin turns a pin into an ordinary lease.
func (c *Client) Unpin(ctx context.Context, req UnpinRequest) (Outcome, error) {
	return c.change(ctx, "/v1/unpin", req)
}

// Swap exchanges two pins.
func (c *Client) Swap(ctx context.Context, req SwapRequest) (Outcome, error) {
	return c.change(ctx, "/v1/swap", req)
}

// Reload has all files read again.
func (c *Client) Reload(ctx context.Context, dryRun bool) (Outcome, error) {
	return c.change(ctx, "/v1/reload", ReloadRequest{DryRun: dryRun})
}

func (c *Client) change(ctx context.Context, path string, req any) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, http.MethodPost, path, req, &out)
}

// call makes one request. An error from the daemon comes back as ipam.Problems; when
// it had an outcome beside, that is stored in out too.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	if method == http.MethodGet { // a change may wait for a guest; a question never waits long
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errNoAnswer)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://berth"+path, &body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			err = errNoAnswer
		}
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			return fmt.Errorf("daemon's answer: %w", err)
		}
		return nil
	}
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || len(f.Problems) == 0 {
		return fmt.Errorf("daemon answered %s", resp.Status)
	}
	if outcome, ok := out.(*Outcome); ok && f.Outcome != nil {
		*outcome = *f.Outcome
	}
	return ipam.Problems(f.Problems)
}

// patience is how long the daemon has to answer a question.
const patience = 10 * time.Second

var errNoAnswer = errors.New("no answer in time")

// unreachable says why nobody answers and how to change that.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, errNoAnswer):
		return &ipam.Problem{
			Code: ipam.CodeDaemon, Err: err,
			Text: fmt.Sprintf("the daemon at %s does not answer within %s", c.socket, patience),
			Hint: "what it is doing: journalctl -u berth; a restart cuts nobody off: systemctl restart berth",
		}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return &ipam.Problem{
			Code: ipam.CodeDaemon, Err: err,
			Text: "the daemon stopped while it was being asked",
			Hint: "what became of it, once it runs again: berth ls",
		}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &ipam.Problem{
			Code: ipam.CodeDaemon, Err: err,
			Text: fmt.Sprintf("no berth daemon answers at %s", c.socket),
			Hint: "start it: systemctl start berth, or by hand: sudo berth serve",
		}
	case errors.Is(err, os.ErrPermission):
		return &ipam.Problem{
			Code: ipam.CodeDenied, Err: err,
			Text: fmt.Sprintf("%s may not be opened by you", c.socket),
			Hint: "use sudo, or join the group: sudo usermod -aG berth $USER (then log in again)",
		}
	}
	return fmt.Errorf("daemon at %s: %w", c.socket, err)
}
