package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
)

// rawBatch returns a record batch at an offset, as a broker keeps it.
func rawBatch(t require.TestingT, base int64, codec compress.Compression, records ...choreo.Record) []byte {
	c := newCall(records)
	items := make([]*item, len(c.items))
	for i := range c.items {
		items[i] = &c.items[i]
	}
	b, err := appendBatch(nil, items, time.UnixMilli(1_700_000_000_123), codec)
	require.NoError(t, err)
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

// change changes a batch's bytes and makes its checksum good again.
func change(b []byte, do func(b []byte)) []byte {
	do(b)
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
	return b
}

func ofTransaction(producer uint64, b []byte) []byte {
	return change(b, func(b []byte) {
		b[batchAttributesAt+1] |= transactionalBit
		binary.BigEndian.PutUint64(b[43:], producer)
	})
}

// marker returns the control batch that ends a transaction.
func marker(t require.TestingT, base int64, producer uint64, kind byte) []byte {
	b := rawBatch(t, base, compress.None, choreo.Record{Key: []byte{0, 0, 0, kind}, Value: make([]byte, 6)})
	return change(ofTransaction(producer, b), func(b []byte) { b[batchAttributesAt+1] |= controlBit })
}

func join(batches ...[]byte) []byte {
	var all []byte
	for _, b := range batches {
		all = append(all, b...)
	}
	return all
}

func of(values ...string) []choreo.Record {
	records := make([]choreo.Record, len(values))
	for i, value := range values {
		records[i] = choreo.Record{Key: []byte("k"), Value: []byte(value)}
	}
	return records
}

func TestRecordsSurviveEncodingAndDecoding(t *testing.T) {
	bytes := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 4).Draw(t, "nil") == 0 {
			return nil
		}
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	})
	rapid.Check(t, func(t *rapid.T) {
		codec := compress.Compression(rapid.IntRange(0, 4).Draw(t, "codec"))
		base := rapid.Int64Range(0, 1<<50).Draw(t, "base")
		records := make([]choreo.Record, rapid.IntRange(1, 40).Draw(t, "n"))
		for i := range records {
			records[i].Key, records[i].Value = bytes.Draw(t, "key"), bytes.Draw(t, "value")
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				records[i].Headers = append(records[i].Headers,
					choreo.Header{Key: rapid.String().Draw(t, "name"), Value: bytes.Draw(t, "header")})
			}
		}
		offset := base + rapid.Int64Range(0, int64(len(records)-1)).Draw(t, "skipped")
		d := newDecoder()
		got, next, err := d.decode(fetched{records: rawBatch(t, base, codec, records...)}, offset, nil)
		require.NoError(t, err)
		require.Equal(t, base+int64(len(records)), next)
		want := records[offset-base:]
		require.Len(t, got, len(want))
		for i := range want {
			want[i].Offset, want[i].Time = offset+int64(i), time.UnixMilli(1_700_000_000_123)
			require.Equal(t, want[i], got[i])
		}
	})
}

func TestDecodeStepsOverWhatReadersMayNotSee(t *testing.T) {
	const commit, abort = 1, 0
	for name, c := range map[string]struct {
		fetched fetched
		from    int64
		want    []string
		next    int64
	}{
		"nothing": {from: 7, next: 7},
		"a batch that compaction has emptied": {fetched{records: change(rawBatch(t, 10, compress.None), func(b []byte) {
			binary.BigEndian.PutUint32(b[23:], 9)
		})}, 10, nil, 20},
		"a gap": {fetched{records: join(rawBatch(t, 10, compress.None, of("a")...), rawBatch(t, 50, compress.None, of("b")...))},
			10, []string{"a", "b"}, 51},
		"a batch cut short": {fetched{records: join(rawBatch(t, 0, compress.None, of("a")...),
			rawBatch(t, 1, compress.None, of("b")...)[:69])}, 0, []string{"a"}, 1},
		"a head cut short": {fetched{records: join(rawBatch(t, 0, compress.None, of("a")...),
			rawBatch(t, 1, compress.None, of("b")...)[:20])}, 0, []string{"a"}, 1},
		"the first of a batch": {fetched{records: rawBatch(t, 0, compress.Gzip, of("a", "b", "c")...)}, 2, []string{"c"}, 3},
		"a committed transaction": {fetched{records: join(ofTransaction(5, rawBatch(t, 0, compress.None, of("a")...)),
			marker(t, 1, 5, commit))}, 0, []string{"a"}, 2},
		"an aborted transaction": {fetched{aborted: []abortedTransaction{{producer: 5, first: 0}},
			records: join(ofTransaction(5, rawBatch(t, 0, compress.None, of("a", "b")...)),
				ofTransaction(6, rawBatch(t, 2, compress.None, of("other")...)),
				rawBatch(t, 3, compress.None, of("plain")...), marker(t, 4, 5, abort),
				ofTransaction(5, rawBatch(t, 5, compress.None, of("next")...)), marker(t, 6, 5, commit))},
			0, []string{"other", "plain", "next"}, 7},
		"two aborted, told out of order": {fetched{aborted: []abortedTransaction{{5, 2}, {5, 0}},
			records: join(ofTransaction(5, rawBatch(t, 0, compress.None, of("a")...)), marker(t, 1, 5, abort),
				ofTransaction(5, rawBatch(t, 2, compress.None, of("b")...)), marker(t, 3, 5, abort))}, 0, nil, 4},
		"only a marker": {fetched{records: marker(t, 8, 5, abort)}, 8, nil, 9},
	} {
		t.Run(name, func(t *testing.T) {
			records, next, err := newDecoder().decode(c.fetched, c.from, nil)
			require.NoError(t, err)
			var values []string
			for _, r := range records {
				values = append(values, string(r.Value))
			}
			require.Equal(t, c.want, values)
			require.Equal(t, c.next, next)
		})
	}
}

