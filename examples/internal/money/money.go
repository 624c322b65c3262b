// Package money calculates with whole cents. Nothing in it rounds: an amount that
// cannot be held exactly is an error.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Cents is an amount of money, never negative, in hundredths of the currency.
type Cents int64

// ErrOverflow marks an amount above 92,233,720,368,547,758.07.
var ErrOverflow = errors.New("amount is too large")

// Parse reads a decimal such as "12", "12.5" or "12.50". Signs, exponents, more
// than two decimals and anything else are errors.
func Parse(s string) (Cents, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if whole == "" || (point && fraction == "") || len(fraction) > 2 {
		return 0, malformed(s)
	}
	digits := whole + fraction + "00"[len(fraction):]
	var n int64
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, malformed(s)
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, ErrOverflow
		}
		n = n*10 + d
	}
	return Cents(n), nil
}

func malformed(s string) error {
	return fmt.Errorf("%.40q is no amount: write digits with at most two decimals, such as \"12.50\"", s)
}

// String is the inverse of [Parse], always with two decimals.
func (c Cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// Add returns the sum of two amounts.
func Add(a, b Cents) (Cents, error) {
	if a > math.MaxInt64-b {
		return 0, ErrOverflow
	}
	return a + b, nil
}

// Times returns the amount times a quantity, which must not be negative.
func (c Cents) Times(quantity int64) (Cents, error) {
	hi, lo := bits.Mul64(uint64(c), uint64(quantity))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, ErrOverflow
	}
	return Cents(lo), nil
}
