package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

// Safety says what a change means to sagas that are running.
type Safety string

// The safeties.
const (
	// Safe: running sagas go on as they would have.
	Safe Safety = "safe"
	// UnsafeForRunning: a saga that one service runs by the one definition and another service by
	// the other may end wrongly, or not at all.
	UnsafeForRunning Safety = "unsafe-for-running"
	// NeedsNewVersion: running sagas would get through, but services would not agree on
	// the definition, and refuse to start.
	NeedsNewVersion Safety = "needs-new-version"
	// Informational: the change has a version of its own, and this is what that asks for.
	Informational Safety = "informational"
)

// Change is one difference between two documents. Its JSON form is stable.
type Change struct {
	Code   Code   `json:"code"`
	Safety Safety `json:"safety"`
	Step   string `json:"step,omitempty"` // empty: the whole definition is meant
	Reason string `json:"reason"`         // what differs, and what follows
	WayOut string `json:"way_out"`        // what to do about it
}

// String returns the change on one line.
func (c *Change) String() string {
	step := ""
	if c.Step != "" {
		step = fmt.Sprintf("step %q: ", c.Step)
	}
	return fmt.Sprintf("%s: %s%s [%s]: %s", c.Safety, step, c.Reason, c.Code, c.WayOut)
}

// Diff returns how b differs from a, which came first, and what that means to running sagas. Under
// one version number only settings that their owner alone uses may differ, and schemas as
// long as each side reads what the other writes. Another version is another definition: then
// the changes say what it asks of services. Two equal documents have no changes.
func Diff(a, b *Document) []Change {
	d := &differ{a: a, b: b}
	if a.Definition.Name() != b.Definition.Name() {
		d.add("other-saga", Informational, "", "create its topics, and keep those of the other until its last instance has ended",
			"%s is another saga than %s: it has topics of its own", b.Definition, a.Definition)
		return d.changes
	}
	d.sameVersion = a.Definition.Version() == b.Definition.Version()
	if !d.sameVersion {
		d.versions()
	}
	d.whole()
	d.steps()
	d.schemas()
	return d.changes
}

type differ struct {
	a, b        *Document
	sameVersion bool
	changes     []Change
}

func (d *differ) add(code Code, safety Safety, step, wayOut, format string, args ...any) {
	d.changes = append(d.changes, Change{Code: code, Safety: safety, Step: step, Reason: fmt.Sprintf(format, args...), WayOut: wayOut})
}

// course notes a change of what the saga does, and what follows where it has no version of
// its own.
func (d *differ) course(code Code, safety Safety, step, what, follows string) {
	if !d.sameVersion {
		d.add(code, Informational, step, "nothing: running sagas keep their version", "%s", what)
		return
	}
	d.add(code, safety, step, d.newVersion(), "%s: %s", what, follows)
}

func (d *differ) newVersion() string {
	return fmt.Sprintf("leave version %d as it was and make this version %d", d.a.Definition.Version(), d.a.Definition.Version()+1)
}

// setting notes a change of what only an owner uses.
func (d *differ) setting(code Code, step, format string, args ...any) {
	d.add(code, Safe, step, "nothing", format, args...)
}

// versions says what a further version asks of services.
func (d *differ) versions() {
	from, to := d.a.Definition, d.b.Definition
	d.add("version-changed", Informational, "",
		fmt.Sprintf("let every service handle both versions until the last instance of version %d has ended: a saga of a version that a service does not know is parked there", from.Version()),
		"it is version %d after %d: an instance keeps the version that it began with", to.Version(), from.Version())
	for _, s := range to.Services() {
		if !slices.Contains(from.Services(), s) {
			d.add("service-added", Informational, "", "deploy it before the first saga of this version starts",
				"service %s takes part from version %d on: it owns %s", s, to.Version(), strings.Join(to.StepsOf(s), ", "))
		}
	}
	for _, s := range from.Services() {
		if !slices.Contains(to.Services(), s) {
			d.add("service-removed", Informational, "", fmt.Sprintf("keep it running until the last instance of version %d has ended", from.Version()),
				"service %s takes no part from version %d on: it owned %s", s, to.Version(), strings.Join(from.StepsOf(s), ", "))
		}
	}
}

