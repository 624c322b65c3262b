package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

func printTable(w io.Writer, r *report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, of func(*figures) string) {
		fmt.Fprint(t, what, "\t")
		for i := range r.Settings {
			fmt.Fprint(t, of(&r.Settings[i]), "\t")
		}
		fmt.Fprintln(t)
	}
	row("", func(f *figures) string { return f.Setting })
	row("sagas/s", func(f *figures) string { return fmt.Sprintf("%.0f", f.SagasPerSecond) })
	row("steps/s", func(f *figures) string { return fmt.Sprintf("%.0f", f.StepsPerSecond) })
	row("step hop idle p50 ms", func(f *figures) string { return fmt.Sprintf("%.2f", f.HopP50) })
	row("step hop idle p99 ms", func(f *figures) string { return fmt.Sprintf("%.2f", f.HopP99) })
	row("saga idle p50 ms", func(f *figures) string { return fmt.Sprintf("%.2f", f.SagaP50) })
	row("relay rows/s", func(f *figures) string { return fmt.Sprintf("%.0f", f.RelayRows) })
	row("CPU µs/step", func(f *figures) string { return fmt.Sprintf("%.0f", f.CPUPerStep*1e6) })
	row("allocations/step", func(f *figures) string { return fmt.Sprintf("%.0f", f.AllocsPerStep) })
	row("allocated bytes/step", func(f *figures) string { return fmt.Sprintf("%.0f", f.BytesPerStep) })
	if err := t.Flush(); err != nil {
		return err
	}
	if l := r.Limits; l != nil {
		_, err := fmt.Fprintf(w, `
limits in the same run
  bare step transactions/s (pgx, %d connections)  %.0f
  bare step transaction idle ms                   %.2f
  bare business statements, sagas/s               %.0f
  bare kafka-go records/s                         %.0f
  bare kafka-go record idle p50 ms                %.2f
`, l.StepSQLConnections, l.StepSQL, l.CommitP50, l.SagaSQL, l.Produce, l.ProduceP50)
		return err
	}
	return nil
}
