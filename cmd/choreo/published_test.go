package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

type (
	parcel struct{ To string }
	label  struct{ Number string }
)

var (
	printLabel = choreo.NewStep[parcel, label]("print-label")
	takeMoney  = choreo.NewStep[label, struct{}]("take-money")
)

// shipment is a saga of two services, whose second step somebody owns.
func shipment(till string) *choreo.Saga[parcel] {
	return choreo.MustDefine[parcel]("shipment", 1,
		printLabel.OwnedBy("depot").NoCompensation(), takeMoney.OwnedBy(till).After(printLabel).NoCompensation())
}

// save writes a definition to a YAML file and returns its path.
func save(t *testing.T, saga choreo.AnySaga) string {
	t.Helper()
	doc, err := definition.FromGo(saga, nil)
	require.NoError(t, err)
	file, err := doc.Save(t.TempDir())
	require.NoError(t, err)
	return file
}

// depot makes the participant of the service that prints labels.
func depot(t *testing.T, log topics.Log, saga *choreo.Saga[parcel]) *participant.Participant[*memory.Tx] {
	t.Helper()
	p, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "depot", Sagas: []choreo.AnySaga{saga}, Build: "v7",
	})
	require.NoError(t, err)
	participant.HandleForward(p, printLabel, participant.ExecuteFunc[*memory.Tx, parcel, label](
		func(context.Context, *memory.Tx, *participant.Call[parcel]) (label, error) { return label{}, nil }))
	return p
}

// What the command line foretells is what a participant does: it starts where "definition
// verify" finds nothing, and refuses to where that finds an error.
func TestWhatIsForetoldIsWhatAParticipantDoes(t *testing.T) {
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	defer broker.Close()
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	require.NoError(t, err)
	defer log.Close()
	file := save(t, shipment("till"))
	connected := func(c *cli) {
		c.env = func(name string) string {
			return map[string]string{"CHOREO_BROKERS": strings.Join(broker.Addresses(), ",")}[name]
		}
	}
	got := run(t.Context(), connected, "topics", "apply", file, "--partitions", "1", "--yes")
	require.Equal(t, exit.OK, got.code, got.stderr)

	ctx, stop := context.WithCancel(t.Context())
	published := make(chan struct{})
	ended := make(chan error, 2)
	go func() {
		ended <- log.Read(ctx, topics.ReadConfig{Topic: "choreo.definitions"}, func(context.Context, []choreo.Record) error {
			close(published)
			<-ctx.Done()
			return nil
		})
	}()
	labels := depot(t, log, shipment("till"))
	go func() { ended <- labels.Run(ctx) }()
	select {
	case <-published:
	case err := <-ended:
		require.NoError(t, err)
		t.Fatal("it ended before it had published anything")
	}

	got = run(t.Context(), connected, "definition", "list")
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, got.out, "depot")
	require.Contains(t, got.out, "v7")
	require.Contains(t, got.out, "print-label")
	got = run(t.Context(), connected, "definition", "verify", file)
	require.Equal(t, exit.OK, got.code, "%s", got.out)
	got = run(t.Context(), connected, "definition", "show", "shipment@1")
	require.Equal(t, exit.OK, got.code, got.stderr)
	shown := filepath.Join(t.TempDir(), "shown.yaml")
	require.NoError(t, os.WriteFile(shown, []byte(got.out), 0o644))
	got = run(t.Context(), nil, "definition", "diff", file, shown)
	require.Equal(t, exit.OK, got.code, "%s", got.out)
	require.Contains(t, got.out, "the same")
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)

	// The kiosk has another idea of who takes the money.
	got = run(t.Context(), connected, "definition", "verify", save(t, shipment("kiosk")), "--service", "kiosk", "-o", "jsonl")
	require.Equal(t, exit.Error, got.code, "%s%s", got.out, got.stderr)
	require.Contains(t, got.out, `"fingerprint-differs"`)
	kiosk, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "kiosk", Sagas: []choreo.AnySaga{shipment("kiosk")},
	})
	require.NoError(t, err)
	participant.HandleForward(kiosk, takeMoney, participant.ExecuteFunc[*memory.Tx, label, struct{}](
		func(context.Context, *memory.Tx, *participant.Call[label]) (struct{}, error) { return struct{}{}, nil }))
	require.ErrorContains(t, kiosk.Run(t.Context()), "fingerprint-differs")
}
