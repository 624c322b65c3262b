package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
)

// turned is the end of a command whose saga was undone.
func turned(says string) error { return exit.With(exit.Turned, errors.New(says)) }

// sagaWait is "choreo saga wait".
func (c *cli) sagaWait() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "wait SAGA ID [flags]",
		Short: "wait for the end of a saga",
		Long: `Waits until a saga has ended, and writes it then. The exit code is 0 where it
completed, 4 where it was compensated or failed, 5 where it had not ended in
time. A saga that is not there yet is waited for, too.`,
		Example: `  choreo saga wait order 1042 --within 2m && echo delivered`,
		Args:    sagaArgs(0, ""), ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if within < 0 {
				return exit.Usagef("--within is %s: use a positive duration, or 0 for without end", within)
			}
			settings, err := connect.Resolve(cmd.Flags(), c.env)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, within)
				defer cancel()
			}
			source, err := c.source(settings, cmd.Flags())
			if err != nil {
				return err
			}
			last, err := c.await(ctx, source, args[0], args[1], func(s *tracker.Snapshot) bool { return s.Status.Ended() })
			if err := errors.Join(err, source.Close()); err != nil {
				return stillOpen(err, last, within)
			}
			if err := out.One(c.printer(), last, func(t *out.Text, s *tracker.Snapshot) { c.writeLine(t, s) }); err != nil {
				return err
			}
			return hasEnded(last)
		},
	}
	c.reports(cmd)
	cmd.Flags().DurationVar(&within, "within", 0, "at most so long, as a Go `duration`; then the exit code is 5 (default without end)")
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func stillOpen(err error, last *tracker.Snapshot, within time.Duration) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	where := "it was not seen at all"
	if last != nil {
		where = "it is " + string(last.Status)
		if waits := stands(last); waits != "" {
			where += ", and waits for " + waits
		}
	}
	return exit.With(exit.TimedOut, fmt.Errorf("timed out after %s: %s", within, where))
}

// await waits until a saga is as it is asked for, and returns it. With an error, it returns what
// was seen last, if anything was.
func (c *cli) await(ctx context.Context, source sagas.Source, saga, id string, good func(*tracker.Snapshot) bool) (*tracker.Snapshot, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	var last *tracker.Snapshot
	look := make(chan struct{}, 1)
	look <- struct{}{}
	again := func() {
		select {
		case look <- struct{}{}:
		default:
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		err := source.Watch(ctx, tracker.Filter{Sagas: []string{saga}}, again, func(s *tracker.Snapshot) error {
			if s.Saga == saga && s.ID == id {
				mu.Lock()
				last = s
				mu.Unlock()
				again()
			}
			return nil
		})
		if err != nil {
			stop(err)
		}
	})
	defer watching.Wait()
	defer stop(nil)
	for {
		select {
		case <-ctx.Done():
			mu.Lock()
			seen := last
			mu.Unlock()
			return seen, context.Cause(ctx)
		case <-look:
		}
		d, err := source.Saga(ctx, saga, id)
		if err != nil && !errors.Is(err, tracker.ErrNotFound) {
			return last, err
		}
		mu.Lock()
		if err == nil && (last == nil || d.Saga.Offset >= last.Offset) {
			last = d.Saga
		}
		done := last != nil && good(last)
		mu.Unlock()
		if done {
			return last, nil
		}
	}
}

// writeLine writes a saga in one line.
func (c *cli) writeLine(t *out.Text, s *tracker.Snapshot) {
	line := []out.Styled{
		out.S(out.Plain, "%s %s  ", whole(s), s.ID), out.S(styleOf(s.Status), "%s", s.Status), out.S(out.Plain, "  "),
	}
	for i := range s.Steps {
		line = append(line, mark(s.Steps[i].Status))
	}
	line = append(line, out.S(out.Faint, "  %s", age(s, c.now())))
	if waits := stands(s); waits != "" {
		line = append(line, out.S(out.Plain, "  %s", waits))
	}
	t.Line(line...)
}

// sagaWatch is "choreo saga watch".
func (c *cli) sagaWatch() *cobra.Command {
	var f filter
	var rows int
	cmd := &cobra.Command{
		Use:   "watch [SAGA [ID]] [flags]",
		Short: "see sagas move",
		Long: `Shows sagas as they change. On a terminal it redraws a view: of one saga its
steps, of many those that changed last, each with its bar of steps. Into a pipe
it writes a line a change. With an ID it ends with the saga, with the exit codes
of 'choreo saga wait'; else it goes on until it is interrupted.`,
		Example: `  choreo saga watch
  choreo saga watch order 1042
  choreo saga watch order --status stuck -o jsonl`,
		Args:              between(0, 2, "at most a SAGA and an ID"),
		ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := f.of(c.now())
			if err != nil {
				return err
			}
			if rows < 1 || rows > 200 {
				return exit.Usagef("--rows is %d: use a number from 1 to 200", rows)
			}
			settings, err := connect.Resolve(cmd.Flags(), c.env)
			if err != nil {
				return err
			}
			source, err := c.source(settings, cmd.Flags())
			if err != nil {
				return err
			}
			w := &watch{cli: c, source: source, filter: chosen, rows: rows, live: c.outTerminal && c.format == string(out.Table) && c.env("TERM") != "dumb"}
			if len(args) > 0 {
				w.filter.Sagas = args[:1]
			}
			if len(args) > 1 {
				w.id = args[1]
			}
			return errors.Join(w.run(cmd.Context()), source.Close())
		},
	}
	c.reports(cmd)
	f.flags(cmd)
	cmd.Flags().IntVarP(&rows, "rows", "n", 15, "show this `number` of sagas on a terminal")
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

