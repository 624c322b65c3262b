package embedded_test

import (
	"fmt"

	"github.com/choreo-go/choreo/topics/embedded"
)

func ExampleStart() {
	broker, err := embedded.Start(embedded.Config{}) // name a DataDir to keep what it holds
	if err != nil {
		panic(err)
	}
	defer broker.Close()
	fmt.Println("brokers:", len(broker.Addresses()))
	// Output: brokers: 1
}
