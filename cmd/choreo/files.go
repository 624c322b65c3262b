package main

import (
	"fmt"
	"io"
	"os"
)

// maxInput bounds what is read of a file or the standard input: an event is a record.
const maxInput = 1 << 20

// readAll reads what is there, up to what a record can hold.
func (c *cli) readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("there is more than %d bytes: a record does not hold that", maxInput)
	}
	return data, err
}

// readFile is readAll of a file.
func (c *cli) readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return c.readAll(file)
}
