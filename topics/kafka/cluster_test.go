package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

// cluster starts a cluster with topic "t" of 3 partitions.
func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.SeedTopics(3, "t"),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// reading is a consumer whose records and states a test can wait for.
type reading struct {
	t       *testing.T
	records chan choreo.Record
	states  chan topics.ConsumeState
	stop    func() error
}

func read(t *testing.T, log topics.Log, config topics.ConsumeConfig) *reading {
	ctx, cancel := context.WithCancel(t.Context())
	r := &reading{t: t, records: make(chan choreo.Record, 100_000), states: make(chan topics.ConsumeState, 1000)}
	config.OnState = func(s topics.ConsumeState) { r.states <- s }
	if config.Topics == nil {
		config.Topics = []string{"t"}
	}
	if config.Group == "" {
		config.Group = "g"
	}
	ended := make(chan error, 1)
	go func() {
		ended <- log.Consume(ctx, config, func(_ context.Context, batch []choreo.Record) error {
			for _, r0 := range batch {
				r.records <- r0
			}
			return nil
		})
	}()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { require.NoError(t, r.stop()) })
	return r
}

const patience = 30 * time.Second

// until waits for a state.
func (r *reading) until(holds func(topics.ConsumeState) bool) topics.ConsumeState {
	r.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case s := <-r.states:
			if holds(s) {
				return s
			}
		case <-timeout.C:
			require.FailNow(r.t, "the state does not come")
		}
	}
}

// next waits for the record of a value, whatever comes before.
func (r *reading) next(value string) choreo.Record {
	r.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case got := <-r.records:
			if string(got.Value) == value {
				return got
			}
		case <-timeout.C:
			require.FailNow(r.t, "the record does not come", value)
		}
	}
}

func write(t *testing.T, log topics.Log, partition int32, values ...string) {
	t.Helper()
	for _, value := range values {
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{
			{Topic: "t", Partition: partition, Key: []byte("k"), Value: []byte(value)}}))
	}
}

func TestLeadersMove(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(3))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	r := read(t, log, topics.ConsumeConfig{})
	write(t, log, 0, "before")
	r.next("before")
	for i := range 6 {
		require.NoError(t, c.MoveTopicPartition("t", 0, int32(i%3)))
		value := fmt.Sprint("after ", i)
		write(t, log, 0, value)
		r.next(value)
	}
}

func TestAFetchIsHeld(t *testing.T) {
	c := cluster(t)
	var fetches atomic.Int64
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	var busy atomic.Pointer[chan struct{}]
	asked := make(chan struct{}, 10)
	r := read(t, log, topics.ConsumeConfig{Hold: func() <-chan struct{} {
		until := busy.Load()
		if until == nil {
			return nil
		}
		asked <- struct{}{}
		return *until
	}})
	write(t, log, 0, "a")
	r.next("a")
	until := make(chan struct{})
	busy.Store(&until)
	write(t, log, 0, "b") // for the fetch that is under way
	r.next("b")
	<-asked
	before := fetches.Load()
	write(t, log, 0, "c", "d", "e")
	require.Equal(t, before, fetches.Load())
	require.Empty(t, r.records)
	busy.Store(nil)
	close(until)
	r.next("e")
	again := make(chan struct{})
	busy.Store(&again)
	write(t, log, 0, "f")
	r.next("f")
	<-asked
	require.NoError(t, r.stop(), "while it is held")
}

func TestABrokerJoinsAndLeaves(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	r := read(t, log, topics.ConsumeConfig{})
	write(t, log, 0, "before")
	r.next("before")
	node, _, err := c.AddNode(-1, 0)
	require.NoError(t, err)
	require.NoError(t, c.MoveTopicPartition("t", 0, node))
	write(t, log, 0, "on the new one")
	r.next("on the new one")
	require.NoError(t, c.MoveTopicPartition("t", 0, 0))
	require.NoError(t, c.RemoveNode(node))
	write(t, log, 0, "after")
	r.next("after")
}

func TestFetchFaultsAreWaitedOut(t *testing.T) {
	for _, fault := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError,
		kerr.UnknownLeaderEpoch, kerr.UnknownServerError, kerr.OffsetNotAvailable} {
		t.Run(fault.Message, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, kfake.NumBrokers(1))
			log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
			write(t, log, 1, "first")
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Partitions: []int32{1}, Err: fault, Count: 4})
			r := read(t, log, topics.ConsumeConfig{})
			r.next("first")
		})
	}
}

