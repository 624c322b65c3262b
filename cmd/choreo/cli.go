package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// cli is one run of the command line, with all that it has of the world.
type cli struct {
	in       io.Reader
	out, err io.Writer
	env      connect.Env
	// asks says that a person is there to be asked.
	asks                     bool
	outTerminal, errTerminal bool
	width, height            int // of the terminal, 0 where there is none
	now                      func() time.Time

	format string // of the report: --output
}

// run runs the command that the arguments name.
func (c *cli) run(ctx context.Context, args []string) exit.Code {
	if c.now == nil {
		c.now = time.Now
	}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !errors.Is(err, exit.ErrFindings) {
		c.explain(cmd, err)
	}
	return exit.Of(err)
}

// explain says on standard error why a command failed, and what to do next.
func (c *cli) explain(cmd *cobra.Command, err error) {
	p := out.Printer{W: c.err, Width: c.columns(), Colour: c.errTerminal && c.colours()}
	t := p.Text()
	message := inFlags(err.Error())
	switch code := exit.Of(err); {
	case code == exit.TimedOut && !strings.Contains(message, "timed out"):
		message += ": nobody answered in time: check the addresses, or wait longer with --timeout"
	case code == exit.Interrupted:
		message = "interrupted"
	}
	t.Para("choreo: ", "%s", message)
	if exit.Of(err) == exit.Usage {
		t.Para("", "See '%s --help'.", cmd.CommandPath())
	}
	_ = p.Write(t) // standard error is gone: there is nobody left to tell
}

// inFlags puts the names of flags and variables in the place of those of Go's fields.
func inFlags(message string) string {
	return strings.NewReplacer(
		"kafka: Config.", "", "confluent: Config.", "", "Config.URLs is", "--registry is", "URLs[0]", "--registry",
		"URLs", "--registry", "Brokers[", "--brokers[", "SASL.Mechanism", "--sasl", "SASL.User", "--sasl-user",
		"SASL.Password", "CHOREO_SASL_PASSWORD", "Token and User", "CHOREO_REGISTRY_TOKEN and --registry-user",
		"User is empty although Password", "--registry-user is empty although CHOREO_REGISTRY_PASSWORD",
		"use User and Password", "use --registry-user and CHOREO_REGISTRY_PASSWORD",
		": set TLS, or use scram-sha-512", ": say --tls, or --sasl scram-sha-512",
	).Replace(message)
}

// printer returns what the command writes its report with.
func (c *cli) printer() *out.Printer {
	return &out.Printer{W: c.out, Format: out.Format(c.format), Width: c.columns(), Colour: c.outTerminal && c.colours()}
}

// columns returns how wide text may be: long lines tire the eye on the widest screen.
func (c *cli) columns() int {
	if c.width <= 0 {
		return 80
	}
	return min(c.width, 120)
}

// colours reports whether colours are wanted, see https://no-color.org.
func (c *cli) colours() bool { return c.env("NO_COLOR") == "" && c.env("TERM") != "dumb" }

// say writes a line for people that is no result.
func (c *cli) say(format string, args ...any) {
	p := out.Printer{W: c.err, Width: c.columns()}
	t := p.Text()
	t.Para("", format, args...)
	_ = p.Write(t) // as in explain
}

// confirm asks whether to go on. Where nobody can be asked, --yes is needed.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !c.asks {
		return exit.Usagef("%s Nobody is there to answer: say --yes to go on", question)
	}
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(c.in, &answer); err != nil && !errors.Is(err, io.EOF) && err.Error() != "unexpected newline" {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// connection resolves the settings, and bounds ctx by --timeout.
func (c *cli) connection(cmd *cobra.Command) (*connect.Settings, context.Context, context.CancelFunc, error) {
	settings, err := connect.Resolve(cmd.Flags(), c.env)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), settings.Timeout)
	return settings, ctx, cancel, nil
}

// write writes a result to a file, or to the standard output for "" and "-".
func (c *cli) write(file string, data []byte) error {
	if file != "" && file != "-" {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("writing the output: %w", err)
		}
		return nil
	}
	if _, err := c.out.Write(data); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}
