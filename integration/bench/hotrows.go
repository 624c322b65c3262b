package main

import (
	"context"
	"errors"
)

// measureHotRows compares bursts in which all steps of a service write to a few rows with
// those that spread over all rows. Each service has two instances on its one database, so
// that transactions of different processes would meet.
func measureHotRows(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	at := b.place("hot-rows", b.brokers)
	at.Instances, at.Connections = 2, 8
	s, err := open.real(ctx, at, create)
	if err != nil {
		return err
	}
	sys, err := start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.close()) }()
	burst := func(sagas, rows int) (float64, error) {
		l := b.load("hot-rows", sagas)
		l.Rows = rows
		took, err := sys.burst(ctx, l)
		return rate(sagas, took), err
	}
	for _, rows := range []int{accounts, b.HotRows} {
		if _, err := burst(b.warm(), rows); err != nil {
			return err
		}
	}
	for i := range b.Runs {
		var hot, uncontended float64
		err := alternate(i, func() (err error) {
			uncontended, err = burst(b.Sagas, accounts)
			return err
		}, func() (err error) {
			hot, err = burst(b.Sagas, b.HotRows)
			return err
		})
		if err != nil {
			return err
		}
		b.add("hot-rows.uncontended", uncontended)
		b.add("hot-rows.hot", hot)
		b.add("hot-rows.against-uncontended", hot/uncontended)
	}
	return nil
}

// alternate does two things that are compared: in every second run in the other order, so that
// neither always has the cleaner machine.
func alternate(run int, one, other func() error) error {
	if run%2 == 1 {
		one, other = other, one
	}
	if err := one(); err != nil {
		return err
	}
	return other()
}
