package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

const (
	maxReason      = 1000 // characters
	maxID          = 255  // bytes, as participants have it
	maxLetters     = 1000
	defaultLetters = 200
	maxParked      = 10_000 // sagas that are looked at for their groups
	parkedSample   = 10
)

// ParkedGroup is sagas that one service has parked for one cause.
type ParkedGroup struct {
	Service string    `json:"service"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Count   int64     `json:"count"`
	Oldest  time.Time `json:"oldest"`
	Sagas   []SagaRef `json:"sagas"` // the first 10
}

// SagaRef names a saga.
type SagaRef struct {
	Saga string `json:"saga"`
	ID   string `json:"id"`
}

// Sent is a command that stands in the log. What comes of it is told by the saga's log.
type Sent struct {
	EventID string     `json:"event_id"`
	Action  ActionName `json:"action"`
}

func (s *Server) participants(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	if s.source.Participants == nil {
		return problem(CodeNotAvailable, "the tracker was started without the topic of participants")
	}
	list, err := s.source.Participants.Participants(r.Context())
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Instances = orEmpty(list[i].Instances)
		for k := range list[i].Instances {
			list[i].Instances[k].Waiting = orEmpty(list[i].Instances[k].Waiting)
		}
	}
	return answer(w, http.StatusOK, orEmpty(list))
}

func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) error {
	var group string
	var one bool
	var limit int
	if err := read(r, func(p *parameters) {
		group, one = p.one("group", maxValue)
		limit = p.number("limit", defaultLetters, 1, maxLetters)
		if by, ok := p.one("by", maxValue); ok && by != "error" {
			p.fail("by", "use error: there are no other groups")
		} else if ok && one {
			p.fail("by", "it is of no use with a group")
		}
		if one && group == "" {
			p.fail("group", "it is empty: leave it out to see the groups")
		}
	}); err != nil {
		return err
	}
	if s.source.DeadLetters == nil {
		return problem(CodeNotAvailable, "the tracker was started without the topic of dead letters")
	}
	if one {
		letters, err := s.source.DeadLetters.Letters(r.Context(), group, limit)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, orEmpty(letters))
	}
	groups, err := s.source.DeadLetters.Groups(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, orEmpty(groups))
}

func (s *Server) parked(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	type key struct{ service, code, message string }
	groups := map[key]*ParkedGroup{}
	q := tracker.Query{
		Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusParked, choreo.StatusStuck}},
		Order:  tracker.ByStarted, Limit: maxLimit,
	}
	for seen := 0; ; {
		page, err := s.source.Sagas.List(r.Context(), q)
		if _, err = whatIsMissing(w, err, false); err != nil {
			return err
		}
		for _, one := range page.Sagas {
			for _, p := range one.Parked { // a stuck saga may be parked besides
				k := key{service: p.Service}
				if p.Error != nil {
					k.code, k.message = p.Error.Code, p.Error.Message
				}
				g := groups[k]
				if g == nil {
					g = &ParkedGroup{Service: k.service, Code: k.code, Message: k.message, Oldest: p.Since}
					groups[k] = g
				}
				g.Count++
				if p.Since.Before(g.Oldest) {
					g.Oldest = p.Since
				}
				if len(g.Sagas) < parkedSample {
					g.Sagas = append(g.Sagas, SagaRef{Saga: one.Saga, ID: one.ID})
				}
			}
		}
		seen += len(page.Sagas)
		if q.After = page.Next; page.Next == "" {
			break
		}
		if seen >= maxParked {
			w.Header().Set("Choreo-Truncated", "true") // it is of the oldest ones
			break
		}
	}
	list := make([]*ParkedGroup, 0, len(groups))
	for _, g := range groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *ParkedGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	s.fresh(w, false)
	return answer(w, http.StatusOK, list)
}

// decode reads a body of JSON, with no fields but those that are known: a typing error must not
// change what is asked for.
func decode(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem(CodeUnsupportedMedia, "send Content-Type: application/json")
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return badBody("", "the body ended early")
	}
	if !utf8.Valid(data) {
		return badBody("", "it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return badBody(kind.Field, "it is a "+kind.Value+" where it should not be")
		}
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return badBody(strings.Trim(field, `"`), "there is no such field")
		}
		return badBody("", "it is no JSON: "+err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badBody("", "there is more behind the object: send one")
	}
	return nil
}

