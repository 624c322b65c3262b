package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
)

// measureFour measures Apache Kafka and PostgreSQL, each service in a process of its own. This
// one has the load started in that of orders, and waits until all is at rest.
func measureFour(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	at := b.place("four", b.brokers)
	at.Connections = 12
	watched := *at
	watched.Connections = 2
	s, err := open.real(ctx, &watched, create)
	if err != nil {
		return err
	}
	bare, err := open.bare(ctx, b)
	if err != nil {
		return err
	}
	four := &processes{setting: s, children: make(map[string]*child)}
	for _, service := range order.Services() {
		t := &task{Role: roleService, Place: *at}
		t.Place.Services = []string{service}
		if four.children[service], err = open.child(ctx, service, t); err != nil {
			return err
		}
	}
	for _, c := range four.children { // all are ready
		if _, err := c.hear(); err != nil {
			return err
		}
	}
	if _, err := four.burst(ctx, b.load("four", b.warm())); err != nil {
		return err
	}
	for range b.Runs {
		l := b.load("four", b.Sagas)
		took, err := four.burst(ctx, l)
		if err != nil {
			return err
		}
		b.add("four.sagas", rate(l.Sagas, took))
		b.add("four.steps", rate(l.steps(), took))
		if err := b.against(ctx, "four", rate(l.Sagas, took), bare); err != nil {
			return err
		}
	}
	return nil
}

// processes are services that run in processes of their own.
type processes struct {
	*setting[pgx.Tx] // as seen from here
	children         map[string]*child
	done             done
}

// burst has the sagas started and returns how long it took until all of them were at rest.
func (p *processes) burst(ctx context.Context, l load) (time.Duration, error) {
	begin := time.Now()
	if err := p.children[orders].tell(&l); err != nil {
		return 0, err
	}
	if _, err := p.children[orders].hear(); err != nil {
		return 0, err
	}
	p.done.add(&l)
	err := p.rest(ctx, &p.done)
	return time.Since(begin), err
}

// serveLoads runs a service, and starts each load that it is told.
func serveLoads(ctx context.Context, t *task, lines *json.Decoder, say func(map[string]float64) error) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	s, err := open.real(ctx, &t.Place, attach)
	if err != nil {
		return err
	}
	sys, err := start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.close()) }()
	if err := say(nil); err != nil {
		return err
	}
	for {
		var l load
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("a load that cannot be read: %w", err)
		}
		if err := sys.run(ctx, &l); err != nil {
			return err
		}
		if err := say(nil); err != nil {
			return err
		}
	}
}
