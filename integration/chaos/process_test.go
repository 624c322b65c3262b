package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics/kafka"
)

// processVariable has the test binary run as a process of a service; its value is a role.
const processVariable = "CHOREO_CHAOS_PROCESS"

// role is what a process is.
type role struct {
	Process   string // its name: the service and a number
	Service   string
	Desk      bool // it answers requests and runs no step
	Brokers   []string
	Postgres  string
	Namespace string
	Socket    string // where it takes orders and cancels
	Session   time.Duration
}

// process is a running role.
type process struct {
	role
	log         *zap.Logger
	db          *pgxpool.Pool
	store       *postgres.Store
	participant *participant.Participant[pgx.Tx]
}

const (
	lanes    = 8
	poolSize = lanes + 4 // the relay, the clock, and who takes orders
)

// runProcess runs the role until SIGTERM comes or the parent is gone, and returns the
// exit code.
func runProcess(encoded string) int {
	logger := newLogger(zap.InfoLevel)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent holds the other end, and writes nothing
		os.Exit(3)
	}()
	p := &process{log: logger}
	if err := json.Unmarshal([]byte(encoded), &p.role); err != nil {
		logger.Error("what is this process to be?", zap.Error(err))
		return 2
	}
	p.log = logger.Named(p.Process)
	if err := p.run(ctx); err != nil {
		p.log.Error("the process ends", zap.Error(err))
		return 1
	}
	p.log.Info("the process ends in good order")
	return 0
}

func newLogger(level zapcore.Level) *zap.Logger {
	format := zap.NewProductionEncoderConfig()
	format.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	format.EncodeLevel = zapcore.CapitalLevelEncoder
	format.EncodeDuration = zapcore.StringDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(format), zapcore.Lock(os.Stderr), level))
}

func (p *process) run(ctx context.Context) error {
	p.log.Info("the process begins", zap.Int("pid", os.Getpid()))
	if err := p.openDatabase(ctx); err != nil {
		return err
	}
	defer p.db.Close()
	log, err := kafka.New(kafka.Config{
		Brokers: p.Brokers, ClientID: p.Process, Logger: newLogger(zap.DebugLevel).Named(p.Process + ".kafka"),
	})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.participant, err = participant.New(log, p.store, &participant.Config{
		Service: p.Service, Sagas: definitions(), Namespace: p.Namespace, Logger: p.log,
		Lanes: lanes, SessionTimeout: p.Session,
	})
	if err != nil {
		return err
	}
	books := books{p.Process}
	books.register(p.participant, p.Service)
	closeDoor, err := p.openDoor(ctx)
	if err != nil {
		return err
	}
	defer closeDoor()
	if p.Desk {
		d := &desk{books: books, service: p.Service, db: p.db, store: p.store, participant: p.participant, log: p.log}
		return d.run(ctx)
	}
	return p.participant.Run(ctx)
}

// openDatabase opens the service's schema, and waits for a database that is away.
func (p *process) openDatabase(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(p.Postgres)
	if err != nil {
		return err
	}
	config.MaxConns = poolSize
	config.ConnConfig.RuntimeParams["search_path"] = p.Service
	config.ConnConfig.RuntimeParams["application_name"] = p.Process
	if p.db, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	p.store = postgres.New(p.db, &postgres.Config{Schema: p.Service})
	for {
		err := p.store.Migrate(ctx)
		if err == nil || !p.store.Transient(err) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// order is what a customer sends to orders.
type order struct {
	Saga, ID string
	Purchase purchase
}

// cancellation is what a customer sends to any service.
type cancellation struct{ Saga, ID, Reason string }

// openDoor serves orders and cancels, and returns what closes it.
func (p *process) openDoor(ctx context.Context) (closeDoor func(), err error) {
	_ = os.Remove(p.Socket) // that of a process that was killed
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", p.Socket)
	if err != nil {
		return nil, err
	}
	doors := http.NewServeMux()
	if p.Service == orders {
		doors.Handle("POST /orders", door(p, p.accept))
	}
	doors.Handle("POST /cancels", door(p, func(ctx context.Context, c *cancellation) error {
		return participant.Cancel(ctx, p.participant, sagas[c.Saga], c.ID, c.Reason)
	}))
	server := &http.Server{Handler: doors, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the door is closed", zap.Error(err))
		}
	})
	return func() {
		_ = server.Close()
		serving.Wait()
	}, nil
}

// passes reports whether it makes sense to do a transaction of one's own again. The end of
// a connection comes from one's own statements as pgx reads it; no file is read here.
func passes(store *postgres.Store, err error) bool {
	return store.Transient(err) || errors.Is(err, io.ErrUnexpectedEOF)
}

// door decodes a request and answers 200 once it is done for good, 503 where it may be
// sent again, and 500 where that would not help.
func door[T any](p *process, do func(context.Context, *T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		err := json.NewDecoder(r.Body).Decode(&request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err = do(r.Context(), &request); {
		case err == nil:
		case r.Context().Err() != nil, passes(p.store, err):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			p.log.Error("request failed", zap.Error(err))
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// accept starts the saga of an order, and notes the receipt in the same transaction.
func (p *process) accept(ctx context.Context, o *order) error {
	return pgx.BeginFunc(ctx, p.db, func(tx pgx.Tx) error {
		ref, err := participant.StartTx(ctx, p.participant, tx, sagas[o.Saga], o.ID, o.Purchase)
		if err != nil {
			return err
		}
		if !ref.Created {
			return nil
		}
		_, err = tx.Exec(ctx, `INSERT INTO receipt VALUES ($1, $2)`, o.Saga, o.ID)
		if err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		return nil
	})
}
