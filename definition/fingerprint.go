package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Fingerprint names the course of a saga: services that hold definitions of one fingerprint agree
// on who does what, after what, which data are carried along and how all is undone. It is
// the same whether a definition was made from Go or from YAML.
//
// What only its owner uses is left out, and may differ between two services: timeouts, retries,
// refusals, the functions of conditions and filters, and the deadline, which only the
// service uses that starts a saga. So are the names of payloads: what is in them is for
// their schemas to say.
func Fingerprint(d *choreo.Definition) string {
	course := courseOf(d)
	text, err := json.Marshal(course)
	if err != nil {
		return fmt.Sprintf("%s: %v", d, err) // of texts, numbers and lists: json has nothing to refuse
	}
	return digest(text)
}

// course is what the fingerprint is of. What is empty is left out, so that what a later build
// knows besides does not change the fingerprints of those that do not use it.
type course struct {
	Saga     string           `json:"saga"`
	Version  int              `json:"version"`
	Strategy choreo.Strategy  `json:"strategy"`
	Encoding choreo.MediaType `json:"encoding,omitempty"` // of the input
	Steps    []courseStep     `json:"steps"`              // by name
}

type courseStep struct {
	Name           string           `json:"name"`
	Owner          string           `json:"owner"`
	After          []string         `json:"after,omitempty"`
	Reads          []string         `json:"reads,omitempty"` // what is carried besides After
	UndoAfter      []string         `json:"undo_after,omitempty"`
	Pivot          bool             `json:"pivot,omitempty"`
	Optional       bool             `json:"optional,omitempty"`
	Compensates    bool             `json:"compensates,omitempty"`
	When           string           `json:"when,omitempty"`
	CompensateWhen string           `json:"compensate_when,omitempty"`
	Encoding       choreo.MediaType `json:"encoding,omitempty"`
}

func courseOf(d *choreo.Definition) course {
	c := course{Saga: d.Name(), Version: d.Version(), Strategy: d.Strategy(), Encoding: d.EncodingOf("")}
	for i := range d.Steps() {
		c.Steps = append(c.Steps, courseStepOf(d, &d.Steps()[i]))
	}
	slices.SortFunc(c.Steps, func(a, b courseStep) int { return strings.Compare(a.Name, b.Name) })
	return c
}

func courseStepOf(d *choreo.Definition, s *choreo.StepDef) courseStep {
	reads := slices.DeleteFunc(slices.Clone(s.Reads()), func(n string) bool { return slices.Contains(s.After, n) })
	return courseStep{
		Name: s.Name, Owner: s.Owner, After: sorted(s.After), Reads: sorted(reads), UndoAfter: sorted(s.UndoAfter),
		Pivot: s.Pivot, Optional: s.Optional, Compensates: d.Compensates(s.Name),
		When: s.Condition, CompensateWhen: s.CompensateIf, Encoding: d.EncodingOf(s.Name),
	}
}

// sorted returns the names in order, never nil: to a fingerprint, none and nil are the same.
func sorted(names []string) []string {
	c := append([]string{}, names...)
	slices.Sort(c)
	return c
}

// SchemaFingerprint names a schema by all that it consists of. Unlike Avro's own fingerprints it
// does not see through formatting.
func SchemaFingerprint(s schema.Schema) string {
	text, err := json.Marshal(contractSchemaOf(s))
	if err != nil {
		return fmt.Sprintf("%s: %v", s.Name, err) // of texts: json has nothing to refuse
	}
	return digest(text)
}

// digest is the first half of SHA-256: 128 bits are enough to tell apart what people write.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
