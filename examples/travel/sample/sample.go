// Package sample makes up trips, and what there is to book and to pay them with. The same
// seed makes the same sample everywhere.
package sample

import (
	"fmt"
	"math/rand/v2"

	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/examples/travel/internal/documents"
	"github.com/choreo-go/choreo/examples/travel/internal/payments"
)

// Sample is what a run needs.
type Sample struct {
	Trips    []*travelv1.TripRequested
	Flights  []capacity.Supply
	Hotels   []capacity.Supply
	Cars     []capacity.Supply
	Papers   []documents.Papers
	Accounts []payments.Account
}

const (
	customers = 40
	// One customer in so many has let the papers expire.
	expired = 20
)

// place is a destination, and what the trips to it would need.
type place struct {
	city, hotel         string
	flight, room, car   money.Cents
	seats, rooms, rents int64
}

func places() []place {
	return []place{
		{city: "Athens", hotel: "Akropolis View", flight: 18_900, room: 8_500, car: 3_900},
		{city: "Bergen", hotel: "Bryggen Inn", flight: 15_500, room: 14_200, car: 6_100},
		{city: "Cork", hotel: "Lee House", flight: 9_900, room: 11_000, car: 4_400},
		{city: "Lisbon", hotel: "Alfama Garden", flight: 14_400, room: 9_800, car: 3_500},
		{city: "Oslo", hotel: "Fjord", flight: 12_900, room: 13_500, car: 5_900},
		{city: "Palermo", hotel: "Quattro Canti", flight: 13_800, room: 7_900, car: 3_300},
		{city: "Riga", hotel: "Daugava", flight: 11_200, room: 6_900, car: 3_600},
		{city: "Valletta", hotel: "Bastion", flight: 16_700, room: 10_400, car: 3_200},
	}
}

// New makes a sample of so many trips. A longer one begins with the same trips. There is a
// little too little of most things for all of them.
func New(seed uint64, trips int) *Sample {
	var s Sample
	all, spent := places(), make([]money.Cents, customers)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range trips {
		at, customer := &all[random.IntN(len(all))], random.IntN(customers)
		plan := &travelv1.Plan{
			Destination: at.city, Travellers: 1 + random.Int32N(4), Nights: 2 + random.Int32N(12), WantsCar: random.IntN(2) == 0,
		}
		seats, rooms := int64(plan.GetTravellers()), int64(plan.GetTravellers()+1)/2
		at.seats += seats
		at.rooms += rooms
		spent[customer] += at.flight*money.Cents(seats) + at.room*money.Cents(rooms)*money.Cents(plan.GetNights())
		if plan.GetWantsCar() {
			at.rents++
			spent[customer] += at.car * money.Cents(plan.GetNights())
		}
		s.Trips = append(s.Trips, &travelv1.TripRequested{
			TripId:   fmt.Sprintf("trip-%d-%04d", seed, i+1),
			Customer: name(customer), Email: name(customer) + "@example.com", Plan: plan,
		})
	}
	s.supply(rand.New(rand.NewPCG(seed, 2)), all, spent)
	return &s
}

// supply gives each place, and each customer, a share of what all trips would need.
func (s *Sample) supply(random *rand.Rand, all []place, spent []money.Cents) {
	share := func(need, least, most int64) int64 { // of percents
		return need * (least + random.Int64N(most-least+1)) / 100
	}
	for i, at := range all {
		s.Flights = append(s.Flights, capacity.Supply{
			Destination: at.city, Name: fmt.Sprintf("CH %d", 101+i), Unit: at.flight, Units: share(at.seats, 80, 120)})
		s.Hotels = append(s.Hotels, capacity.Supply{
			Destination: at.city, Name: at.hotel, Unit: at.room, Units: share(at.rooms, 75, 115)})
		s.Cars = append(s.Cars, capacity.Supply{
			Destination: at.city, Name: "small car", Unit: at.car, Units: share(at.rents, 60, 130)})
	}
	for i, sum := range spent {
		s.Papers = append(s.Papers, documents.Papers{Customer: name(i), Valid: i%expired != expired-1})
		s.Accounts = append(s.Accounts, payments.Account{
			Customer: name(i), Balance: money.Cents(share(int64(sum), 60, 140))})
	}
}

func name(customer int) string { return fmt.Sprintf("customer-%02d", customer+1) }
