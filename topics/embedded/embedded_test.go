package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

// The test binary is also the process that gets killed: with this variable it runs a
// broker in the folder that it names.
const childFolder = "CHOREO_TEST_EMBEDDED_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		if err := writeUntilKilled(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const half = 250

// writeUntilKilled writes records without end, one after the other, and prints the
// number of each once it is acknowledged. A consumer handles the first ones; when their
// offsets are committed it prints "committed".
func writeUntilKilled(folder string) error {
	b, err := embedded.Start(embedded.Config{DataDir: folder})
	if err != nil {
		return err
	}
	log, err := kafka.New(kafka.Config{Brokers: b.Addresses()})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := log.CreateTopic(ctx, topics.TopicSpec{Name: "t", Partitions: 3}); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if errs := log.Publish(ctx, []choreo.Record{record(n)}); errs != nil {
			return errors.Join(errs...)
		}
		fmt.Println(n)
		if n == half {
			if err := readHalf(ctx, log); err != nil {
				return err
			}
			fmt.Println("committed")
		}
	}
}

// readHalf handles the records that are there and returns after the last commit.
func readHalf(ctx context.Context, log *kafka.Log) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	seen := 0
	return log.Consume(ctx, topics.ConsumeConfig{Group: "g", Topics: []string{"t"}, Lanes: 1},
		func(_ context.Context, batch []choreo.Record) error {
			if seen += len(batch); seen > half {
				stop()
			}
			return nil
		})
}

func record(n int) choreo.Record {
	return choreo.Record{Topic: "t", Partition: int32(n % 3), Key: strconv.AppendInt(nil, int64(n), 10), Value: []byte("v")}
}

func TestWhatIsAcknowledgedSurvivesAKill(t *testing.T) {
	folder := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+folder)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	acknowledged, committed := -1, false
	for acknowledged < 2*half && lines.Scan() {
		if lines.Text() == "committed" {
			committed = true
		} else if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
			require.NoError(t, err)
		}
	}
	_, err = embedded.Start(embedded.Config{DataDir: folder})
	require.ErrorIs(t, err, embedded.ErrInUse)
	require.NoError(t, child.Process.Kill())
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil && n == acknowledged+1 {
			acknowledged = n // a last line may be cut short
		}
	}
	require.Error(t, child.Wait(), "it was killed")
	require.True(t, committed)

	b, err := embedded.Start(embedded.Config{DataDir: folder})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	log, err := kafka.New(kafka.Config{Brokers: b.Addresses()})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	read(t, log, "new group", 0, acknowledged)
	rest := read(t, log, "g", half+1, acknowledged)
	require.NotContains(t, rest, 0, "its offset was committed")
}

// read returns the numbers of the records that a group gets, once it has those from
// first to last.
func read(t *testing.T, log *kafka.Log, group string, first, last int) map[int]bool {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 40*time.Second)
	defer stop()
	got, wanted := make(map[int]bool), last-first+1
	err := log.Consume(ctx, topics.ConsumeConfig{Group: group, Topics: []string{"t"}, Lanes: 1},
		func(_ context.Context, batch []choreo.Record) error {
			for _, r := range batch {
				n, err := strconv.Atoi(string(r.Key))
				if err != nil {
					return err
				}
				if !got[n] && n >= first && n <= last {
					wanted--
				}
				got[n] = true
			}
			if wanted == 0 {
				stop()
			}
			return nil
		})
	require.NoError(t, err)
	require.Zero(t, wanted, "records are lost")
	return got
}

func TestAFolderOutlivesItsBrokers(t *testing.T) {
	config := embedded.Config{DataDir: t.TempDir()}
	for round := range 3 {
		b, err := embedded.Start(config)
		require.NoError(t, err)
		_, err = embedded.Start(config)
		require.ErrorIs(t, err, embedded.ErrInUse)
		require.ErrorContains(t, err, config.DataDir)
		log, err := kafka.New(kafka.Config{Brokers: b.Addresses()})
		require.NoError(t, err)
		if round == 0 {
			require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "t", Partitions: 3,
				Settings: map[string]string{"retention.ms": "-1"}}))
		}
		states, err := log.DescribeTopics(t.Context(), "t")
		require.NoError(t, err)
		require.Equal(t, 3, states["t"].Partitions)
		require.Equal(t, "-1", states["t"].Settings["retention.ms"])
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{record(round)}))
		require.Equal(t, map[int]bool{round: true}, read(t, log, "g", round, round), "the group goes on where it stopped")
		require.NoError(t, log.Close())
		require.NoError(t, b.Close())
		require.NoError(t, b.Close())
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	_, err := embedded.Start(embedded.Config{Port: 70000})
	require.ErrorContains(t, err, "Config.Port")
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = embedded.Start(embedded.Config{DataDir: file})
	require.ErrorContains(t, err, "Config.DataDir")
	b, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	port, err := strconv.Atoi(b.Addresses()[0][strings.LastIndex(b.Addresses()[0], ":")+1:])
	require.NoError(t, err)
	folder := t.TempDir()
	_, err = embedded.Start(embedded.Config{Port: port, DataDir: folder})
	require.ErrorContains(t, err, "in use")
	other, err := embedded.Start(embedded.Config{DataDir: folder})
	require.NoError(t, err, "the folder is free again")
	require.NoError(t, other.Close())
}
