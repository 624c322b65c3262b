package tracker

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

const (
	figureMinutes = 60
	// A class of the histogram is wider than the one before by the fourth root of 2; the first
	// ends at 100 µs, the last begins beyond a year.
	histogramClasses = 156
	firstClass       = 100e-6
	maxFigureSteps   = 10_000
	slowestSteps     = 20
)

// figures are counted while folding.
type figures struct {
	mu      sync.Mutex
	now     func() time.Time
	minutes map[string]*[figureMinutes]Minute // by saga
	steps   map[stepKey]*stepTimes
}

type stepKey struct {
	saga    string
	version int
	step    string
}

type stepTimes struct {
	service string
	count   int64
	max     time.Duration
	classes [histogramClasses]uint32
}

// minute returns the minute of a time, nil where that is not among the last 60.
func (f *figures) minute(saga string, at time.Time) *Minute {
	at = at.UTC().Truncate(time.Minute)
	now := f.now().UTC().Truncate(time.Minute)
	if at.After(now.Add(time.Minute)) || !at.After(now.Add(-figureMinutes*time.Minute)) {
		return nil
	}
	minutes := f.minutes[saga]
	if minutes == nil {
		minutes = &[figureMinutes]Minute{}
		f.minutes[saga] = minutes
	}
	m := &minutes[int(at.Unix()/60)%figureMinutes]
	if !m.At.Equal(at) {
		*m = Minute{At: at}
	}
	return m
}

func (f *figures) started(saga string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.minute(saga, at); m != nil {
		m.Started++
	}
}

func (f *figures) ended(saga string, at time.Time, status choreo.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.minute(saga, at)
	if m == nil {
		return
	}
	switch status {
	case choreo.StatusCompleted:
		m.Completed++
	case choreo.StatusCompensated:
		m.Compensated++
	case choreo.StatusFailed:
		m.Failed++
	default:
	}
}

func (f *figures) took(key stepKey, service string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.steps[key]
	if s == nil {
		if len(f.steps) >= maxFigureSteps {
			return
		}
		s = &stepTimes{service: service}
		f.steps[key] = s
	}
	s.count++
	s.max = max(s.max, d)
	s.classes[classOf(d)]++
}

func classOf(d time.Duration) int {
	if d.Seconds() <= firstClass {
		return 0
	}
	return min(int(math.Ceil(4*math.Log2(d.Seconds()/firstClass))), histogramClasses-1)
}

// restored counts what a snapshot tells, after a restart.
func (f *figures) restored(s *Snapshot) {
	f.started(s.Saga, s.StartedAt)
	if s.EndedAt != nil {
		f.ended(s.Saga, *s.EndedAt, s.Status)
	}
	for i := range s.Steps {
		if k := &s.Steps[i]; k.ReadyAt != nil && k.EndedAt != nil && k.Status != choreo.StepBypassed && k.Status != choreo.StepNotRun {
			f.took(stepKey{s.Saga, s.Version, k.Name}, k.Service, k.EndedAt.Sub(*k.ReadyAt))
		}
	}
}

// forget forgets what was counted of a saga, which is counted again.
func (f *figures) forget(saga string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.minutes, saga)
	for key := range f.steps {
		if key.saga == saga {
			delete(f.steps, key)
		}
	}
}

func (s *stepTimes) quantile(q float64) float64 {
	rank := int64(math.Ceil(q * float64(s.count)))
	var seen int64
	for i := range s.classes {
		if seen += int64(s.classes[i]); seen >= rank {
			return min(firstClass*math.Exp2(float64(i)/4), s.max.Seconds())
		}
	}
	return s.max.Seconds()
}

func (f *figures) tell(o *Overview) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now().UTC().Truncate(time.Minute)
	for i := figureMinutes - 1; i >= 0; i-- {
		at := now.Add(-time.Duration(i) * time.Minute)
		sum := Minute{At: at}
		for _, minutes := range f.minutes {
			if m := &minutes[int(at.Unix()/60)%figureMinutes]; m.At.Equal(at) {
				sum.Started += m.Started
				sum.Completed += m.Completed
				sum.Compensated += m.Compensated
				sum.Failed += m.Failed
			}
		}
		o.PerMinute = append(o.PerMinute, sum)
	}
	o.SlowestSteps = []StepFigures{}
	for key, s := range f.steps {
		o.SlowestSteps = append(o.SlowestSteps, StepFigures{
			Saga: key.saga, Version: key.version, Step: key.step, Service: s.service, Count: s.count,
			P50Seconds: max(s.quantile(0.5), 0), P95Seconds: max(s.quantile(0.95), 0), MaxSeconds: max(s.max.Seconds(), 0),
		})
	}
	slices.SortFunc(o.SlowestSteps, func(a, b StepFigures) int {
		return cmp.Or(cmp.Compare(b.P95Seconds, a.P95Seconds), cmp.Compare(a.Saga, b.Saga),
			cmp.Compare(a.Version, b.Version), cmp.Compare(a.Step, b.Step))
	})
	o.SlowestSteps = o.SlowestSteps[:min(len(o.SlowestSteps), slowestSteps)]
}