func TestLostRecordsAreSteppedOverAndTold(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	seen, logs := observer.New(zapcore.WarnLevel)
	log := open(t, kafka.Config{Brokers: c.ListenAddrs(), Logger: zap.New(seen)})
	write(t, log, 2, "1", "2")
	r := read(t, log, topics.ConsumeConfig{})
	r.next("2")
	require.NoError(t, r.stop())
	write(t, log, 2, "3", "4", "5", "6")
	require.NoError(t, c.DeleteRecords("t", 2, 5))
	r = read(t, log, topics.ConsumeConfig{})
	require.EqualValues(t, 5, r.next("6").Offset)
	lost := logs.FilterMessageSnippet("offset to read from is gone").All()
	require.Len(t, lost, 1)
	require.EqualValues(t, 3, lost[0].ContextMap()["lost"])
}

func TestTransactionsAreReadCommitted(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	producer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("tx"),
		kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer producer.Close()
	transact := func(end kgo.TransactionEndTry, values ...string) {
		require.NoError(t, producer.BeginTransaction())
		for _, value := range values {
			require.NoError(t, producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte(value)}).FirstErr())
		}
		require.NoError(t, producer.EndTransaction(t.Context(), end))
	}
	transact(kgo.TryCommit, "1", "2")
	transact(kgo.TryAbort, "no", "no")
	write(t, log, 0, "3")
	transact(kgo.TryAbort, "no")
	transact(kgo.TryCommit, "4")
	r := read(t, log, topics.ConsumeConfig{Lanes: 1})
	for _, want := range []string{"1", "2", "3", "4"} {
		require.Equal(t, want, string((<-r.records).Value))
	}
	// The log ends in a marker: the reader waits behind it instead of spinning.
	fetches := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "t", Partitions: []int32{0}, Observe: true, Count: -1})
	require.NoError(t, fetches.Wait(t.Context(), 1))
	write(t, log, 0, "5")
	r.next("5")
	require.Less(t, fetches.Hits(), 10)
}

func TestCompactedTopicsAreReadToTheirEnd(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "compacted", Partitions: 1, Settings: map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "segment.bytes": "300", "delete.retention.ms": "0"}}))
	put := func(key string, value []byte) {
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{
			{Topic: "compacted", Partition: choreo.AnyPartition, Key: []byte(key), Value: value}}))
	}
	for i := range 50 {
		put(fmt.Sprint(i%5), fmt.Append(nil, i))
	}
	put("gone", nil)
	c.Compact()
	c.Compact()
	put("last", []byte("last"))
	r := read(t, log, topics.ConsumeConfig{Topics: []string{"compacted"}, Lanes: 1})
	latest := make(map[string]string)
	for latest["last"] == "" {
		got := <-r.records
		latest[string(got.Key)] = string(got.Value)
	}
	delete(latest, "gone")
	require.Equal(t, map[string]string{"0": "45", "1": "46", "2": "47", "3": "48", "4": "49", "last": "last"}, latest)
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().(*net.TCPAddr).Port
}

func TestOutagesAreWaitedOut(t *testing.T) {
	config := embedded.Config{DataDir: t.TempDir(), Port: freePort(t)}
	log := open(t, kafka.Config{Brokers: []string{"127.0.0.1:" + strconv.Itoa(config.Port)}})
	r := read(t, log, topics.ConsumeConfig{SessionTimeout: time.Second})
	require.Error(t, r.until(func(s topics.ConsumeState) bool { return s.Err != nil }).Err, "nobody is there yet")
	created := make(chan error, 1)
	go func() { created <- log.CreateTopic(t.Context(), topics.TopicSpec{Name: "t", Partitions: 2}) }()
	for i := range 3 {
		b, err := embedded.Start(config)
		require.NoError(t, err)
		if i == 0 {
			require.NoError(t, <-created)
		}
		value := fmt.Sprint("round ", i)
		write(t, log, 1, value)
		r.next(value)
		r.until(func(s topics.ConsumeState) bool { return s.Err == nil && s.Partitions == 2 })
		require.NoError(t, b.Close())
		r.until(func(s topics.ConsumeState) bool { return s.Err != nil })
	}
}

func TestTheGroupRefusesForGood(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "secret", Err: kerr.GroupAuthorizationFailed, Count: -1})
	err := log.Consume(t.Context(), topics.ConsumeConfig{Group: "secret", Topics: []string{"t"}},
		func(context.Context, []choreo.Record) error { return nil })
	require.ErrorContains(t, err, "secret")
	require.ErrorContains(t, err, "Authorization Failed")
}

