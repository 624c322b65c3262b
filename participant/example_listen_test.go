package participant_test

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

type (
	Signup  struct{ Mail string }
	Account struct{ Number int }
)

var (
	OpenAccount = choreo.NewStep[Signup, Account]("open-account")
	Join        = choreo.MustDefine[Signup]("join", 1, OpenAccount.OwnedBy("accounts").NoCompensation())
)

// newLog returns a log in memory with the topics of Join and one of the service's own.
func newLog(ctx context.Context) *memorylog.Log {
	log := memorylog.New(memorylog.Options{})
	names, _ := topics.NewNames("choreo")
	specs := append(topics.Topology(names, []choreo.AnySaga{Join}, topics.TopologyOptions{Partitions: 1}),
		topics.TopicSpec{Name: "welcome-letters", Partitions: 1})
	plan, err := topics.NewPlan(ctx, log, specs)
	if err == nil {
		err = plan.Apply(ctx, log)
	}
	if err != nil {
		panic(err)
	}
	return log
}

// A service that only listens: it needs no database and has no say in the saga.
func ExampleSubscribe() {
	ctx, stop := context.WithCancel(context.Background())
	log := newLog(ctx)
	defer log.Close()

	accounts, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "accounts", Sagas: []choreo.AnySaga{Join},
	})
	if err != nil {
		panic(err)
	}
	participant.HandleForward(accounts, OpenAccount, participant.ExecuteFunc[*memory.Tx, Signup, Account](
		func(context.Context, *memory.Tx, *participant.Call[Signup]) (Account, error) {
			return Account{Number: 4711}, nil
		}))
	stopped := make(chan error, 1)
	go func() { stopped <- accounts.Run(ctx) }()
	if _, err := participant.Start(ctx, accounts, Join, "signup-1", Signup{Mail: "ada@example.org"}); err != nil {
		panic(err)
	}

	err = participant.Subscribe(ctx, log, &participant.SubscribeConfig{
		Group:  "statistics",
		Sagas:  []string{Join.Name()},
		Filter: participant.Filter{Types: []choreo.EventType{choreo.StepCompleted}, Steps: []string{OpenAccount.Name()}},
	}, func(_ context.Context, ev *choreo.Event) error {
		account, err := participant.EventPayload[Account](ev, schema.JSON{})
		if err != nil {
			return err
		}
		fmt.Println(ev.SagaID, "has account", account.Number)
		stop()
		return nil
	})
	fmt.Println(err, <-stopped)
	// Output:
	// signup-1 has account 4711
	// <nil> <nil>
}

// A handler writes a record of its own for a topic outside of the saga: it leaves when
// the step commits, and never if it does not.
func ExamplePublishTx() {
	ctx, stop := context.WithCancel(context.Background())
	log := newLog(ctx)
	defer log.Close()

	accounts, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: "accounts", Sagas: []choreo.AnySaga{Join},
	})
	if err != nil {
		panic(err)
	}
	participant.HandleForward(accounts, OpenAccount, participant.ExecuteFunc[*memory.Tx, Signup, Account](
		func(ctx context.Context, tx *memory.Tx, call *participant.Call[Signup]) (Account, error) {
			return Account{Number: 4711}, participant.PublishTx(ctx, accounts, tx, choreo.Record{
				Topic: "welcome-letters", Key: []byte(call.Input.Mail), Value: []byte("Welcome!"),
			})
		}))
	stopped := make(chan error, 1)
	go func() { stopped <- accounts.Run(ctx) }()
	if _, err := participant.Start(ctx, accounts, Join, "signup-1", Signup{Mail: "ada@example.org"}); err != nil {
		panic(err)
	}
	_ = log.WaitUntil(ctx, func() bool { return len(log.Records("welcome-letters")) > 0 })
	for _, rec := range log.Records("welcome-letters") {
		fmt.Printf("%s: %s\n", rec.Key, rec.Value)
	}
	stop()
	fmt.Println(<-stopped)
	// Output:
	// ada@example.org: Welcome!
	// <nil>
}
