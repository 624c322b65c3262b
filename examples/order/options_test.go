package main

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/tracker/api"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions(nil)
	require.NoError(t, err)
	require.Equal(t, &options{saga: 1, build: 2, listen: api.DefaultAddress, reach: defaultReach}, o)

	o, err = parseOptions([]string{
		"--orders", "o.jsonl", "--stock=s.csv", "-accounts", "a.csv", "--data", "dir",
		"--brokers", "one:9092,[::1]:9093", "--postgres", "postgres://x", "--service", "payments", "--output", "json", "--saga-version", "2",
	})
	require.NoError(t, err)
	require.Equal(t, &options{
		orders: "o.jsonl", stock: "s.csv", accounts: "a.csv", data: "dir",
		brokers: []string{"one:9092", "[::1]:9093"}, postgres: "postgres://x", service: "payments", saga: 2, build: 2, json: true, listen: api.DefaultAddress, reach: defaultReach,
	}, o)

	_, err = parseOptions([]string{"--help"})
	require.ErrorIs(t, err, flag.ErrHelp)
}

func TestParseOptionsNamesEveryFault(t *testing.T) {
	for args, want := range map[string]string{
		"--colour blue":                    "flag provided but not defined: -colour",
		"orders.jsonl":                     `"orders.jsonl" is not a flag`,
		"--output yaml":                    `--output "yaml": use table or json`,
		"--brokers localhost":              `--brokers: "localhost" is no address: write HOST:PORT`,
		"--brokers :9092":                  `":9092" is no address`,
		"--brokers a:9092,b:0":             `"b:0": the port is a number from 1 to 65535`,
		"--brokers a:9092,":                `"" is no address`,
		"--data=":                          "--data is empty",
		"--service billing":                `--service "billing": use one of inventory, orders, payments, shipping`,
		"--build 3":                        "--build 3: use 1 or 2",
		"--saga-version 0":                 "--saga-version 0: use 1, or 2 with --build 2",
		"--saga-version 2 --build 1":       "--saga-version 2: use 1, or 2 with --build 2",
		"--listen nowhere":                 "--listen: \"nowhere\" is no address",
		"--serve --service orders":         "--serve needs all services in one process",
		"--service orders":                 "--service needs --brokers",
		"--service orders --brokers a:1":   "--service needs --data or --postgres",
		"--service billing --output yaml":  `--output "yaml": use table or json`,
		"--service billing --output xml x": `"x" is not a flag`,
	} {
		_, err := parseOptions(strings.Fields(args))
		require.ErrorContains(t, err, want, args)
	}
}

func TestUsage(t *testing.T) {
	for _, line := range strings.Split(usage, "\n") {
		require.LessOrEqual(t, len([]rune(line)), 80, line)
	}
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitGood, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	require.Equal(t, usage, stdout.String())
	require.Empty(t, stderr.String())

	stdout.Reset()
	require.Equal(t, exitUsage, run(t.Context(), []string{"--output", "yaml"}, &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), `order: --output "yaml": use table or json`)
	require.Contains(t, stderr.String(), usage)
}
