package chaos

import (
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// The services.
const (
	orders   = "orders"
	stock    = "stock"
	payments = "payments"
	shipping = "shipping"
)

var services = []string{orders, payments, shipping, stock}

// purchase is what a customer orders, and all that happens to it on the way: who
// draws it knows how the steps will behave, and no process needs a source of chance.
type purchase struct {
	Customer string
	SKU      string
	Quantity int
	Cents    int64

	Slow         time.Duration // how long handlers take, besides their statements
	ReserveFails int           // attempts of reserve-stock that fail
	ReleaseFails int           // attempts of its compensation that fail
	ShipFails    int           // attempts of ship that fail

	Answer       verdict
	AnswerAfter  time.Duration // how long the bank takes
	Patience     time.Duration // how long authorise waits for it
	ShipAfter    time.Duration // how long the carrier takes
	ShipPatience time.Duration // how long ship waits until it is shown as stuck
}

// verdict is how the bank answers.
type verdict string

const (
	approves verdict = "approves"
	declines verdict = "declines"
	silent   verdict = "silent"
)

// endlessly is a number of attempts that outlasts every deadline.
const endlessly = 1 << 20

// The payloads.
type (
	placed     struct{ Purchase purchase }
	reserved   struct{ SKU string }
	authorised struct{ Cents int64 }
	charged    struct{ Cents int64 }
	parcel     struct{ SKU string }
	confirmed  struct{}
)

// The steps.
var (
	placeOrder   = choreo.NewStep[purchase, placed]("place-order")
	reserveStock = choreo.NewStep[placed, reserved]("reserve-stock")
	authorise    = choreo.NewStep[placed, authorised]("authorise")
	charge       = choreo.NewStep[choreo.Join, charged]("charge")
	ship         = choreo.NewStep[charged, parcel]("ship")
	confirm      = choreo.NewStep[parcel, confirmed]("confirm")
	handOut      = choreo.NewStep[choreo.Join, parcel]("hand-out")
)

const (
	// deadline of both sagas. It has to leave time for the outages, so that most sagas
	// end by themselves.
	deadline = 40 * time.Second
	// stepTimeout is shorter than the time for which processes are stopped.
	stepTimeout = 5 * time.Second
	// retryFirst is above what a participant waits for in place: a row holds the retry.
	retryFirst = 150 * time.Millisecond
	retryLimit = 3 * time.Second
)

func retries(attempts int) choreo.RetryPolicy {
	return choreo.LinearRetry(attempts, retryFirst, retryLimit)
}

// delivery is an order that is sent: charge is its pivot, past which it only goes on.
//
//	place-order → reserve-stock ─┬→ charge → ship → confirm
//	            → authorise     ─┘
//
// The bank answers authorise and the carrier ship, both from another process.
var delivery = choreo.MustDefine[purchase]("delivery", 1,
	placeOrder.OwnedBy(orders).Timeout(stepTimeout),
	reserveStock.OwnedBy(stock).After(placeOrder).Timeout(stepTimeout).Retry(retries(endlessly)).UndoRetry(retries(20)),
	authorise.OwnedBy(payments).After(placeOrder).Timeout(stepTimeout),
	charge.OwnedBy(payments).After(reserveStock, authorise).Pivot().Timeout(stepTimeout),
	ship.OwnedBy(shipping).After(charge).Uses(placeOrder).Timeout(stepTimeout).Retry(retries(3)),
	confirm.OwnedBy(orders).After(ship).Timeout(stepTimeout),
	choreo.Deadline(deadline),
)

// pickup is an order that the customer comes for. It has no pivot: whether it is too late
// to turn back is decided by orders, which started it.
//
//	place-order → reserve-stock ─┬→ hand-out
//	            → authorise     ─┘
var pickup = choreo.MustDefine[purchase]("pickup", 1,
	placeOrder.OwnedBy(orders).Timeout(stepTimeout),
	reserveStock.OwnedBy(stock).After(placeOrder).Timeout(stepTimeout).Retry(retries(endlessly)).UndoRetry(retries(20)),
	authorise.OwnedBy(payments).After(placeOrder).Timeout(stepTimeout),
	handOut.OwnedBy(shipping).After(reserveStock, authorise).Uses(placeOrder).Timeout(stepTimeout),
	choreo.Deadline(deadline),
)

var sagas = map[string]*choreo.Saga[purchase]{"delivery": delivery, "pickup": pickup}

// definitions returns the sagas in which a service owns a step: all of them.
func definitions() []choreo.AnySaga { return []choreo.AnySaga{delivery, pickup} }

// Codes of refusals.
const (
	outOfStock = "out-of-stock"
	declined   = "declined"
	noCredit   = "no-credit"
)
