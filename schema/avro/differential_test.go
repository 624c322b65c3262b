package avro

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	twmb "github.com/twmb/avro"
	"pgregory.net/rapid"
)

// stricter says whether the fault is one that twmb does not look for: it lets bytes be any text and any
// decimal.
func stricter(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "not valid UTF-8") || strings.Contains(err.Error(), "more than 6 digits"))
}

func TestAnotherImplementationReadsAndWritesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t: t}
		n := d.schema(3)
		text := n.text()
		other, err := twmb.Parse(text)
		require.NoError(t, err, text)
		value := d.value(n)

		body, err := encodeAny(text, value)
		require.NoError(t, err, text)
		var theirs any
		rest, err := other.Decode(body, &theirs)
		require.NoError(t, err, text)
		require.Empty(t, rest, text)
		require.Equal(t, alike(value), alike(theirs), text)

		body, err = other.Encode(value)
		require.NoError(t, err, text)
		// What it wrote may be another branch of a union than was meant, such as string for bytes.
		theirs = nil
		_, err = other.Decode(body, &theirs)
		require.NoError(t, err, text)
		ours, _, err := decodeAny(text, text, body)
		if stricter(err) {
			return
		}
		require.NoError(t, err, text)
		require.Equal(t, alike(theirs), alike(ours), text)
	})
}

// Of writers' unions twmb wants every branch to be readable, and of enums every symbol; the
// specification leaves that to the data. So what it refuses may be read here, while what it takes
// has to be.
func TestAnotherImplementationResolvesTheSame(t *testing.T) {
	read, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t: t}
		n := d.schema(3)
		writer, reader := n.text(), d.changed(n).text()
		theirWriter, err := twmb.Parse(writer)
		require.NoError(t, err, writer)
		theirReader, err := twmb.Parse(reader)
		if err != nil {
			t.Skip("the change made no schema", err)
		}
		if _, err := parse(schemaOf(reader)); err != nil {
			// They take a name ahead of its definition, which the specification forbids.
			require.ErrorContains(t, err, "which neither it nor its references define")
			return
		}
		body, err := encodeAny(writer, d.value(n))
		require.NoError(t, err, writer)

		ours, certain, err := decodeAny(writer, reader, body)
		resolved, refusal := twmb.Resolve(theirWriter, theirReader)
		if refusal != nil {
			refused++
			return
		}
		read++
		require.False(t, certain && err != nil, "%s\n%s\n%v", writer, reader, err)
		if stricter(err) {
			return
		}
		var theirs any
		_, theirErr := resolved.Decode(body, &theirs)
		require.Equal(t, theirErr == nil, err == nil, "%s\n%s\n%v\n%v", writer, reader, theirErr, err)
		require.Equal(t, alike(theirs), alike(ours), "%s\n%s", writer, reader)
	})
	require.Positive(t, read)
	require.Positive(t, refused)
}
