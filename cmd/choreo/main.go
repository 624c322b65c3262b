package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

func main() { os.Exit(int(fromProcess())) }

// fromProcess runs the command line of this process.
func fromProcess() exit.Code {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	c.asks = isatty.IsTerminal(os.Stdin.Fd()) && isatty.IsTerminal(os.Stderr.Fd())
	c.outTerminal = isatty.IsTerminal(os.Stdout.Fd())
	c.errTerminal = isatty.IsTerminal(os.Stderr.Fd())
	if width, height, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		c.width, c.height = width, height
	}
	return c.run(ctx, os.Args[1:])
}
