// Package shoppb are the messages of the tests of package protobuf.
package shoppb

//go:generate go run generate.go
