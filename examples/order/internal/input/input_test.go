package input_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/input"
)

func ExampleOrders() {
	lines := `{"order_id":"1","customer":"ann","items":[{"sku":"pen","quantity":2,"unit_price":"1.50"}],"ship_to":"DE"}
{"order_id":"2","customer":"ann","items":[{"sku":"pen","quantity":-2,"unit_price":"1.50"}],"ship_to":"DE"}`
	for order, err := range input.Orders(strings.NewReader(lines)) {
		fmt.Println(order.OrderID, err)
	}
	// Output:
	// 1 <nil>
	//  line 2: order 2: items[0].quantity is -2: it must be 1 or more
}

// line returns a good order with one text replaced.
func line(old, replacement string) string {
	const good = `{"order_id":"o-1","customer":"ann","items":[{"sku":"pen","quantity":2,"unit_price":"1.50"},{"sku":"ink","quantity":1,"unit_price":"9"}],"ship_to":"DE"}`
	if !strings.Contains(good, old) {
		panic("the good order has no " + old)
	}
	return strings.Replace(good, old, replacement, 1)
}

var goodOrder = contract.OrderPlaced{
	OrderID: "o-1", Customer: "ann", ShipTo: "DE",
	Items: []contract.Item{{SKU: "pen", Quantity: 2, UnitCents: 150}, {SKU: "ink", Quantity: 1, UnitCents: 900}},
}

func read(t *testing.T, text string) (orders []contract.OrderPlaced, rejected []*input.LineError) {
	t.Helper()
	for order, err := range input.Orders(strings.NewReader(text)) {
		if err == nil {
			orders = append(orders, order)
			continue
		}
		var bad *input.LineError
		require.ErrorAs(t, err, &bad)
		rejected = append(rejected, bad)
	}
	return orders, rejected
}

func TestOrdersThatCanBeRun(t *testing.T) {
	for name, text := range map[string]string{
		"plain":           line(`"o-1"`, `"o-1"`),
		"line end":        line(`"o-1"`, `"o-1"`) + "\n",
		"windows":         line(`"o-1"`, `"o-1"`) + "\r\n\r\n",
		"byte order mark": "\ufeff" + line(`"o-1"`, `"o-1"`),
		"blank lines":     "\n  \n" + line(`"o-1"`, `"o-1"`) + "\n\n",
		"unknown field":   line(`{"order_id"`, `{"placed_by":{"phone":1},"order_id"`),
		"spaces":          line(`"o-1",`, "  \"o-1\" ,\t"),
	} {
		t.Run(name, func(t *testing.T) {
			orders, rejected := read(t, text)
			require.Empty(t, rejected)
			require.Equal(t, []contract.OrderPlaced{goodOrder}, orders)
		})
	}
}

func TestOrdersThatAreRejected(t *testing.T) {
	long := strings.Repeat("x", input.MaxName+1)
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":              {`order 1`, "not an order in JSON"},
		"cut off":              {line(`"DE"}`, `"DE"`), "not an order in JSON"},
		"two values":           {line(`"DE"}`, `"DE"}{}`), "not an order in JSON"},
		"a list":               {`[1]`, "not an order in JSON"},
		"null":                 {`null`, "order_id is missing; customer is missing; ship_to is missing; items are missing"},
		"not UTF-8":            {line("ann", "\xff"), "it is not UTF-8"},
		"order_id missing":     {line(`"order_id":"o-1",`, ``), "order_id is missing"},
		"order_id empty":       {line(`o-1`, ``), "order_id is missing"},
		"order_id a number":    {line(`"o-1"`, `1`), "order_id: a JSON number does not fit here"},
		"order_id too long":    {line(`o-1`, long), "order_id is 129 bytes long: at most 128"},
		"order_id unprintable": {line(`o-1`, `a\u0000b`), "order_id has characters that cannot be printed"},
		"customer missing":     {line(`"customer":"ann",`, ``), "customer is missing"},
		"customer unprintable": {line(`ann`, `\u001b[31m`), "customer has characters that cannot be printed"},
		"items missing":        {`{"order_id":"o-1","customer":"ann","ship_to":"DE"}`, "items are missing"},
		"items empty":          {`{"order_id":"o-1","customer":"ann","items":[],"ship_to":"DE"}`, "items are missing"},
		"sku missing":          {line(`"sku":"pen",`, ``), "items[0].sku is missing"},
		"quantity missing":     {line(`"quantity":2,`, ``), "items[0].quantity is missing"},
		"quantity negative":    {line(`2,`, `-2,`), "items[0].quantity is -2"},
		"quantity zero":        {line(`2,`, `0,`), "items[0].quantity is 0"},
		"quantity a fraction":  {line(`2,`, `2.5,`), "quantity: a JSON number 2.5 does not fit here"},
		"quantity a string":    {line(`2,`, `"2",`), "quantity: a JSON string does not fit here"},
		"quantity too large":   {line(`2,`, `9223372036854775808,`), "quantity: a JSON number 9223372036854775808 does not fit here"},
		"price missing":        {line(`,"unit_price":"1.50"`, ``), "items[0].unit_price"},
		"price a number":       {line(`"1.50"`, `1.50`), "unit_price: a JSON number does not fit here"},
		"price negative":       {line(`1.50`, `-1.50`), `items[0].unit_price: "-1.50" is no amount`},
		"price too exact":      {line(`1.50`, `1.505`), `items[0].unit_price: "1.505" is no amount`},
		"price too large":      {line(`1.50`, `92233720368547758.08`), "items[0].unit_price: amount is too large"},
		"total too large":      {line(`1.50`, `92233720368547758.07`), "sku pen: 2 at 92233720368547758.07: amount is too large"},
		"sku sum too large":    {line(`2,"unit_price":"1.50"},{"sku":"ink"`, `9223372036854775807,"unit_price":"0"},{"sku":"pen"`), "sku pen: quantity is too large"},
		"country missing":      {line(`,"ship_to":"DE"`, ``), "ship_to is missing"},
		"country too long":     {line(`"DE"`, `"DEU"`), `ship_to is "DEU"`},
		"country lower case":   {line(`"DE"`, `"de"`), `ship_to is "de"`},
		"country two bytes":    {line(`"DE"`, `"ß"`), `ship_to is "ß"`},
		"too long":             {line(`o-1`, strings.Repeat("x", input.MaxLine)), "line is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			orders, rejected := read(t, "\n"+test.text+"\n"+line("o-1", "after"))
			require.Len(t, rejected, 1)
			require.Equal(t, 2, rejected[0].Line)
			require.ErrorContains(t, rejected[0], test.want)
			require.NotContains(t, rejected[0].Error(), "\n")
			require.Len(t, orders, 1, "the rest runs")
			require.Equal(t, "after", orders[0].OrderID)
		})
	}
}

