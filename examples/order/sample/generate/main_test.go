package main

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/order/sample"
)

func TestCommittedFilesAreWhatIsGenerated(t *testing.T) {
	orders, stock, accounts := generate(rand.New(rand.NewPCG(2, 500)))
	require.Equal(t, string(sample.Orders), string(orders), "run go generate ./examples/order/sample")
	require.Equal(t, string(sample.Stock), string(stock))
	require.Equal(t, string(sample.Accounts), string(accounts))
}
