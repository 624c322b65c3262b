// Package input reads what the example runs on: orders as JSON lines, stock and
// accounts as CSV.
package input

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode"
	"unicode/utf8"

	"github.com/choreo-go/choreo/examples/internal/money"
	"github.com/choreo-go/choreo/examples/order/contract"
)

// Bounds on input. MaxLine keeps every event of an order well below Kafka's usual
// limit of 1 MB a record, even where JSON escapes each character.
const (
	MaxLine = 64 << 10 // bytes
	MaxName = 128      // bytes: of order ids, skus and customers
)

// LineError is a line that cannot be run. Reading goes on after it.
type LineError struct {
	Line    int    // from 1
	OrderID string // where it could be read
	Err     error
}

func (e *LineError) Error() string {
	if e.OrderID != "" {
		return fmt.Sprintf("line %d: order %s: %v", e.Line, e.OrderID, e.Err)
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// ErrRepeated marks an order whose id stood on an earlier line.
var ErrRepeated = errors.New("this order_id stood on an earlier line")

// Orders reads orders, one JSON object a line. A line that cannot be run comes as a
// [*LineError] and the next ones follow; any other error is one of reading and the
// last. Blank lines are passed over, fields that are not known are ignored.
func Orders(r io.Reader) iter.Seq2[contract.OrderPlaced, error] {
	return func(yield func(contract.OrderPlaced, error) bool) {
		lines := lineReader{buf: bufio.NewReaderSize(r, MaxLine+2)}
		seen := make(map[string]struct{})
		for {
			line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			var order contract.OrderPlaced
			if err == nil {
				if len(bytes.TrimSpace(line)) == 0 {
					continue
				}
				if order, err = parseOrder(line); err == nil {
					err = notSeen(seen, order.OrderID)
				}
			} else if !errors.Is(err, errTooLong) {
				yield(contract.OrderPlaced{}, fmt.Errorf("reading after line %d: %w", lines.n, err))
				return
			}
			if err != nil {
				err = &LineError{Line: lines.n, OrderID: showable(order.OrderID), Err: err}
				order = contract.OrderPlaced{}
			}
			if !yield(order, err) {
				return
			}
		}
	}
}

func notSeen(seen map[string]struct{}, id string) error {
	if _, twice := seen[id]; twice {
		return ErrRepeated
	}
	seen[id] = struct{}{}
	return nil
}

var errTooLong = fmt.Errorf("line is longer than %d bytes", MaxLine)

// lineReader splits its input into lines and gets past those that are too long
// without holding them in memory.
type lineReader struct {
	buf *bufio.Reader
	n   int // of the line last returned
}

var byteOrderMark = []byte("\xef\xbb\xbf")

func (l *lineReader) next() ([]byte, error) {
	line, err := l.buf.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.n++
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		line, err = l.buf.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if tooLong || len(line) > MaxLine {
		return nil, errTooLong
	}
	if l.n == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	return line, nil
}

// wireOrder is an order as users write it.
type wireOrder struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer"`
	Items    []struct {
		SKU       string `json:"sku"`
		Quantity  *int64 `json:"quantity"`
		UnitPrice string `json:"unit_price"`
	} `json:"items"`
	ShipTo string `json:"ship_to"`
}

// parseOrder reads one line. With an error the order has at most its id.
func parseOrder(line []byte) (contract.OrderPlaced, error) {
	var wire wireOrder
	if !utf8.Valid(line) {
		return contract.OrderPlaced{}, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(line, &wire); err != nil {
		return contract.OrderPlaced{OrderID: wire.OrderID}, jsonError(err)
	}
	order := contract.OrderPlaced{OrderID: wire.OrderID, Customer: wire.Customer, ShipTo: wire.ShipTo}
	faults := []error{
		checkName("order_id", order.OrderID),
		checkName("customer", order.Customer),
		checkCountry(order.ShipTo),
	}
	if len(wire.Items) == 0 {
		faults = append(faults, errors.New("items are missing"))
	}
	for i, item := range wire.Items {
		faults = append(faults, checkName(fmt.Sprintf("items[%d].sku", i), item.SKU))
		if item.Quantity == nil {
			faults = append(faults, fmt.Errorf("items[%d].quantity is missing", i))
			continue
		}
		if *item.Quantity <= 0 {
			faults = append(faults, fmt.Errorf("items[%d].quantity is %d: it must be 1 or more", i, *item.Quantity))
		}
		price, err := money.Parse(item.UnitPrice)
		if err != nil {
			faults = append(faults, fmt.Errorf("items[%d].unit_price: %w", i, err))
		}
		order.Items = append(order.Items, contract.Item{SKU: item.SKU, Quantity: *item.Quantity, UnitCents: price})
	}
	if err := errors.Join(faults...); err != nil {
		return order, oneLineError{err}
	}
	_, err := order.Created()
	return order, err
}

// oneLineError shows joined errors on one line.
type oneLineError struct{ error }

func (e oneLineError) Unwrap() error { return e.error }

func (e oneLineError) Error() string {
	return string(bytes.ReplaceAll([]byte(e.error.Error()), []byte("\n"), []byte("; ")))
}

func jsonError(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return fmt.Errorf("%s: a JSON %s does not fit here", wrongType.Field, wrongType.Value)
	}
	return fmt.Errorf("not an order in JSON: %w", err)
}

// checkName refuses what databases or terminals could not hold.
func checkName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is missing", field)
	case len(name) > MaxName:
		return fmt.Errorf("%s is %d bytes long: at most %d", field, len(name), MaxName)
	case showable(name) == "":
		return fmt.Errorf("%s has characters that cannot be printed", field)
	}
	return nil
}

// showable returns the name where it can be shown on a terminal, else nothing.
func showable(name string) string {
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return ""
		}
	}
	return name
}

func checkCountry(code string) error {
	if len(code) == 2 && isCapital(code[0]) && isCapital(code[1]) {
		return nil
	}
	if code == "" {
		return errors.New("ship_to is missing")
	}
	return fmt.Errorf("ship_to is %.20q: write a country as two capital letters, such as \"DE\"", code)
}

func isCapital(c byte) bool { return 'A' <= c && c <= 'Z' }
