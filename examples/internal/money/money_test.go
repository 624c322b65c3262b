package money_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/examples/internal/money"
)

func ExampleParse() {
	price, _ := money.Parse("12.5")
	total, _ := price.Times(3)
	fmt.Println(price, total)
	// Output: 12.50 37.50
}

func TestParse(t *testing.T) {
	for text, want := range map[string]money.Cents{
		"0": 0, "0.00": 0, "7": 700, "12.5": 1250, "12.05": 1205, "007.10": 710,
		"92233720368547758.07": math.MaxInt64,
	} {
		got, err := money.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", ".", "1.", ".5", "-1", "+1", "1.234", "1,50", "1e3", " 1", "1 ", "0x10", "NaN", "1.2.3", "١",
	} {
		_, err := money.Parse(text)
		require.ErrorContains(t, err, "is no amount", text)
	}
	for _, text := range []string{"92233720368547758.08", "92233720368547759", "99999999999999999999999999"} {
		_, err := money.Parse(text)
		require.ErrorIs(t, err, money.ErrOverflow, text)
	}
}

func TestParseReadsWhatStringWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := money.Cents(rapid.Int64Min(0).Draw(t, "amount"))
		got, err := money.Parse(amount.String())
		require.NoError(t, err)
		require.Equal(t, amount, got)
	})
}

func TestArithmeticIsExactOrAnError(t *testing.T) {
	check := func(t require.TestingT, want *big.Int, got money.Cents, err error) {
		if want.IsInt64() {
			require.NoError(t, err)
			require.Equal(t, want.Int64(), int64(got))
			return
		}
		require.ErrorIs(t, err, money.ErrOverflow)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Min(0).Draw(t, "a"), rapid.Int64Min(0).Draw(t, "b")
		sum, err := money.Add(money.Cents(a), money.Cents(b))
		check(t, new(big.Int).Add(big.NewInt(a), big.NewInt(b)), sum, err)
		product, err := money.Cents(a).Times(b)
		check(t, new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), product, err)
		factor := rapid.Int64Range(0, 1000).Draw(t, "factor")
		product, err = money.Cents(a).Times(factor)
		check(t, new(big.Int).Mul(big.NewInt(a), big.NewInt(factor)), product, err)
	})
}