// whole compares what is said of the definition as a whole.
func (d *differ) whole() {
	a, b := d.a.Definition, d.b.Definition
	if a.Strategy() != b.Strategy() {
		d.course("compensation-changed", UnsafeForRunning, "",
			fmt.Sprintf("completed steps are undone in %s order and no more in %s", b.Strategy(), a.Strategy()), "two services would undo one saga in different orders")
	}
	if a.Deadline() != b.Deadline() {
		d.setting("deadline-changed", "", "the deadline is %s and no more %s: sagas that have begun keep theirs", bound(b.Deadline()), bound(a.Deadline()))
	}
	d.encoding("", a.EncodingOf(""), b.EncodingOf(""))
	d.renamed("", a.InputName(), b.InputName())
}

// told says "none" for what is empty.
func told(text string) string { return cmp.Or(text, "none") }

// bound writes a duration that is no bound where it is 0.
func bound(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return formatDuration(d)
}

func (d *differ) encoding(step string, a, b choreo.MediaType) {
	if a != b {
		what := "its output"
		if step == "" {
			what = "the saga's input"
		}
		d.course("encoding-changed", NeedsNewVersion, step,
			fmt.Sprintf("%s is encoded as %s and no more as %s", what, told(encodingName(b)), told(encodingName(a))), "every reader needs a codec for it")
	}
}

func (d *differ) renamed(step, a, b string) {
	if a != b {
		what := "the payload of its output"
		if step == "" {
			what = "the payload of the saga's input"
		}
		d.setting("payload-renamed", step, "%s is called %q and no more %q: names of payloads stand in files alone", what, b, a)
	}
}

func (d *differ) steps() {
	for _, s := range d.b.Definition.Steps() {
		if d.a.Definition.Step(s.Name) == nil {
			d.course("step-added", UnsafeForRunning, s.Name, "it is new, owned by "+s.Owner, "sagas that are past its place would wait for it, or end without it")
		}
	}
	for _, s := range d.a.Definition.Steps() {
		if d.b.Definition.Step(s.Name) == nil {
			d.course("step-removed", UnsafeForRunning, s.Name, "it is gone, owned by "+s.Owner+" before", "where it has completed nobody would undo it, where it has not others wait for it")
			continue
		}
		d.step(d.a.Definition.Step(s.Name), d.b.Definition.Step(s.Name))
	}
}

// step compares one step.
func (d *differ) step(a, b *choreo.StepDef) {
	before, after := courseStepOf(d.a.Definition, a), courseStepOf(d.b.Definition, b)
	name := a.Name
	if before.Owner != after.Owner {
		d.course("owner-changed", UnsafeForRunning, name, fmt.Sprintf("it is owned by %s and no more by %s", after.Owner, before.Owner),
			fmt.Sprintf("its rows are in the database of %s, so that it could run twice, or never be undone", before.Owner))
	}
	d.list("after-changed", name, "it waits for", before.After, after.After, "a saga may be past the one and before the other")
	d.list("uses-changed", name, "it is carried", before.Reads, after.Reads, "events that are in the log already carry no more than they did")
	d.list("undo-after-changed", name, "it is undone after", before.UndoAfter, after.UndoAfter, "two services would undo one saga in different orders")
	d.flag("pivot-changed", name, before.Pivot, after.Pivot, "it is the pivot", "two services would not agree on whether a saga can still be aborted")
	d.flag("optional-changed", name, before.Optional, after.Optional, "it is optional", "its failure ends the saga for one service and not for another")
	if before.Pivot == after.Pivot {
		d.flag("compensation-changed", name, before.Compensates, after.Compensates, "it has a compensation", "what a running saga has done may stay, or be undone by who never knew how")
	}
	d.function("condition-changed", name, "condition", before.When, after.When)
	d.function("filter-changed", name, "filter of failures", before.CompensateWhen, after.CompensateWhen)
	d.encoding(name, before.Encoding, after.Encoding)
	d.renamed(name, a.Output, b.Output)
	d.settings(a, b)
}

func (d *differ) list(code Code, step, what string, a, b []string, follows string) {
	if !slices.Equal(a, b) {
		d.course(code, UnsafeForRunning, step, fmt.Sprintf("%s %s and no more %s", what, names(b), names(a)), follows)
	}
}

