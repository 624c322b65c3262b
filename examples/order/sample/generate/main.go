// Command generate writes the sample files, the same at every run, into the
// directory that it is started in.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/choreo-go/choreo/examples/internal/money"
)

type item struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	UnitPrice string `json:"unit_price"`
}

type order struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer"`
	Items    []item `json:"items"`
	ShipTo   string `json:"ship_to"`
}

// How many orders of each kind there are. Those of a kind that is refused are refused
// for that reason alone, so that the outcome does not depend on the order of events.
const (
	total      = 500
	soldOut    = 8  // of a sku of which there is none
	scarce     = 25 // one each of a sku of which there are scarceLeft
	scarceLeft = 8
	unserved   = 15 // to countries that shipping does not serve
	tight      = 30 // of customers who can pay for tightPaid orders of tightEach
	tightEach  = 5
	tightPaid  = 2
)

var prices = map[string]money.Cents{
	"atlas": 4950, "ballpoint-blue": 180, "ballpoint-red": 180, "binder-a4": 425, "calendar": 1290,
	"chalk-box": 340, "compass": 1675, "desk-lamp": 3890, "envelope-c5": 12, "eraser": 95,
	"fountain-pen": 5600, "glue-stick": 210, "highlighter": 155, "ink-black": 780, "label-roll": 640,
	"map-europe": 1850, "notebook-a5": 575, "paper-a4": 499, "pencil-hb": 65, "pin-board": 2240,
	"ruler-30": 130, "scissors": 885, "stapler": 1120, "tape": 235,
}

var (
	customers = []string{
		"ada", "alan", "barbara", "charles", "claude", "dana", "dennis", "edsger", "edgar", "emmy",
		"frances", "grace", "hedy", "jean", "john", "joan", "karen", "katherine", "ken", "leslie",
		"lynn", "margaret", "niklaus", "pat", "radia", "rob", "shafi", "sophie", "tony", "yukihiro",
	}
	served  = []string{"AT", "CA", "CH", "DE", "DK", "ES", "FR", "GB", "IT", "JP", "NL", "NO", "PL", "PT", "SE", "US"}
	ignored = []string{"AQ", "BV", "TF"}
)

func main() {
	orders, stock, accounts := generate(rand.New(rand.NewPCG(2, 500)))
	for name, content := range map[string][]byte{"orders.jsonl": orders, "stock.csv": stock, "accounts.csv": accounts} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func generate(r *rand.Rand) (ordersFile, stockFile, accountsFile []byte) {
	skus := slices.Sorted(maps.Keys(prices))
	some := func() order {
		o := order{Customer: pick(r, customers), ShipTo: pick(r, served)}
		for _, n := range r.Perm(len(skus))[:1+r.IntN(4)] {
			o.Items = append(o.Items, item{skus[n], 1 + r.Int64N(5), prices[skus[n]].String()})
		}
		return o
	}
	var orders []order
	for range soldOut {
		o := some()
		o.Items = append(o.Items, item{"globe-1886", 1, "480.00"})
		orders = append(orders, o)
	}
	for range scarce {
		o := some()
		o.Items = append(o.Items, item{"telescope", 1, "249.00"})
		orders = append(orders, o)
	}
	for range unserved {
		o := some()
		o.ShipTo = pick(r, ignored)
		orders = append(orders, o)
	}
	balances := make(map[string]money.Cents)
	for n := range tight / tightEach {
		o := some()
		o.Customer = fmt.Sprintf("student-%d", n+1)
		balances[o.Customer] = tightPaid * sum(o)
		orders = append(orders, slices.Repeat([]order{o}, tightEach)...)
	}
	for len(orders) < total {
		orders = append(orders, some())
	}
	r.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })

	onHand := map[string]int64{"globe-1886": 0, "telescope": scarceLeft}
	ample := make(map[string]money.Cents)
	demand := make(map[string]int64)
	var lines bytes.Buffer
	encode := json.NewEncoder(&lines)
	for i := range orders {
		o := &orders[i]
		o.OrderID = fmt.Sprintf("o-%04d", i+1)
		ample[o.Customer] += sum(*o)
		for _, it := range o.Items {
			demand[it.SKU] += it.Quantity
		}
		if err := encode.Encode(o); err != nil {
			log.Fatal(err)
		}
	}
	for _, sku := range skus {
		onHand[sku] = (demand[sku]/50 + 2) * 50
	}
	for customer, spent := range ample {
		if _, isTight := balances[customer]; !isTight {
			balances[customer] = (spent/100_00 + 2) * 100_00
		}
	}
	return lines.Bytes(), table("sku,on_hand", onHand), table("customer,balance", balances)
}

func sum(o order) money.Cents {
	var cents money.Cents
	for _, it := range o.Items {
		price, err := money.Parse(it.UnitPrice)
		if err != nil {
			log.Fatal(err)
		}
		cents += price * money.Cents(it.Quantity)
	}
	return cents
}

func table[V any](header string, rows map[string]V) []byte {
	out := []byte(header + "\n")
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		out = fmt.Appendf(out, "%s,%v\n", key, rows[key])
	}
	return out
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