func checkWords(field, text string, most int, required bool) error {
	switch {
	case required && strings.TrimSpace(text) == "":
		return badBody(field, "it is empty")
	case utf8.RuneCountInString(text) > most:
		return badBody(field, fmt.Sprintf("it has %d characters: at most %d", utf8.RuneCountInString(text), most))
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }):
		return badBody(field, "it holds control characters")
	}
	return nil
}

func (s *Server) act(w http.ResponseWriter, r *http.Request) (err error) {
	var a Action
	saga, id := r.PathValue("saga"), pathID(r)
	defer func() { s.audit(r, identity(r), auditName(a.Action), saga+"/"+id, a.Reason, err) }()
	if err := read(r, noParameters); err != nil {
		return err
	}
	if err := decode(r, &a); err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	if s.source.Commands == nil {
		return problem(CodeNotAvailable, "the tracker was started without the right to write to the logs")
	}
	one, err := s.source.Sagas.Get(r.Context(), saga, id)
	if err != nil {
		return err
	}
	if why := a.refusal(one); why != "" {
		return problem(CodeRefused, why)
	}
	event, err := s.source.Commands.Act(r.Context(), one, identity(r).Name, a)
	if err != nil {
		return err
	}
	s.fresh(w, false)
	return s.accepted(w, saga, id, Sent{EventID: event, Action: a.Action})
}

// auditName keeps what a client made up out of the labels of metrics.
func auditName(a ActionName) string {
	if slices.Contains(actions(), a) {
		return string(a)
	}
	return "unknown"
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) (err error) {
	var st Start
	saga := r.PathValue("saga")
	defer func() { s.audit(r, identity(r), "start", saga+"/"+st.ID, st.Reason, err) }()
	if err := read(r, noParameters); err != nil {
		return err
	}
	if err := decode(r, &st); err != nil {
		return err
	}
	switch {
	case st.ID == "":
		return badBody("id", "it is empty: name the saga; the same id starts one saga, however often it is asked for")
	case len(st.ID) > maxID:
		return badBody("id", fmt.Sprintf("it has %d bytes: at most %d", len(st.ID), maxID))
	case strings.ContainsFunc(st.ID, unicode.IsControl):
		return badBody("id", "it holds control characters")
	case st.Version < 0:
		return badBody("version", "use a number from 1 on, or leave it out for the newest")
	}
	if err := checkWords("reason", st.Reason, maxReason, false); err != nil {
		return err
	}
	if err := choreo.CheckTags(st.Tags); err != nil {
		return badBody("tags", err.Error())
	}
	if s.source.Commands == nil {
		return problem(CodeNotAvailable, "the tracker was started without the right to write to the logs")
	}
	event, err := s.source.Commands.Start(r.Context(), saga, identity(r).Name, st)
	if err != nil {
		return err
	}
	return s.accepted(w, saga, st.ID, Sent{EventID: event, Action: actionStart})
}

func (s *Server) redrive(w http.ResponseWriter, r *http.Request) (err error) {
	var what Redrive
	defer func() {
		name := "redrive"
		if what.DryRun {
			name = "redrive-dry-run"
		}
		target := "group " + what.Group
		if what.Group == "" {
			target = fmt.Sprintf("%d letters", len(what.Letters))
		}
		s.audit(r, identity(r), name, target, what.Reason, err)
	}()
	if err := read(r, noParameters); err != nil {
		return err
	}
	if err := decode(r, &what); err != nil {
		return err
	}
	switch {
	case (what.Group == "") == (len(what.Letters) == 0):
		return badBody("group", "name a group or letters, one of the two")
	case len(what.Letters) > maxLetters:
		return badBody("letters", fmt.Sprintf("there are %d: at most %d at a time", len(what.Letters), maxLetters))
	case len(what.Group) > maxValue:
		return badBody("group", "it is too long to be one")
	}
	for _, l := range what.Letters {
		if l.Partition < 0 || l.Offset < 0 {
			return badBody("letters", "partitions and offsets count from 0")
		}
	}
	if err := checkWords("reason", what.Reason, maxReason, false); err != nil {
		return err
	}
	if s.source.DeadLetters == nil {
		return problem(CodeNotAvailable, "the tracker was started without the topic of dead letters")
	}
	done, err := s.source.DeadLetters.Redrive(r.Context(), identity(r).Name, what)
	if err != nil {
		return err
	}
	done.Skipped = orEmpty(done.Skipped)
	return answer(w, http.StatusOK, done)
}
