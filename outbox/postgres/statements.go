package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// bucket is the part of the keys to which a row belongs: claims lock keys by the
// bucket. hashtext is PostgreSQL's own; that versions may differ in it does not
// matter to locks.
const bucket = "(hashtext(aggregateid) & 63)"

var dialect = table.Dialect{
	Now:   "statement_timestamp()", // a stable one, so that the index on due_at serves
	In:    "clock_timestamp() + %s::bigint * interval '1 microsecond'",
	Left:  "(extract(epoch FROM due_at - clock_timestamp()) * 1000000)::bigint",
	Each:  "json_array_elements(%s::text::json) AS e",
	Item:  "e ->> %d",
	False: "false", Arrays: true,
}

// statements makes the texts. Lists come as text, so that one statement serves pgx and
// any driver of database/sql: whole numbers as '{1,2}', keys as a JSON array.
func (b *base) statements() {
	t := b.tables
	b.texts = t.Texts(dialect)
	most := fmt.Sprintf("interval '%d ms'", outbox.HandedFor.Milliseconds())
	const except = "aggregateid NOT IN (SELECT json_array_elements_text($1::text::json))"
	b.lockBuckets = "SELECT bucket, pg_try_advisory_xact_lock($3, bucket) FROM (SELECT DISTINCT " + bucket + " AS bucket" +
		" FROM (SELECT aggregateid FROM " + t.Outbox + " WHERE " + except + " ORDER BY seq LIMIT $2) AS oldest) AS buckets"
	b.readBuckets = t.SelectEntries("id::text", "clock_timestamp()", most, "$4") + " WHERE $3::bigint >> " + bucket + " & 1 = 1 AND " + except +
		" ORDER BY seq LIMIT $2"
	b.openPages = "DECLARE choreo_claim NO SCROLL CURSOR FOR " + t.SelectEntries("id::text", "clock_timestamp()", most, "$3") +
		" WHERE $2::bigint >> " + bucket + " & 1 = 1 AND " + except + " ORDER BY seq"
	b.deleteRun = "DELETE FROM " + t.Outbox + " WHERE seq BETWEEN $1 AND $2"
	b.delete = "DELETE FROM " + t.Outbox + " WHERE seq = ANY ($1::text::bigint[])"
	b.due = t.Due(dialect)
	b.waiting = t.Waiting(dialect, "held", "(extract(epoch FROM clock_timestamp() - updated_at) * 1000000)::bigint")
	b.pruneTexts = t.Prune(pruneDialect)
	b.backlog = "SELECT (SELECT count(*) FROM (SELECT FROM " + t.Outbox + " LIMIT $1) AS counted)," +
		" coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM " + t.Outbox + " ORDER BY seq LIMIT 1), 0)"
}

// claimSettings are those of a claim's transaction. The planner is to walk the primary key
// whatever the statistics of a table say that is empty most of the time. The deletion of
// entries needs no disk: one that a crash takes back is a repetition in the log, which
// readers drop.
const claimSettings = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)," +
	" set_config('enable_sort', 'off', true), set_config('synchronous_commit', 'off', true)"

// byIndex has the planner find the older entries of a key by their index, whatever the
// statistics of a table say that is empty most of the time: a plan that is made then is kept
// while the table grows.
const byIndex = "SELECT set_config('enable_seqscan', 'off', true)"

// The rows of a list of sagas are read under settings of their own, for the reason that byIndex has.
// Since the handlers' statements come after them in the same transaction, the caller's setting is
// kept, and set again.
const (
	setByIndex = "SELECT set_config('choreo.enable_seqscan', current_setting('enable_seqscan'), true), set_config('enable_seqscan', 'off', true)"
	setBack    = "SELECT set_config('enable_seqscan', current_setting('choreo.enable_seqscan'), true)"
)

// numbers writes a list as the text of an array.
func numbers[N ~int32 | ~int64](list []N) string {
	b := append(make([]byte, 0, 8*len(list)+2), '{')
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, '}'))
}

// keyList writes keys as a JSON array.
func keyList(keys []string) string {
	data, _ := json.Marshal(table.KeyTexts(keys)) // a []string always has a JSON form
	return string(data)
}

// lockedBuckets reads the result of lockBuckets: the buckets that are locked now, one bit each,
// and whether others have some. The set is a number since the elements of a list would be
// parsed again for every row that is compared with it.
func lockedBuckets(rows table.Result) (buckets int64, contended bool, err error) {
	for rows.Next() {
		var (
			n      int32
			locked bool
		)
		if err := rows.Scan(&n, &locked); err != nil {
			return 0, false, err
		}
		if locked {
			buckets |= 1 << n
		} else {
			contended = true
		}
	}
	return buckets, contended, rows.Err()
}

// checkSchema refuses a name that PostgreSQL would cut, so that two schemas could become one.
func (b *base) checkSchema() error {
	const maxIdentifier = 63 // bytes, as PostgreSQL is built by default
	if len(b.schema) > maxIdentifier || strings.Contains(b.schema, "\x00") {
		return fmt.Errorf("Config.Schema %q: a name has at most %d bytes, none of them NUL", b.schema, maxIdentifier)
	}
	return nil
}