// watch is a view of sagas that change.
type watch struct {
	*cli
	source sagas.Source
	filter tracker.Filter
	id     string // of the one saga; empty: many
	rows   int
	live   bool

	mu     sync.Mutex
	seen   []*tracker.Snapshot // the latest first
	drawn  int                 // lines that stand on the terminal
	events int                 // changes that were seen
	dirty  bool
}

// errSeen ends the watching of one saga.
var errSeen = errors.New("the saga has ended")

// run watches until ctx ends, or the one saga does.
func (w *watch) run(ctx context.Context) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	reset := make(chan struct{}, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() { w.refresh(inner, stop, reset) })
	err := w.source.Watch(inner, w.filter, func() {
		select {
		case reset <- struct{}{}:
		default:
		}
	}, w.see)
	cause := context.Cause(inner)
	stop(nil)
	tasks.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	drawErr := w.draw()
	if errors.Is(err, errSeen) || errors.Is(cause, errSeen) {
		return errors.Join(drawErr, hasEnded(w.seen[0]))
	}
	if err == nil && cause != nil && ctx.Err() == nil {
		err = cause
	}
	return errors.Join(err, drawErr)
}

// refresh asks for what was there before, after each reset, and redraws now and then.
func (w *watch) refresh(ctx context.Context, stop context.CancelCauseFunc, reset <-chan struct{}) {
	var tick <-chan time.Time
	if w.live {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		tick = ticker.C
	}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-reset:
			if err := w.catchUp(ctx); err != nil && ctx.Err() == nil {
				stop(err)
			}
		case <-tick:
			w.mu.Lock()
			var err error
			if w.dirty || n%4 == 0 { // ages go on while nothing changes
				err = w.draw()
			}
			w.mu.Unlock()
			if err != nil {
				stop(err)
			}
		}
	}
}

// catchUp reads what the stream of changes does not tell.
func (w *watch) catchUp(ctx context.Context) error {
	if w.id != "" {
		d, err := w.source.Saga(ctx, w.filter.Sagas[0], w.id)
		if errors.Is(err, tracker.ErrNotFound) {
			return nil // it may come
		}
		if err != nil {
			return err
		}
		return w.see(d.Saga)
	}
	if !w.live { // lines tell of changes alone
		return nil
	}
	list, err := w.source.List(ctx, tracker.Query{Filter: w.filter, Order: tracker.ByUpdated, Descending: true, Limit: w.rows})
	if err != nil {
		return err
	}
	for _, s := range slices.Backward(list.Sagas) {
		if err := w.see(s); err != nil {
			return err
		}
	}
	return nil
}

// see takes a change.
func (w *watch) see(s *tracker.Snapshot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.id != "" && s.ID != w.id || !w.filter.Matches(s) {
		return nil
	}
	i := slices.IndexFunc(w.seen, func(other *tracker.Snapshot) bool { return other.Saga == s.Saga && other.ID == s.ID })
	if i >= 0 {
		if w.seen[i].Offset >= s.Offset {
			return nil
		}
		w.seen = slices.Delete(w.seen, i, i+1)
	}
	w.seen = slices.Insert(w.seen, 0, s)
	w.seen = w.seen[:min(len(w.seen), max(w.rows, 1000))]
	w.events++
	w.dirty = true
	if !w.live {
		if err := out.List(w.lines(), []*tracker.Snapshot{s}, func(t *out.Text, _ []*tracker.Snapshot) { w.writeLine(t, s) }); err != nil {
			return err
		}
	}
	if w.id != "" && s.Status.Ended() {
		return errSeen
	}
	return nil
}

// lines writes one change: a stream is no JSON document, so that -o json is as jsonl.
func (w *watch) lines() *out.Printer {
	p := w.printer()
	if p.Format == out.JSON {
		p.Format = out.JSONL
	}
	return p
}

// draw writes the view over what stands there. The caller holds the lock.
func (w *watch) draw() error {
	if !w.live {
		return nil
	}
	w.dirty = false
	t := w.printer().Text()
	switch {
	case w.id != "" && len(w.seen) == 0:
		t.Para("", "Waiting for %s %s…", w.filter.Sagas[0], w.id)
	case w.id != "":
		w.writeSaga(t, &sagas.Detail{Saga: w.seen[0]})
	case len(w.seen) == 0:
		t.Para("", "Waiting for sagas that change…")
	default:
		w.writeSagas(t, w.seen[:min(len(w.seen), w.rows)])
		t.Blank()
		t.Line(out.S(out.Faint, "%s seen; ctrl-c ends", counted(w.events, "change", "changes")))
	}
	var b strings.Builder
	if w.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", w.drawn) // up to where the last view began
	}
	w.drawn = 0
	for line := range strings.Lines(t.String()) {
		if w.height > 1 && w.drawn == w.height-1 {
			break // what has scrolled away could not be drawn over
		}
		b.WriteString("\x1b[2K" + line) // what stood on the line goes
		w.drawn++
	}
	b.WriteString("\x1b[0J") // and what is left below
	if _, err := io.WriteString(w.out, b.String()); err != nil {
		return fmt.Errorf("writing the view: %w", err)
	}
	return nil
}
