package tracker

import (
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// WaitingAt returns the steps that the saga waits for or is stuck at, and the services that it
// waits for or that have parked it, each once: what [Filter.Steps] and [Filter.Services] are
// compared with.
func (s *Snapshot) WaitingAt() (steps, services []string) {
	add := func(list []string, name string) []string {
		if name == "" || slices.Contains(list, name) {
			return list
		}
		return append(list, name)
	}
	for i := range s.Next {
		if n := &s.Next[i]; n.Ready {
			steps, services = add(steps, n.Step), add(services, n.Service)
		}
	}
	for i := range s.Steps {
		if k := &s.Steps[i]; k.stuck() {
			steps, services = add(steps, k.Name), add(services, k.Service)
		}
	}
	for i := range s.Parked {
		services = add(services, s.Parked[i].Service)
	}
	return steps, services
}

func (k *Step) stuck() bool {
	return k.Status == choreo.StepRetried || k.Status == choreo.StepUndoFailed
}

// Codes returns the codes of the cause, of the stuck steps' errors and of the parkings', each
// once: what [Filter.Codes] are compared with.
func (s *Snapshot) Codes() []string {
	var codes []string
	add := func(code string) {
		if code != "" && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	if s.Cause != nil {
		add(s.Cause.Code)
	}
	for i := range s.Steps {
		if k := &s.Steps[i]; k.Error != nil && k.stuck() {
			add(k.Error.Code)
		}
	}
	for i := range s.Parked {
		if e := s.Parked[i].Error; e != nil {
			add(e.Code)
		}
	}
	return codes
}

// Matches reports whether the filter chooses a saga.
func (f *Filter) Matches(s *Snapshot) bool {
	switch {
	case len(f.Sagas) > 0 && !slices.Contains(f.Sagas, s.Saga),
		len(f.Versions) > 0 && !slices.Contains(f.Versions, s.Version),
		len(f.Statuses) > 0 && !slices.Contains(f.Statuses, s.Status),
		!f.StartedFrom.IsZero() && s.StartedAt.Before(f.StartedFrom),
		!f.StartedTo.IsZero() && !s.StartedAt.Before(f.StartedTo),
		!f.UpdatedTo.IsZero() && !s.UpdatedAt.Before(f.UpdatedTo):
		return false
	}
	if len(f.Steps) > 0 || len(f.Services) > 0 {
		steps, services := s.WaitingAt()
		if len(f.Steps) > 0 && !meet(f.Steps, steps) || len(f.Services) > 0 && !meet(f.Services, services) {
			return false
		}
	}
	if len(f.Codes) > 0 && !meet(f.Codes, s.Codes()) {
		return false
	}
	return f.Search == "" || s.found(f.Search)
}

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

func (s *Snapshot) found(search string) bool {
	search = strings.ToLower(search)
	if strings.Contains(strings.ToLower(s.ID), search) {
		return true
	}
	for name, value := range s.Tags {
		value = strings.ToLower(value)
		if strings.Contains(value, search) || strings.ToLower(name)+"="+value == search {
			return true
		}
	}
	return false
}