// A broker that still loads a group after a restart answers its heartbeats as if all was
// well, but lets nobody join. A member that tried would come back as another one.
func TestAMemberWaitsUntilItsGroupIsLoaded(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(1))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	r := read(t, log, topics.ConsumeConfig{SessionTimeout: patience})
	r.until(func(s topics.ConsumeState) bool { return s.Partitions == 3 })
	joined := make(chan string, 100)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Count: -1, When: func(request kmsg.Request) bool {
		joined <- request.(*kmsg.JoinGroupRequest).MemberID
		return false
	}})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.OffsetFetch}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 3})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress})
	r.until(func(s topics.ConsumeState) bool { return s.Partitions == 0 })
	r.until(func(s topics.ConsumeState) bool { return s.Partitions == 3 })
	require.Len(t, joined, 1)
	require.NotEmpty(t, <-joined, "it is the member that it was")
}

func TestLogins(t *testing.T) {
	certificate, trust := selfSigned(t)
	secure := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}})
	client := &tls.Config{RootCAs: trust}
	users := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "p", "pp"),
		kfake.Superuser("SCRAM-SHA-256", "s", "ss"), kfake.Superuser("SCRAM-SHA-512", "l", "ll")}
	open1, encrypted := cluster(t, users...), cluster(t, append(users, secure)...)
	login := func(mechanism, user, password string) *kafka.SASL {
		return &kafka.SASL{Mechanism: mechanism, User: user, Password: password}
	}
	for name, config := range map[string]kafka.Config{
		"scram-256":          {Brokers: open1.ListenAddrs(), SASL: login("scram-sha-256", "s", "ss")},
		"scram-512":          {Brokers: open1.ListenAddrs(), SASL: login("scram-sha-512", "l", "ll")},
		"scram-512 over tls": {Brokers: encrypted.ListenAddrs(), TLS: client, SASL: login("scram-sha-512", "l", "ll")},
		"plain over tls":     {Brokers: encrypted.ListenAddrs(), TLS: client, SASL: login("plain", "p", "pp")},
	} {
		t.Run(name, func(t *testing.T) {
			log := open(t, config)
			r := read(t, log, topics.ConsumeConfig{Group: name})
			write(t, log, 0, name)
			r.next(name)
		})
	}
	// The embedded broker only hangs up on a wrong password; Kafka says why.
	refusing, unable := cluster(t, users...), cluster(t, users...)
	refusing.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, TopLevel: true, Err: kerr.SaslAuthenticationFailed, Count: -1})
	unable.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLHandshake}, TopLevel: true, Err: kerr.UnsupportedSaslMechanism, Count: -1})
	for name, c := range map[string]struct {
		config kafka.Config
		want   string
	}{
		"wrong password":    {kafka.Config{Brokers: refusing.ListenAddrs(), SASL: login("scram-sha-256", "s", "no")}, "SASL Authentication Failed"},
		"wrong mechanism":   {kafka.Config{Brokers: unable.ListenAddrs(), SASL: login("scram-sha-512", "s", "ss")}, "Unsupported SASL Mechanism"},
		"unknown authority": {kafka.Config{Brokers: encrypted.ListenAddrs(), TLS: &tls.Config{}, SASL: login("plain", "p", "pp")}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			log := open(t, c.config)
			errs := log.Publish(t.Context(), []choreo.Record{{Topic: "t", Partition: 0}})
			require.ErrorContains(t, errs[0], c.want)
			require.NotErrorIs(t, errs[0], context.DeadlineExceeded, "at once, not after the delivery timeout")
			err := log.Consume(t.Context(), topics.ConsumeConfig{Group: "g", Topics: []string{"t"}},
				func(context.Context, []choreo.Record) error { return nil })
			require.ErrorContains(t, err, c.want)
			_, err = log.DescribeTopics(t.Context(), "t")
			require.ErrorContains(t, err, c.want)
		})
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pool
}

func TestCloseEndsEverything(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(2))
	log := open(t, kafka.Config{Brokers: c.ListenAddrs()})
	begun, ended := make(chan struct{}, 1), make(chan error, 2)
	write(t, log, 0, "x")
	go func() {
		ended <- log.Consume(t.Context(), topics.ConsumeConfig{Group: "g", Topics: []string{"t"}},
			func(ctx context.Context, _ []choreo.Record) error {
				begun <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
	}()
	<-begun
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	failing := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
	defer failing.Remove()
	published := make(chan []error, 1)
	go func() { published <- log.Publish(t.Context(), []choreo.Record{{Topic: "t", Partition: 0}}) }()
	require.NoError(t, log.Close())
	require.ErrorIs(t, <-ended, topics.ErrClosed)
	require.ErrorIs(t, (<-published)[0], topics.ErrClosed)
	_, err := log.DescribeTopics(t.Context(), "t")
	require.ErrorIs(t, err, topics.ErrClosed)
	require.ErrorIs(t, log.Consume(t.Context(), topics.ConsumeConfig{Group: "g", Topics: []string{"t"}}, nil), topics.ErrClosed)
}