func names(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func (d *differ) flag(code Code, step string, a, b bool, what, follows string) {
	switch {
	case b && !a:
		d.course(code, UnsafeForRunning, step, what+" now", follows)
	case a && !b:
		d.course(code, UnsafeForRunning, step, what+" no more", follows)
	}
}

// function compares the name of a function that the owner gives.
func (d *differ) function(code Code, step, what, a, b string) {
	switch {
	case a == b:
	case a != "" && b != "":
		d.course(code, NeedsNewVersion, step, fmt.Sprintf("its %s is %q and no more %q", what, b, a),
			"its owner alone decides by it, but the definitions are not the same")
	default:
		d.course(code, UnsafeForRunning, step, fmt.Sprintf("its %s is %s and no more %s", what, told(b), told(a)),
			"whether it may be bypassed, or its failure keep what was done, is for all to know")
	}
}

// settings compares what only the step's owner uses.
func (d *differ) settings(a, b *choreo.StepDef) {
	if a.Timeout != b.Timeout {
		d.setting("timeout-changed", a.Name, "an attempt may take %s and no more %s", bound(b.Timeout), bound(a.Timeout))
	}
	if a.Retry != b.Retry {
		d.setting("retry-changed", a.Name, "it is retried by another policy: attempts that were made count")
	}
	if a.UndoRetry != b.UndoRetry {
		d.setting("retry-changed", a.Name, "undoing it is retried by another policy: attempts that were made count")
	}
	if !slices.Equal(sorted(a.Refusals), sorted(b.Refusals)) {
		d.setting("refusals-changed", a.Name, "it may refuse with %s and no more with %s", names(sorted(b.Refusals)), names(sorted(a.Refusals)))
	}
}

// schemas compares what steps write and read. Events that the one wrote are read by the other, and
// the other way round, for as long as both are about.
func (d *differ) schemas() {
	for _, writer := range (&linter{doc: d.b}).writers() {
		before, after := d.a.Written(writer), d.b.Written(writer)
		if writer != "" && d.a.Definition.Step(writer) == nil {
			continue
		}
		d.payload(writer, before, after)
		for _, s := range d.b.Definition.Steps() {
			if !slices.Contains(d.b.Sources(s.Name), writer) || !slices.Contains(d.a.Sources(s.Name), writer) {
				continue
			}
			d.view(s.Name, writer)
		}
	}
}

func (d *differ) payload(writer string, before, after *Payload) {
	switch had, has := before.HasSchema(), after.HasSchema(); {
	case !had && !has:
	case !had:
		d.setting("schema-added", writer, "payload %s has a schema now", after.Name)
	case !has:
		d.setting("schema-removed", writer, "payload %s has no schema any more: nothing can be said about who can read it", before.Name)
	case SchemaFingerprint(before.Schema) != SchemaFingerprint(after.Schema):
		problems := append(
			unreadable(after.Schema, before.Schema, "what was written before cannot be read by it"),
			unreadable(before.Schema, after.Schema, "what is written by it cannot be read by who has not changed")...)
		d.schemaChange("schema-changed", writer, "payload "+after.Name+" has another schema", problems)
	}
}

// view compares the schemas by which a step reads, where one of the two is not the writer's.
func (d *differ) view(step, writer string) {
	before, after := d.a.Read(step, writer), d.b.Read(step, writer)
	own := before == d.a.Written(writer) && after == d.b.Written(writer)
	if own || !before.HasSchema() || !after.HasSchema() || SchemaFingerprint(before.Schema) == SchemaFingerprint(after.Schema) {
		return
	}
	var problems []string
	for _, written := range []*Payload{d.a.Written(writer), d.b.Written(writer)} {
		if written.HasSchema() {
			problems = append(problems, unreadable(after.Schema, written.Schema, "what is written cannot be read by it")...)
		}
	}
	of := "the output of " + writer
	if writer == "" {
		of = "the saga's input"
	}
	slices.Sort(problems)
	d.schemaChange("view-changed", step, "it reads "+of+" by another schema", slices.Compact(problems))
}

func (d *differ) schemaChange(code Code, step, what string, problems []string) {
	switch {
	case len(problems) == 0:
		d.setting(code, step, "%s, and each reads what the other writes", what)
	case d.sameVersion:
		d.add(code, UnsafeForRunning, step, "mend the schema, or "+d.newVersion(),
			"%s: %s", what, strings.Join(problems, "; "))
	default:
		d.add(code, Informational, step, "let handlers of the two versions have types of their own, and the record another name in a registry that checks",
			"%s: %s", what, strings.Join(problems, "; "))
	}
}

// unreadable returns why a reader cannot read what was written.
func unreadable(reader, writer schema.Schema, what string) []string {
	problems, err := compat.CanRead(reader, writer)
	if err != nil {
		return []string{err.Error()}
	}
	var texts []string
	for _, p := range problems {
		if p.Severity == compat.Error {
			texts = append(texts, fmt.Sprintf("%s: %s (%s)", what, problemText(p), p.Code))
		}
	}
	return texts
}
