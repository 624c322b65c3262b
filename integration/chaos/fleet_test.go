//go:build unix

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fleet is the processes of a run.
type fleet struct {
	dir     string // of their logs
	doors   string // of their sockets
	binary  string
	members []*member
	failed  chan error // of a process that ended by itself
	busy    sync.WaitGroup

	mu sync.Mutex // over the states of the members
}

// memberState is what a member is, by the will of the run.
type memberState int

const (
	down memberState = iota
	up
	stopped // by SIGSTOP
	leaving // told to end
)

// member is a process of the fleet, over all the times that it was started anew.
type member struct {
	role
	door  *http.Client
	state memberState
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan error // of cmd
}

// newFleet returns a fleet that is down: two processes of each service, and a desk for
// each of the two that need one.
func newFleet(t *testing.T, dir string, common role) *fleet {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	doors, err := os.MkdirTemp("", "chaos") //nolint:usetesting // a socket's path has at most 104 bytes, and dir may be deep
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(doors) })
	f := &fleet{dir: dir, doors: doors, binary: binary, failed: make(chan error, 64)}
	for _, service := range services {
		for n := range 2 {
			f.add(common, service, fmt.Sprintf("%s-%d", service, n+1), false)
		}
	}
	f.add(common, payments, "bank", true)
	f.add(common, shipping, "carrier", true)
	t.Cleanup(f.killAll)
	return f
}

func (f *fleet) add(r role, service, name string, desk bool) {
	r.Service, r.Process, r.Desk = service, name, desk
	r.Socket = filepath.Join(f.doors, name)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.Socket)
	}
	f.members = append(f.members, &member{role: r, door: &http.Client{Transport: &http.Transport{DialContext: dial}}})
}

// start starts a member that is down.
func (f *fleet) start(m *member) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	log, err := os.OpenFile(f.log(m), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has a handle of its own
	encoded, err := json.Marshal(m.role)
	if err != nil {
		return err
	}
	cmd := exec.Command(f.binary)
	cmd.Env = append(os.Environ(), processVariable+"="+string(encoded))
	cmd.Stdout, cmd.Stderr = log, log
	// The end of its standard input tells a process that its parent is gone. One that is
	// stopped then goes on and sees it since its group of its own has lost its parent.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if m.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.cmd, m.state, m.ended = cmd, up, make(chan error, 1)
	go f.wait(m, cmd, m.ended)
	return nil
}

// wait waits for the end of a process, and reports one that nobody asked for.
func (f *fleet) wait(m *member, cmd *exec.Cmd, ended chan<- error) {
	err := cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.cmd == cmd && (m.state == up || m.state == stopped) {
		f.failed <- fmt.Errorf("%s ended by itself with %v, see %s", m.Process, cmd.ProcessState, f.log(m))
	}
	ended <- err
}

func (f *fleet) log(m *member) string { return filepath.Join(f.dir, m.Process+".log") }

// pick returns one of the members that run and suit, by a number drawn beforehand, and
// nil if there is none. It gets the state that goes with what is about to happen to it.
func (f *fleet) pick(draw uint64, next memberState, suits func(*member) bool) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	candidates := slices.DeleteFunc(slices.Clone(f.members), func(m *member) bool { return m.state != up || !suits(m) })
	if len(candidates) == 0 {
		return nil
	}
	m := candidates[draw%uint64(len(candidates))]
	m.state = next
	return m
}

// kill ends a picked member with SIGKILL and starts it again after a while.
func (f *fleet) kill(ctx context.Context, m *member, away time.Duration) error {
	if err := m.cmd.Process.Kill(); err != nil {
		return err
	}
	err := <-m.ended
	if m.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return errors.Join(fmt.Errorf("%s was not killed, see %s", m.Process, f.log(m)), err)
	}
	f.busy.Go(func() {
		_ = pause(ctx, away)
		if err := f.start(m); err != nil {
			f.failed <- err
		}
	})
	return nil
}

// stop stops a picked member for so long, and calls before, just before it goes on.
func (f *fleet) stop(ctx context.Context, m *member, long time.Duration, before func()) error {
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	f.busy.Go(func() {
		_ = pause(ctx, long)
		before()
		if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			f.failed <- err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		m.state = up
	})
	return nil
}

// shutDown tells all members to end, and expects that they do so in good order.
func (f *fleet) shutDown(within time.Duration) error {
	f.mu.Lock()
	for _, m := range f.members {
		m.state = leaving
		_ = m.cmd.Process.Signal(syscall.SIGTERM) // one that has ended shows below
	}
	f.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	var faults []error
	for _, m := range f.members {
		select {
		case err := <-m.ended:
			if err != nil {
				faults = append(faults, fmt.Errorf("%s did not end in good order: %w, see %s", m.Process, err, f.log(m)))
			}
		case <-late.C:
			return fmt.Errorf("%s has not ended within %v, see %s", m.Process, within, f.log(m))
		}
	}
	return errors.Join(faults...)
}

// killAll ends what is left.
func (f *fleet) killAll() {
	f.busy.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		m.state = leaving
		if m.cmd != nil {
			_ = m.cmd.Process.Kill() // it may have ended
		}
	}
}

// errAgain says that a request was not served, or may not have been: it can be sent again.
var errAgain = errors.New("not served")

// send sends a request to a member and returns nil once it was served.
func (m *member) send(ctx context.Context, path string, request any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.Process+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := m.door.Do(post)
	if err != nil {
		return fmt.Errorf("%w by %s: %w", errAgain, m.Process, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body)
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w by %s: %s", errAgain, m.Process, bytes.TrimSpace(text))
	}
	return fmt.Errorf("%s: %s: %s", m.Process, answer.Status, bytes.TrimSpace(text))
}

// pause waits for so long or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
