package topics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
)

// DeadLetteredError says that a record is not in its topic but, with the reason, among
// the dead letters.
type DeadLetteredError struct {
	Topic string // of the dead letters
	Err   error  // why it could not be published
}

func (e *DeadLetteredError) Error() string {
	return fmt.Sprintf("the record went to %s instead: %v", e.Topic, e.Err)
}

// Unwrap returns why the record could not be published.
func (e *DeadLetteredError) Unwrap() error { return e.Err }

// delivery is one call of PublishBatch, or one batch of a lane, until each of its
// records is settled.
type delivery struct {
	*Publisher
	ctx     context.Context
	records []choreo.Record
	each    bool // a record that fails for good lets later ones of its key go on
	settled func(i int, err error)
	tries   []int
	last    []error // the last error of each record
}

// round is what came of giving all records of a delivery that are not settled to the log.
type round struct {
	again  []int // are to be tried again
	dying  []int // failed for good
	behind []int // not written because of one of the same key that is dying
	held   map[string]bool
	dead   map[string]bool // keys of dying records
	delay  time.Duration
}

// deliver publishes records and tells settled about each, once, and as soon as it is known.
func (p *Publisher) deliver(ctx context.Context, records []choreo.Record, each bool, settled func(i int, err error)) {
	d := &delivery{
		Publisher: p, ctx: ctx, records: records, each: each, settled: settled,
		tries: make([]int, len(records)), last: make([]error, len(records)),
	}
	waiting := make([]int, len(records))
	for i := range waiting {
		waiting[i] = i
	}
	for len(waiting) > 0 {
		r := d.attempt(waiting)
		if len(r.dying) > 0 {
			d.conclude(r)
		}
		waiting = r.again
		if len(waiting) > 0 && r.delay > 0 {
			timer := time.NewTimer(r.delay)
			select {
			case <-timer.C:
			case <-ctx.Done(): // the next attempt says so, record by record
			}
			timer.Stop()
		}
	}
}

// attempt gives records to the log and settles those that it took.
func (d *delivery) attempt(waiting []int) *round {
	batch := make([]choreo.Record, len(waiting))
	for j, i := range waiting {
		batch[j] = d.records[i]
		batch[j].Partition = choreo.AnyPartition
	}
	errs := d.log.Publish(d.ctx, batch)
	r := &round{held: make(map[string]bool), dead: make(map[string]bool)}
	published := len(waiting)
	for _, err := range errs {
		if err != nil {
			published--
		}
	}
	d.stats.batch(len(waiting), published) // first, so that who sees a result sees it counted
	for j, i := range waiting {
		if errs == nil || errs[j] == nil {
			d.settled(i, nil)
			continue
		}
		d.sort(r, i, errs[j])
	}
	return r
}

// sort finds what is to be done about a record that was not published.
func (d *delivery) sort(r *round, i int, err error) {
	rec := &d.records[i]
	key := string(rec.Key)
	switch {
	case rec.Key != nil && r.held[key]: // behind one that is tried again
		r.again = append(r.again, i)
		return
	case rec.Key != nil && r.dead[key]:
		r.behind = append(r.behind, i)
		return
	}
	d.tries[i]++
	over := d.ctx.Err() != nil
	if over && d.last[i] != nil {
		err = fmt.Errorf("%w; the last fault was: %w", err, d.last[i])
	}
	d.last[i] = err
	if over || lasting(err) || d.config.Retry.Exhausted(d.tries[i]) {
		r.dying = append(r.dying, i)
		r.dead[key] = r.dead[key] || rec.Key != nil
		return
	}
	d.stats.retry()
	r.again = append(r.again, i)
	r.held[key] = r.held[key] || rec.Key != nil
	r.delay = max(r.delay, d.config.Retry.Delay(d.tries[i], rand.Float64()))
}

// lasting reports whether an error stays, however often the record is tried.
func lasting(err error) bool { return errors.Is(err, ErrRecordTooLarge) || errors.Is(err, ErrClosed) }

// conclude settles the records of a round that failed for good, and those behind them.
func (d *delivery) conclude(r *round) {
	buried := d.bury(r.dying)
	lost := make(map[string]error) // keys whose order has a gap that no dead letter fills
	for j, i := range r.dying {
		rec, err := &d.records[i], d.last[i]
		if buried[j] == nil {
			err = &DeadLetteredError{Topic: d.config.DeadLetters, Err: err}
		} else {
			if rec.Key != nil {
				lost[string(rec.Key)] = err
			}
			if !errors.Is(buried[j], errNoLetter) {
				err = fmt.Errorf("%w; nor could it be dead-lettered: %w", err, buried[j])
			}
		}
		d.stats.fail(err, buried[j] == nil)
		d.config.Logger.Warn("record could not be published", zap.String("topic", rec.Topic), zap.Error(err))
		d.settled(i, err)
	}
	for _, i := range r.behind {
		if why := lost[string(d.records[i].Key)]; why != nil && !d.each {
			err := fmt.Errorf("%w: %w", ErrEarlierFailed, why)
			d.stats.fail(err, false)
			d.settled(i, err)
			continue
		}
		r.again = append(r.again, i)
	}
}

// errNoLetter is why there is no dead letter where none was asked for.
var errNoLetter = errors.New("no dead letter")

// bury publishes dead letters of records: nil for each that was. One that is too large
// even for their topic, which is to be the more likely since it may take more, is cut.
func (d *delivery) bury(dying []int) []error {
	errs := make([]error, len(dying))
	var letters []choreo.Record
	var places []int
	for j, i := range dying {
		if d.config.DeadLetters == "" || d.ctx.Err() != nil || errors.Is(d.last[i], ErrClosed) {
			errs[j] = errNoLetter
			continue
		}
		letters, places = append(letters, d.letter(i, false)), append(places, j)
	}
	for cut := false; len(letters) > 0; cut = true {
		results := d.log.Publish(d.ctx, letters)
		var again []choreo.Record
		var left []int
		for k, j := range places {
			if results == nil {
				break
			}
			errs[j] = results[k]
			if errors.Is(results[k], ErrRecordTooLarge) && !cut {
				again, left = append(again, d.letter(dying[j], true)), append(left, j)
			}
		}
		if results == nil {
			for _, j := range places {
				errs[j] = nil
			}
		}
		letters, places = again, left
	}
	return errs
}

// maxCutValue is what is kept of the value in a dead letter that is cut, in bytes.
const maxCutValue = 16 << 10

// hOriginalSize is a header of dead letters that are cut: the size of the value, in bytes, as a
// decimal number. Such a letter has none of the record's own headers.
const hOriginalSize = "choreo-original-size"

// letter returns the dead letter of a record.
func (d *delivery) letter(i int, cut bool) choreo.Record {
	rec := d.records[i]
	rec.Partition, rec.Offset, rec.Time = choreo.AnyPartition, -1, time.Now() // it was never read anywhere
	if cut {
		size := strconv.Itoa(len(rec.Value))
		rec.Value = rec.Value[:min(len(rec.Value), maxCutValue)]
		rec.Headers = []choreo.Header{{Key: hOriginalSize, Value: []byte(size)}}
	}
	letter := DeadLetter(&rec, d.config.DeadLetters, "", d.last[i])
	letter.Headers = slices.DeleteFunc(letter.Headers, func(h choreo.Header) bool { return h.Key == dltConsumerGroup })
	return letter
}
