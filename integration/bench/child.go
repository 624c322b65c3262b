package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// childFlag makes this program one of the processes that are measured. It is not for people.
const childFlag = "--child"

// task is the first line that a child reads.
type task struct {
	Role  string `json:"role"`
	Place place  `json:"place"`
	Sagas int    `json:"sagas,omitempty"`
}

// The roles of a child.
const (
	roleService = "service" // runs one service; each further line is a load to start
	roleSkipper = "skipper" // takes part in sagas of which it owns no step; a further line ends that
	roleHolder  = "holder"  // starts sagas that cannot go on
)

// answer is a line that a child writes.
type answer struct {
	Error  string             `json:"error,omitempty"`
	Values map[string]float64 `json:"values,omitempty"`
}

// runChild does what it is told on stdin, and ends when that ends.
func runChild(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	lines, out := json.NewDecoder(stdin), json.NewEncoder(stdout)
	var t task
	if err := lines.Decode(&t); err != nil {
		return fmt.Errorf("%s is not for people: %w", childFlag, err)
	}
	say := func(values map[string]float64) error { return out.Encode(answer{Values: values}) }
	var err error
	switch t.Role {
	case roleService:
		err = serveLoads(ctx, &t, lines, say)
	case roleSkipper:
		err = skip(ctx, &t, lines, say)
	case roleHolder:
		err = hold(ctx, &t, say)
	default:
		err = fmt.Errorf("there is no role %q", t.Role)
	}
	if err != nil {
		return out.Encode(answer{Error: err.Error()})
	}
	return nil
}

// stopWithin is how long a child may take to stop when it is interrupted.
const stopWithin = 20 * time.Second

// child is another process of this program.
type child struct {
	name    string
	command *exec.Cmd
	in      *json.Encoder
	stdin   io.Closer
	out     *json.Decoder
}

// child starts one. It ends when its stdin does, at the latest with this process.
func (c *closers) child(ctx context.Context, name string, t *task) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, childFlag)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = stopWithin
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("process of %s: %w", name, err)
	}
	p := &child{name: name, command: command, in: json.NewEncoder(stdin), stdin: stdin, out: json.NewDecoder(bufio.NewReader(stdout))}
	c.add(p.close)
	// On stdin, since anybody may read a command line, and the DSN may hold a password.
	err = p.tell(t)
	return p, err
}

func (p *child) tell(line any) error {
	if err := p.in.Encode(line); err != nil {
		return fmt.Errorf("process of %s: %w", p.name, err)
	}
	return nil
}

// hear waits for the next answer.
func (p *child) hear() (map[string]float64, error) {
	var a answer
	if err := p.out.Decode(&a); err != nil {
		return nil, fmt.Errorf("process of %s has ended: %w", p.name, err)
	}
	if a.Error != "" {
		return nil, fmt.Errorf("process of %s: %s", p.name, a.Error)
	}
	return a.Values, nil
}

// close ends the process and waits for it.
func (p *child) close() error {
	if err := errors.Join(p.stdin.Close(), p.command.Wait()); err != nil {
		return fmt.Errorf("process of %s: %w", p.name, err)
	}
	return nil
}
