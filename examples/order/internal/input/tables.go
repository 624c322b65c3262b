package input

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/examples/internal/money"
)

// Stock is what a warehouse has of one sku to begin with.
type Stock struct {
	SKU    string
	OnHand int64
}

// Account is what a customer can spend to begin with.
type Account struct {
	Customer string
	Balance  money.Cents
}

// ReadStock reads CSV with the columns sku and on_hand. The error names the line:
// with half a stock no order could be judged.
func ReadStock(r io.Reader) ([]Stock, error) {
	var stock []Stock
	err := readTable(r, "sku", "on_hand", func(sku, text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("on_hand is %.40q: write a whole number from 0 to %d", text, int64(math.MaxInt64))
		}
		stock = append(stock, Stock{SKU: sku, OnHand: n})
		return nil
	})
	return stock, err
}

// ReadAccounts reads CSV with the columns customer and balance. The error names the
// line.
func ReadAccounts(r io.Reader) ([]Account, error) {
	var accounts []Account
	err := readTable(r, "customer", "balance", func(customer, text string) error {
		balance, err := money.Parse(text)
		if err != nil {
			return fmt.Errorf("balance: %w", err)
		}
		accounts = append(accounts, Account{Customer: customer, Balance: balance})
		return nil
	})
	return accounts, err
}

// readTable reads two columns, with or without a line that names them.
func readTable(r io.Reader, key, value string, row func(key, value string) error) error {
	in := csv.NewReader(r)
	in.FieldsPerRecord = 2
	in.TrimLeadingSpace = true
	seen := make(map[string]struct{})
	for first := true; ; first = false {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading columns %s,%s: %w", key, value, err)
		}
		name, text := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1])
		if first {
			name = strings.TrimPrefix(name, string(byteOrderMark))
			if name == key && text == value {
				continue
			}
		}
		line, _ := in.FieldPos(0)
		err = checkName(key, name)
		if _, twice := seen[name]; twice {
			err = fmt.Errorf("%s %s stood on an earlier line", key, name)
		}
		if err == nil {
			err = row(name, text)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		seen[name] = struct{}{}
	}
}
