package servers

import "context"

// Control stops and starts a server under the feet of those who use it. Its address
// and its data stay. Methods return when the server is up or gone.
type Control struct {
	do func(ctx context.Context, verb string) error // start, stop, kill, immediate
}

// Start starts the server and waits until it serves. It does nothing if it runs.
func (c *Control) Start(ctx context.Context) error { return c.do(ctx, "start") }

// Stop shuts the server down cleanly. It does nothing if it does not run.
func (c *Control) Stop(ctx context.Context) error { return c.do(ctx, "stop") }

// Kill ends the server with SIGKILL, as a crash would: it says goodbye to nobody.
func (c *Control) Kill(ctx context.Context) error { return c.do(ctx, "kill") }

// Immediate shuts PostgreSQL down at once: it tells those who use it and then breaks off
// what they do, so that the next start recovers as after a crash. The container of one is
// killed instead.
func (c *Control) Immediate(ctx context.Context) error { return c.do(ctx, "immediate") }

// Restart stops the server cleanly and starts it again.
func (c *Control) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	return c.Start(ctx)
}
