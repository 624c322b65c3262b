package topics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/topics"
)

func ExampleNames() {
	names, err := topics.NewNames("shop.eu")
	if err != nil {
		panic(err)
	}
	fmt.Println(names.Events("order"))
	fmt.Println(names.Tracker("order"))
	fmt.Println(names.DeadLetters())
	fmt.Println(names.Group("payments"))
	fmt.Println(names.SagaOf("shop.eu.order.events"))
	// Output:
	// shop.eu.order.events
	// shop.eu.order.tracker
	// shop.eu.dlq
	// shop.eu.payments
	// order true
}

func TestNamespaceIsChecked(t *testing.T) {
	for _, good := range []string{"choreo", "a", "Team-1.prod", "1.2.3", strings.Repeat("n", 160)} {
		names, err := topics.NewNames(good)
		require.NoError(t, err, good)
		require.LessOrEqual(t, len(names.Tracker(strings.Repeat("s", 80))), 249)
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a_b", "a b", "ä", "a\n", strings.Repeat("n", 161)} {
		_, err := topics.NewNames(bad)
		require.Error(t, err, "%q", bad)
	}
}

func TestSagaOfIsTheInverseOfEvents(t *testing.T) {
	names, err := topics.NewNames("shop")
	require.NoError(t, err)
	saga, ok := names.SagaOf(names.Events("order-2"))
	require.True(t, ok)
	require.Equal(t, "order-2", saga)

	for _, other := range []string{
		"", "shop", "shop.events", "shop..events", "order.events", "shopping.order.events",
		"shop.eu.order.events", names.Tracker("order"), names.DeadLetters(), names.Definitions(), names.Schemas(),
	} {
		_, ok := names.SagaOf(other)
		require.False(t, ok, other)
	}
}