func TestRepeatedOrder(t *testing.T) {
	orders, rejected := read(t, strings.Join([]string{
		line("2,", "-2,"), // rejected: its id may still come
		line("o-1", "o-1"),
		line("o-1", "o-2"),
		line("o-1", "o-1"),
	}, "\n"))
	require.Len(t, orders, 2)
	require.Len(t, rejected, 2)
	require.Equal(t, 4, rejected[1].Line)
	require.Equal(t, "o-1", rejected[1].OrderID)
	require.ErrorIs(t, rejected[1], input.ErrRepeated)
}

func TestLongestLine(t *testing.T) {
	spaces := func(length int) string {
		text := line("o-1", "o-1")
		return text + strings.Repeat(" ", length-len(text))
	}
	orders, rejected := read(t, spaces(input.MaxLine)+"\n"+spaces(input.MaxLine+1)+"\n"+spaces(3*input.MaxLine))
	require.Len(t, orders, 1)
	require.Len(t, rejected, 2)
	require.Equal(t, 3, rejected[1].Line)
}

func TestReadingStopsAtAnErrorOfTheReader(t *testing.T) {
	broken := errors.New("disk is gone")
	var got []error
	for _, err := range input.Orders(iotest.ErrReader(broken)) {
		got = append(got, err)
	}
	require.Len(t, got, 1)
	require.ErrorIs(t, got[0], broken)
	require.NotErrorAs(t, got[0], new(*input.LineError))
}

func TestOrdersNeverPanicAndCountEveryLine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOf(rapid.SampledFrom([]string{
			`{}`, `x`, line("o-1", "o-1"), line("o-1", "o-2"), line("2,", "0,"), `{"items":[null]}`, `{"items":null}`, "\x00",
		})).Draw(rt, "lines")
		orders, rejected := read(t, strings.Join(lines, "\n"))
		require.Equal(rt, len(lines), len(orders)+len(rejected))
	})
}

func TestReadStock(t *testing.T) {
	want := []input.Stock{{SKU: "pen", OnHand: 12}, {SKU: "ink, red", OnHand: 0}}
	for _, text := range []string{
		"sku,on_hand\npen,12\n\"ink, red\",0\n",
		"\ufeffsku, on_hand\r\npen, 12\r\n\"ink, red\",0",
		"pen,12\n\"ink, red\",0\n",
	} {
		stock, err := input.ReadStock(strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, want, stock)
	}
	for text, want := range map[string]string{
		"sku,on_hand\npen,-1\n":        `line 2: on_hand is "-1"`,
		"sku,on_hand\npen,many\n":      `line 2: on_hand is "many"`,
		"sku,on_hand\npen,1.5\n":       `line 2: on_hand is "1.5"`,
		"pen,9223372036854775808\n":    `line 1: on_hand is "9223372036854775808"`,
		"customer,balance\nann,1.00\n": `line 1: on_hand is "balance"`,
		"pen,1\nink,2\npen,3\n":        "line 3: sku pen stood on an earlier line",
		"pen,1\n,2\n":                  "line 2: sku is missing",
		"pen,1,2\n":                    "reading columns sku,on_hand: record on line 1: wrong number of fields",
		"pen,\"1\n":                    "reading columns sku,on_hand",
	} {
		_, err := input.ReadStock(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestReadAccounts(t *testing.T) {
	accounts, err := input.ReadAccounts(strings.NewReader("customer,balance\nann,12.50\nbob,0\n"))
	require.NoError(t, err)
	require.Equal(t, []input.Account{{Customer: "ann", Balance: 1250}, {Customer: "bob"}}, accounts)

	_, err = input.ReadAccounts(strings.NewReader("customer,balance\nann,-1\n"))
	require.ErrorContains(t, err, `line 2: balance: "-1" is no amount`)
	_, err = input.ReadAccounts(strings.NewReader("ann,92233720368547758.08\n"))
	require.ErrorIs(t, err, money.ErrOverflow)
}
