package main

import "io"

func writeChart(w io.Writer, r *report) error { return nil }