func TestBrokenBatchesAreErrors(t *testing.T) {
	good := rawBatch(t, 0, compress.None, of("good")...)
	for name, c := range map[string]struct {
		bad  []byte
		want error
	}{
		"bytes have changed": {func() []byte {
			b := rawBatch(t, 1, compress.None, of("bad")...)
			b[len(b)-1] ^= 1
			return b
		}(), errChecksum},
		"an old format": {func() []byte {
			b := rawBatch(t, 1, compress.None, of("bad")...)
			b[batchMagicAt] = 1
			return b
		}(), errOldFormat},
		"more records than bytes": {change(rawBatch(t, 1, compress.None, of("bad")...), func(b []byte) {
			binary.BigEndian.PutUint32(b[57:], 1<<30)
		}), errBatch},
		"fewer bytes than a record says": {change(rawBatch(t, 1, compress.None, of("bad")...), func(b []byte) {
			b[batchRecordsAt] = 0x7e
		}), errBatch},
		"a length below that of a head": {change(rawBatch(t, 1, compress.None, of("bad")...), func(b []byte) {
			binary.BigEndian.PutUint32(b[batchLengthAt:], 3)
		}), errBatch},
	} {
		t.Run(name, func(t *testing.T) {
			records, next, err := newDecoder().decode(fetched{records: join(good, c.bad)}, 0, nil)
			require.ErrorIs(t, err, c.want)
			require.Len(t, records, 1)
			require.EqualValues(t, 1, next)
		})
	}
}

// A broker, or whatever answers in its place, can say anything.
func FuzzResponses(f *testing.F) {
	good := join(rawBatch(f, 0, compress.None, of("a", "b")...), rawBatch(f, 2, compress.Snappy, of("c")...))
	f.Add(good)
	f.Add(marker(f, 0, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > batchRecordsAt { // get past the checksum
			binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
			binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-lengthWithoutBytes))
		}
		_, next, _ := newDecoder().decode(fetched{records: b, aborted: []abortedTransaction{{1, 0}}}, 0, nil)
		require.GreaterOrEqual(t, next, int64(0))
		_ = readFetched(b, func([]byte, int32, fetched) {})
		for version := range int16(9) {
			_, _ = readProduced(b, version)
		}
	})
}

func TestHeaderNamesAreBounded(t *testing.T) {
	d := newDecoder()
	for i := range 3 * maxHeaderNames {
		require.Equal(t, fmt.Sprint(i), d.name([]byte(fmt.Sprint(i)), i%100))
		require.LessOrEqual(t, len(d.likely), maxLikely)
		require.LessOrEqual(t, len(d.names), maxHeaderNames)
	}
}

func TestVarintSize(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 8191, 8192, 1 << 20, 1 << 40} {
		require.Equal(t, len(binary.AppendVarint(nil, int64(n))), varintSize(n), n)
	}
}

// BenchmarkDecode is the cost of a record with the headers of an event.
func BenchmarkDecode(b *testing.B) {
	records := make([]choreo.Record, 500)
	for i := range records {
		records[i] = choreo.Record{Key: []byte("018f3a3e-0000-7000-8000-000000000000"), Value: make([]byte, 200)}
		for h := range 12 {
			records[i].Headers = append(records[i].Headers, choreo.Header{Key: fmt.Sprintf("ce_header%d", h), Value: make([]byte, 20)})
		}
	}
	f := fetched{records: rawBatch(b, 0, compress.None, records...)}
	d := newDecoder()
	var out []choreo.Record
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		d.reset()
		out, _, _ = d.decode(f, 0, out[:0])
		n += len(out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}
