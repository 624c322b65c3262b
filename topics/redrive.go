package topics

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// A letter that was redriven stays where it is, and a marker that names its place is written to
// the same partition behind it. The marker comes after the record is acknowledged: after a crash
// between the two the letter is redriven once more, which participants take for the duplicate
// that it is.

// The headers of a marker. Numbers are big-endian.
const (
	redrivePrefix    = "choreo-redriven-"
	redrivePartition = redrivePrefix + "partition" // 4 bytes
	redriveOffset    = redrivePrefix + "offset"    // 8 bytes
	redriveGroup     = redrivePrefix + "group"     // LetterGroup.Key
)

// redriveBatch is how many letters are published at once.
const redriveBatch = 100

// DeadLetters shows and redrives the dead letters of a namespace. It is safe for concurrent use.
type DeadLetters struct {
	log   Log
	topic string
}

// NewDeadLetters returns the dead letters of a namespace. The caller keeps the log.
func NewDeadLetters(log Log, names Names) *DeadLetters {
	return &DeadLetters{log: log, topic: names.DeadLetters()}
}

// LetterGroup is what letters have in common: the cause, and whom it befell.
type LetterGroup struct {
	Key   string // names the group; it depends on the following four alone
	Type  string // Letter.Type
	Cause string // Letter.Cause
	Topic string // of the original records
	Group string // that gave them up

	Count    int // letters, also those that were redriven
	Redriven int
	First    time.Time // when the first letter was written
	Last     time.Time
	Sample   *Letter // the last one
}

// GroupKey returns the key of the group to which a letter belongs.
func (l *Letter) GroupKey() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{l.Type, l.Cause(), l.Original.Topic, l.Group}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// marked is a marker as it was read.
type marked struct {
	letter Place
	group  string
}

// readMarker reads a marker, and reports whether the record is one.
func readMarker(rec *choreo.Record) (m marked, is bool) {
	partition, is := rec.Header(redrivePartition)
	offset, also := rec.Header(redriveOffset)
	if !is || !also || len(partition) != 4 || len(offset) != 8 {
		return marked{}, false
	}
	group, _ := rec.Header(redriveGroup)
	return marked{
		letter: Place{int32(binary.BigEndian.Uint32(partition)), int64(binary.BigEndian.Uint64(offset))},
		group:  string(group),
	}, true
}

