package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// exampleReport is what examples/order says of a run, as far as it matters here.
type exampleReport struct {
	Orders       int     `json:"orders"`
	Completed    int     `json:"completed"`
	Compensated  int     `json:"compensated"`
	Seconds      float64 `json:"duration_seconds"`
	BooksBalance bool    `json:"books_balance"`
}

// measureOrder measures the example as a user runs it: the embedded broker and SQLite, all
// of it kept in a folder.
func measureOrder(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	dir, err := open.tempDir()
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "order")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/choreo-go/choreo/examples/order")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("examples/order cannot be built: run bench in a folder of this repository: %w\n%s", err, out)
	}
	files := map[string]func(io.Writer) error{
		"orders.jsonl": func(w io.Writer) error { return writeOrders(w, b.Orders, b.Refused) },
		"stock.csv":    func(w io.Writer) error { _, err := fmt.Fprintf(w, "sku,on_hand\natlas,%d\n", b.Orders); return err },
		"accounts.csv": func(w io.Writer) error { return writeAccounts(w, b.Orders) },
	}
	for name, write := range files {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content.Bytes(), 0o600); err != nil {
			return err
		}
	}
	for run := range b.Runs {
		r, err := runExample(ctx, program, dir, fmt.Sprintf("data-%d", run))
		if err != nil {
			return err
		}
		refused := (&load{Sagas: b.Orders, Refused: b.Refused}).refusals()
		if r.Orders != b.Orders || r.Compensated != refused || r.Completed != b.Orders-refused || !r.BooksBalance {
			return fmt.Errorf("%+v is not what %d orders should come to, of which %d are refused", *r, b.Orders, refused)
		}
		b.add("order.sagas", float64(r.Orders)/r.Seconds)
	}
	return nil
}

// runExample runs the example once, on a new data folder.
func runExample(ctx context.Context, program, dir, data string) (*exampleReport, error) {
	file := func(name string) string { return filepath.Join(dir, name) }
	run := exec.CommandContext(ctx, program, "--orders", file("orders.jsonl"), "--stock", file("stock.csv"),
		"--accounts", file("accounts.csv"), "--data", file(data), "--output", "json")
	var out, faults bytes.Buffer
	run.Stdout, run.Stderr = &out, &faults
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("examples/order: %w\n%s", err, faults.Bytes())
	}
	var r exampleReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("examples/order says what is not read here: %w", err)
	}
	return &r, os.RemoveAll(file(data))
}

// customers is how many accounts the orders are spread over.
const customers = 1000

// writeOrders writes orders of one atlas each. The refused ones go to where nothing is sent,
// which is found at the fourth step.
func writeOrders(w io.Writer, n, refusedPercent int) error {
	l := load{Sagas: n, Refused: refusedPercent}
	var faults []error
	for i := range n {
		country := "AT"
		if l.refuses(i) {
			country = "AQ"
		}
		_, err := fmt.Fprintf(w, `{"order_id":"o-%07d","customer":"c-%d","items":[{"sku":"atlas","quantity":1,"unit_price":"12.90"}],"ship_to":%q}`+"\n",
			i, i%customers, country)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// writeAccounts writes accounts that can pay for all orders.
func writeAccounts(w io.Writer, orders int) error {
	var faults []error
	_, err := fmt.Fprintln(w, "customer,balance")
	faults = append(faults, err)
	for i := range customers {
		_, err := fmt.Fprintf(w, "c-%d,%d.00\n", i, 13*(orders/customers+1))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
