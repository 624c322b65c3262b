package main

import (
	"context"
	"database/sql"

	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/examples/travel/internal/cars"
	"github.com/choreo-go/choreo/examples/travel/internal/documents"
	"github.com/choreo-go/choreo/examples/travel/internal/flights"
	"github.com/choreo-go/choreo/examples/travel/internal/hotels"
	"github.com/choreo-go/choreo/examples/travel/internal/payments"
	"github.com/choreo-go/choreo/examples/travel/internal/trips"
	"github.com/choreo-go/choreo/participant"
)

// register binds the handlers of a service.
func register(service string, p *participant.Participant[*sql.Tx]) {
	switch service {
	case contract.Trips:
		trips.Register(p)
	case contract.Documents:
		documents.Register(p, documents.JammingPrinter)
	case contract.Flights:
		flights.Register(p)
	case contract.Hotels:
		hotels.Register(p)
	case contract.Cars:
		cars.Register(p)
	case contract.Payments:
		payments.Register(p)
	}
}

// schemaOf returns the business tables of a service.
func schemaOf(service string) string {
	switch service {
	case contract.Trips:
		return trips.Schema
	case contract.Documents:
		return documents.Schema
	case contract.Hotels:
		return hotels.Schema
	case contract.Payments:
		return payments.Schema
	}
	return capacity.Schema
}

// load fills a new database of a service.
func (a *agency) load(ctx context.Context, service string, db *sql.DB) (err error) {
	switch service {
	case contract.Documents:
		_, err = documents.Load(ctx, db, a.sample.Papers)
	case contract.Flights:
		_, err = capacity.Load(ctx, db, a.sample.Flights)
	case contract.Hotels:
		_, err = capacity.Load(ctx, db, a.sample.Hotels)
	case contract.Cars:
		_, err = capacity.Load(ctx, db, a.sample.Cars)
	case contract.Payments:
		_, err = payments.Load(ctx, db, a.sample.Accounts)
	}
	return err
}