// scan goes through all letters and markers that there are now. What is neither is passed by.
func (d *DeadLetters) scan(ctx context.Context, letter func(*Letter) error, marker func(marked)) error {
	err := d.log.Read(ctx, ReadConfig{Topic: d.topic, ToEnd: true}, func(_ context.Context, batch []choreo.Record) error {
		for i := range batch {
			if m, is := readMarker(&batch[i]); is {
				marker(m)
				continue
			}
			l, err := ReadDeadLetter(&batch[i])
			if err != nil {
				continue
			}
			if err := letter(l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("topics: reading the dead letters in %s: %w", d.topic, err)
	}
	return nil
}

// Groups reads all letters and returns their groups, those with the latest letter first. It
// keeps one letter of each.
func (d *DeadLetters) Groups(ctx context.Context) ([]*LetterGroup, error) {
	groups := make(map[string]*LetterGroup)
	redriven := make(map[Place]string)
	seen := make(map[int32]int64) // a letter may be read twice
	err := d.scan(ctx, func(l *Letter) error {
		if next, known := seen[l.Place.Partition]; known && l.Place.Offset < next {
			return nil
		}
		seen[l.Place.Partition] = l.Place.Offset + 1
		key := l.GroupKey()
		g := groups[key]
		if g == nil {
			g = &LetterGroup{Key: key, Type: l.Type, Cause: l.Cause(), Topic: l.Original.Topic, Group: l.Group, First: l.Time}
			groups[key] = g
		}
		g.Count++
		if l.Time.Before(g.First) {
			g.First = l.Time
		}
		if g.Sample == nil || !l.Time.Before(g.Last) {
			g.Last, g.Sample = l.Time, l
		}
		return nil
	}, func(m marked) { redriven[m.letter] = m.group })
	if err != nil {
		return nil, err
	}
	for place, group := range redriven {
		// Retention may have taken the letter, and left the marker.
		if g := groups[group]; g != nil && g.Redriven < g.Count && seen[place.Partition] > place.Offset {
			g.Redriven++
		}
	}
	list := make([]*LetterGroup, 0, len(groups))
	for _, g := range groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *LetterGroup) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return list, nil
}

// ListedLetter is a letter, and whether it was redriven.
type ListedLetter struct {
	*Letter
	Redriven bool
}

// List returns the latest letters of a group, or of all with an empty one, the latest first: limit
// of them at most.
func (d *DeadLetters) List(ctx context.Context, group string, limit int) ([]ListedLetter, error) {
	if limit < 1 {
		return nil, fmt.Errorf("topics: list of dead letters: the limit is %d: use at least 1", limit)
	}
	var list []ListedLetter
	redriven := make(map[Place]bool)
	latest := func(a, b ListedLetter) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		if c := int(b.Place.Partition) - int(a.Place.Partition); c != 0 {
			return c
		}
		return int(max(min(b.Place.Offset-a.Place.Offset, 1), -1))
	}
	trim := func() {
		slices.SortFunc(list, latest)
		list = slices.CompactFunc(list, func(a, b ListedLetter) bool { return a.Place == b.Place })
		if len(list) > limit {
			clear(list[limit:])
			list = list[:limit]
		}
	}
	err := d.scan(ctx, func(l *Letter) error {
		if group != "" && l.GroupKey() != group {
			return nil
		}
		if list = append(list, ListedLetter{Letter: l}); len(list) >= 2*limit {
			trim()
		}
		return nil
	}, func(m marked) { redriven[m.letter] = true })
	if err != nil {
		return nil, err
	}
	trim()
	for i := range list {
		list[i].Redriven = redriven[list[i].Place]
	}
	return list, nil
}

// Redrive says which letters are to be redriven, and by whom.
type Redrive struct {
	// Group chooses the letters of a group, by its key. Letters chooses by place. One of them is
	// required.
	Group   string
	Letters []Place
	// Force redrives also letters that were redriven before.
	Force bool
	// DryRun tells what would be done, and does nothing.
	DryRun bool
	// By is who wants it, Note why. They stand in the marker. By is required but for a dry run.
	By, Note string
}

// Redriven is what came of a [Redrive].
type Redriven struct {
	Letters []Place // that were redriven, or would be
	Skipped []Skipped
}

// Skipped is a letter that was not redriven, and why.
type Skipped struct {
	Letter Place
	Why    string
}

// marker is the value of a marker, for people.
type marker struct {
	Redriven Place     `json:"redriven"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Note     string    `json:"note,omitempty"`
}

// Redrive publishes the original records of letters, as they were, to the partitions in which they
// were read, and notes that by markers in the topic of the letters. All services of a saga
// read such a record anew: those that have handled it take it for the duplicate that it is,
// and whoever could not handle it tries again. A letter whose record cannot be published is
// skipped, with why; an error says that nothing more was done.
func (d *DeadLetters) Redrive(ctx context.Context, what Redrive) (Redriven, error) {
	if err := what.check(); err != nil {
		return Redriven{}, fmt.Errorf("topics: redrive: %w", err)
	}
	// Markers come after their letters: what is to be done is known at the end.
	chosen := make(map[Place]bool)
	redriven := make(map[Place]bool)
	wanted := make(map[Place]bool, len(what.Letters))
	for _, place := range what.Letters {
		wanted[place] = true
	}
	err := d.scan(ctx, func(l *Letter) error {
		if wanted[l.Place] || what.Group != "" && l.GroupKey() == what.Group {
			chosen[l.Place] = true
		}
		return nil
	}, func(m marked) { redriven[m.letter] = true })
	if err != nil {
		return Redriven{}, err
	}
	r := redrive{d: d, what: what}
	for place := range chosen {
		if redriven[place] && !what.Force {
			delete(chosen, place)
			r.skip(place, "it was redriven before")
		}
	}
	for _, place := range what.Letters {
		if !chosen[place] && !redriven[place] {
			r.skip(place, "there is no dead letter at this place")
		}
	}
	if len(chosen) > 0 {
		err = r.run(ctx, chosen)
	}
	byPlace := func(a, b Place) int {
		if a.Partition != b.Partition {
			return int(a.Partition) - int(b.Partition)
		}
		return int(max(min(a.Offset-b.Offset, 1), -1))
	}
	slices.SortFunc(r.result.Letters, byPlace)
	slices.SortFunc(r.result.Skipped, func(a, b Skipped) int { return byPlace(a.Letter, b.Letter) })
	return r.result, err
}

func (what *Redrive) check() error {
	var faults []error
	if (what.Group == "") == (len(what.Letters) == 0) {
		faults = append(faults, errors.New("name a group or letters, one of them"))
	}
	if what.By == "" && !what.DryRun {
		faults = append(faults, errors.New("By is empty: say who wants it"))
	}
	return errors.Join(faults...)
}

// redrive is a call of Redrive.
type redrive struct {
	d      *DeadLetters
	what   Redrive
	batch  []*Letter
	result Redriven
}

func (r *redrive) skip(place Place, why string) {
	r.result.Skipped = append(r.result.Skipped, Skipped{Letter: place, Why: why})
}

// run reads the letters again, so that no more than a batch of them is in memory.
func (r *redrive) run(ctx context.Context, chosen map[Place]bool) error {
	err := r.d.scan(ctx, func(l *Letter) error {
		if !chosen[l.Place] {
			return nil
		}
		delete(chosen, l.Place)
		if r.batch = append(r.batch, l); len(r.batch) < redriveBatch {
			return nil
		}
		return r.flush(ctx)
	}, func(marked) {})
	if err != nil {
		return err
	}
	return r.flush(ctx)
}

// flush redrives a batch.
func (r *redrive) flush(ctx context.Context) error {
	batch := r.batch
	r.batch = nil
	if len(batch) == 0 {
		return nil
	}
	if r.what.DryRun {
		for _, l := range batch {
			r.result.Letters = append(r.result.Letters, l.Place)
		}
		return nil
	}
	records := make([]choreo.Record, len(batch))
	for i, l := range batch {
		o := &l.Original
		records[i] = choreo.Record{Topic: o.Topic, Partition: o.Partition, Key: o.Key, Value: o.Value, Headers: o.Headers}
	}
	errs := r.d.log.Publish(ctx, records)
	var markers []choreo.Record
	for i, l := range batch {
		if errs != nil && errs[i] != nil {
			r.skip(l.Place, errs[i].Error())
			continue
		}
		r.result.Letters = append(r.result.Letters, l.Place)
		markers = append(markers, r.marker(l))
	}
	if len(markers) == 0 {
		return ctx.Err()
	}
	if errs := r.d.log.Publish(ctx, markers); errs != nil {
		return fmt.Errorf("topics: redrive: %d records were redriven, but not all of it is noted in %s, so that another redrive would repeat them: %w",
			len(markers), r.d.topic, errors.Join(errs...))
	}
	return nil
}

func (r *redrive) marker(l *Letter) choreo.Record {
	value, _ := json.Marshal(marker{ // such a value always has a JSON form
		Redriven: l.Place, At: time.Now().UTC(), By: storable(r.what.By), Note: storable(r.what.Note),
	})
	return choreo.Record{
		Topic: r.d.topic, Partition: l.Place.Partition, Key: l.Original.Key, Value: value,
		Headers: []choreo.Header{
			{Key: hContentType, Value: []byte("application/json")},
			{Key: redrivePartition, Value: binary.BigEndian.AppendUint32(nil, uint32(l.Place.Partition))},
			{Key: redriveOffset, Value: binary.BigEndian.AppendUint64(nil, uint64(l.Place.Offset))},
			{Key: redriveGroup, Value: []byte(l.GroupKey())},
		},
	}
}
