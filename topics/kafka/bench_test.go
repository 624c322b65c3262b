package kafka_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// events returns n records with the shape of a saga's events: a dozen headers and a
// payload of 200 bytes.
func events(topic string, n int) []choreo.Record {
	records := make([]choreo.Record, n)
	for i := range records {
		records[i] = choreo.Record{Topic: topic, Partition: choreo.AnyPartition,
			Key: fmt.Appendf(nil, "018f3a3e-0000-7000-8000-%012d", i), Value: make([]byte, 200)}
		for h := range 12 {
			records[i].Headers = append(records[i].Headers, choreo.Header{Key: fmt.Sprintf("ce_header%d", h), Value: make([]byte, 20)})
		}
	}
	return records
}

// benchLog returns a log on the cluster that CHOREO_TEST_BROKERS names, or on an
// embedded broker.
func benchLog(b *testing.B) (log *kafka.Log, topic string) { return benchLogWith(b, kafka.Config{}) }

func benchLogWith(b *testing.B, config kafka.Config) (log *kafka.Log, topic string) {
	if named := os.Getenv("CHOREO_TEST_BROKERS"); named != "" {
		config.Brokers = strings.Split(named, ",")
	} else {
		config.Brokers = broker(b).Addresses()
	}
	log = open(b, config)
	topic = "bench-" + rand.Text()
	require.NoError(b, log.CreateTopic(b.Context(), topics.TopicSpec{Name: topic, Partitions: 12}))
	return log, topic
}

// BenchmarkPublish is the cost of a record, by how many come in a call.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("records=%d", size), func(b *testing.B) {
			log, topic := benchLog(b)
			records := events(topic, size)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if errs := log.Publish(b.Context(), records); errs != nil {
					b.Fatal(errs)
				}
				n += size
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("callers=256", func(b *testing.B) {
		log, topic := benchLog(b)
		records := events(topic, 256)
		b.SetParallelism(128)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			own := records[next.Add(1)%256:][:1]
			for pb.Next() {
				if errs := log.Publish(b.Context(), own); errs != nil {
					b.Error(errs)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkCompression is the cost of an event that is written and read, by how it is compressed.
func BenchmarkCompression(b *testing.B) {
	for _, codec := range []string{"none", "snappy", "lz4", "zstd"} {
		for _, size := range []int{4, 64, 1000} {
			b.Run(fmt.Sprintf("%s/records=%d", codec, size), func(b *testing.B) {
				log, topic := benchLogWith(b, kafka.Config{Compression: codec})
				records := completions(topic, size)
				var read atomic.Int64
				ctx, stop := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				want := int64(b.N * size)
				go func() {
					ended <- log.Consume(ctx, topics.ConsumeConfig{Group: topic, Topics: []string{topic}, Keep: func(*choreo.Record) bool {
						if read.Add(1) == want {
							stop()
						}
						return false
					}}, func(context.Context, []choreo.Record) error { return nil })
				}()
				for range b.N {
					if errs := log.Publish(b.Context(), records); errs != nil {
						b.Fatal(errs)
					}
				}
				require.NoError(b, <-ended)
				b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkConsume is the cost of a record that is handled by doing nothing.
func BenchmarkConsume(b *testing.B) {
	log, topic := benchLog(b)
	records := events(topic, 1000)
	for written := 0; written < b.N; written += len(records) {
		if errs := log.Publish(b.Context(), records); errs != nil {
			b.Fatal(errs)
		}
	}
	var handled atomic.Int64
	ctx, stop := context.WithCancel(b.Context())
	b.ReportAllocs()
	b.ResetTimer()
	err := log.Consume(ctx, topics.ConsumeConfig{Group: topic, Topics: []string{topic}},
		func(_ context.Context, batch []choreo.Record) error {
			if handled.Add(int64(len(batch))) >= int64(b.N) {
				stop()
			}
			return nil
		})
	require.NoError(b, err)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// completions returns n events that tell of a completed step.
func completions(topic string, n int) []choreo.Record {
	records := make([]choreo.Record, n)
	for i := range records {
		records[i] = topics.Encode(&choreo.Event{
			ID: fmt.Sprintf("018f3a3e-0000-7000-8000-%012d", i), Type: choreo.StepCompleted, Saga: "order", Version: 1,
			SagaID: fmt.Sprintf("018f3a3e-0000-7000-9000-%012d", i), Step: "reserve-stock", Source: "inventory", Initiator: "orders",
			Attempt: 1, CausationID: fmt.Sprintf("018f3a3e-0000-7000-a000-%012d", i), Time: time.Now(),
			ContentType: "application/json", Payload: make([]byte, 200), Partition: choreo.AnyPartition,
		}, topic)
	}
	return records
}

// BenchmarkSkip is the cost of an event that concerns nobody here: from the broker to the offset
// that counts it. Allocations are those of this process: with an embedded broker, its own, too.
func BenchmarkSkip(b *testing.B) {
	log, topic := benchLog(b)
	records := completions(topic, 1000)
	for written := 0; written < b.N; written += len(records) {
		if errs := log.Publish(b.Context(), records); errs != nil {
			b.Fatal(errs)
		}
	}
	skipped := 0 // one broker: Keep is called by one goroutine
	ctx, stop := context.WithCancel(b.Context())
	b.ReportAllocs()
	b.ResetTimer()
	err := log.Consume(ctx, topics.ConsumeConfig{Group: topic, Topics: []string{topic}, Keep: func(rec *choreo.Record) bool {
		head, err := topics.ReadHead(rec)
		if skipped++; skipped >= b.N {
			stop()
		}
		return err != nil || head.Step == "ship-parcel"
	}}, func(context.Context, []choreo.Record) error { return nil })
	require.NoError(b, err)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkIdleHop is the time from Publish to the handler on an idle log.
func BenchmarkIdleHop(b *testing.B) {
	log, topic := benchLog(b)
	records := events(topic, 64)
	arrived := make(chan time.Time, 1)
	var reading sync.WaitGroup
	ctx, stop := context.WithCancel(b.Context())
	assigned := make(chan struct{})
	reading.Go(func() {
		var once sync.Once
		err := log.Consume(ctx, topics.ConsumeConfig{Group: topic, Topics: []string{topic},
			OnState: func(topics.ConsumeState) { once.Do(func() { close(assigned) }) }},
			func(_ context.Context, _ []choreo.Record) error {
				arrived <- time.Now()
				return nil
			})
		require.NoError(b, err)
	})
	<-assigned
	var hops []time.Duration
	hop := func(i int) {
		begin := time.Now()
		binary.BigEndian.PutUint64(records[i%64].Value, uint64(i))
		if errs := log.Publish(b.Context(), records[i%64:][:1]); errs != nil {
			b.Fatal(errs)
		}
		hops = append(hops, (<-arrived).Sub(begin))
	}
	for i := range 20 {
		hop(i)
	}
	hops = hops[:0]
	for i := 0; b.Loop(); i++ {
		hop(i)
	}
	stop()
	reading.Wait()
	slices.Sort(hops)
	b.ReportMetric(float64(hops[len(hops)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(hops[len(hops)*99/100].Microseconds()), "p99-µs")
}
