// Package sample holds the orders, the stock and the accounts that the example runs
// on when it is given no files. 58 of its 500 orders are bound to be refused,
// whatever the order in which they are run: 25 for want of stock, 18 for want of
// money and 15 for their country.
package sample

import _ "embed"

//go:generate go run ./generate

// The sample files.
var (
	//go:embed orders.jsonl
	Orders []byte
	//go:embed stock.csv
	Stock []byte
	//go:embed accounts.csv
	Accounts []byte
)
