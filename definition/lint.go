package definition

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
	"github.com/choreo-go/choreo/topics"
)

// LintConfig says what documents are held against. The zero value checks them by
// themselves.
type LintConfig struct {
	// Services are all services that there are: a step of another owner is an error.
	// Default: any owner will do.
	Services []string
	// Namespace is the first part of topic names. Default: "choreo".
	Namespace string
}

// Lint returns what is to be said about documents, in the order of files and places. Versions of
// one saga are also held against each other. A nil config is the zero [LintConfig].
func Lint(docs []*Document, config *LintConfig) []Finding {
	var c LintConfig
	if config != nil {
		c = *config
	}
	if c.Namespace == "" {
		c.Namespace = "choreo"
	}
	var findings []Finding
	// The rest of a topic's name is a saga's, which a definition has checked.
	if _, err := topics.NewNames(c.Namespace); err != nil {
		findings = append(findings, Finding{
			Code: "namespace", Severity: Error, Reason: err.Error(), WayOut: "name another namespace",
		})
	}
	for _, d := range docs {
		l := &linter{doc: d, config: c}
		l.owners()
		l.data()
		l.reads()
		l.times()
		l.undo()
		l.encodings()
		findings = append(findings, l.findings...)
	}
	findings = append(findings, lintVersions(docs)...)
	sortFindings(findings)
	return findings
}

// LintFiles loads the files and lints what can be read; their faults are findings, too. The error
// names the files that could not be opened at all.
func LintFiles(files []string, config *LintConfig) ([]Finding, error) {
	var docs []*Document
	var findings []Finding
	var failed []error
	for _, file := range files {
		d, err := LoadFile(file)
		switch faults := FindingsOf(err); {
		case err == nil:
			docs = append(docs, d)
		case faults != nil:
			findings = append(findings, faults...)
		default:
			failed = append(failed, err)
		}
	}
	findings = append(findings, Lint(docs, config)...)
	sortFindings(findings)
	return findings, errors.Join(failed...)
}

// FindingsOf returns the findings in an error of [Load], [Parse] or [choreo.Define]; nil where
// there are none.
func FindingsOf(err error) []Finding {
	var faults *FaultsError
	if errors.As(err, &faults) {
		return slices.Clone(faults.Findings)
	}
	var ofCore *choreo.DefinitionError
	if !errors.As(err, &ofCore) {
		return nil
	}
	var findings []Finding
	for _, f := range ofCore.Faults {
		finding := (&Document{}).ofFault(f)
		finding.Definition = ofCore.Definition
		findings = append(findings, finding)
	}
	return findings
}

// linter lints one document.
type linter struct {
	doc      *Document
	config   LintConfig
	findings []Finding
}

// add notes a finding at the nearest place on the way to at.
func (l *linter) add(code Code, severity Severity, at keys, wayOut, format string, args ...any) {
	place := l.doc.Place(at...)
	l.findings = append(l.findings, Finding{
		Code: code, Severity: severity, Definition: l.doc.Definition.String(), Step: at.step(),
		File: place.File, Line: place.Line, Column: place.Column,
		Reason: fmt.Sprintf(format, args...), WayOut: wayOut,
	})
}

func (l *linter) def() *choreo.Definition { return l.doc.Definition }

func (l *linter) owners() {
	if l.config.Services == nil {
		return
	}
	for _, s := range l.def().Steps() {
		if !slices.Contains(l.config.Services, s.Owner) {
			l.add("unknown-owner", Error, keys{"steps", s.Name, "owner"}, suggest(s.Owner, l.config.Services),
				"it is owned by %q, which is not among the services: nobody would run it", s.Owner)
		}
	}
}

// encodings checks what events are to carry as their content-type.
func (l *linter) encodings() {
	for _, s := range l.def().Steps() {
		if s.Encoding != "" {
			l.mediaType(s.Encoding, keys{"steps", s.Name, "encoding"})
		}
	}
	if m := l.def().EncodingOf(""); m != "" {
		l.mediaType(m, keys{"encoding"})
	}
}

func (l *linter) mediaType(m choreo.MediaType, at keys) {
	if fault := mediaTypeFault(string(m)); fault != "" {
		l.add("encoding", Error, at, "write a media type, such as "+string(choreo.JSON), "%q cannot be the content-type of an event: %s", m, fault)
	}
}

// data checks payloads and who needs them.
func (l *linter) data() {
	used := map[string]bool{}
	for _, step := range l.writers() {
		name, at := l.def().InputName(), keys{"input"}
		if step != "" {
			name, at = l.def().Step(step).Output, keys{"steps", step, "output"}
		}
		if used[name] = true; name == "" {
			continue
		}
		encoding := l.def().EncodingOf(step)
		want := kindOfEncoding(encoding)
		switch p := l.doc.Payload(name); {
		case !p.HasSchema():
			severity := Warning
			if want == schema.JSONType || encoding == "" {
				severity = Info // JSON can be read without
			}
			l.add("no-schema", severity, at, "add it to \"payloads\" with its schema, or the describer of its encoding in Go",
				"payload %s has no schema: nothing can be said about who can read it", name)
		case want != "" && p.Schema.Kind != want:
			l.add("schema-kind", Error, at, fmt.Sprintf("give it a schema of kind %s, or another encoding", want),
				"payload %s is encoded as %s, but its schema is of kind %s", name, encodingName(encoding), p.Schema.Kind)
		}
	}
	for _, v := range l.doc.Views {
		used[v.Payload] = true
	}
	for i := range l.doc.Payloads {
		p := &l.doc.Payloads[i]
		at := keys{"payloads", p.Name}
		if !used[p.Name] {
			l.add("unused-payload", Info, at, "drop it, or name it in \"input\", \"output\" or \"reads\"", "nothing writes or reads payload %s", p.Name)
		}
		if _, err := compat.CanRead(p.Schema, p.Schema); p.HasSchema() && err != nil {
			l.add("bad-schema", Error, at.to("schema"), "mend the schema, and name what it imports in \"imports\"", "the schema of payload %s: %v", p.Name, err)
		}
	}
	for _, s := range l.def().Steps() {
		l.readers(&s)
	}
}

// writers returns "" for the input and the names of all steps.
func (l *linter) writers() []string {
	names := []string{""}
	for _, s := range l.def().Steps() {
		names = append(names, s.Name)
	}
	return names
}

// kindOfEncoding returns the kind of schemas that belong to an encoding, "" where that is
// not known.
func kindOfEncoding(m choreo.MediaType) schema.Kind {
	switch m {
	case choreo.JSON:
		return schema.JSONType
	case choreo.Avro:
		return schema.Avro
	case choreo.Protobuf:
		return schema.Protobuf
	}
	return ""
}

// readers checks who reads the step's output, and what it names to read.
func (l *linter) readers(s *choreo.StepDef) {
	read := l.def().Compensates(s.Name) // then its compensation does
	for _, r := range l.def().Steps() {
		read = read || slices.Contains(l.doc.Sources(r.Name), s.Name)
	}
	if s.Output != "" && !read {
		l.add("unread-output", Info, keys{"steps", s.Name, "output"}, "drop \"output\" if no service outside of the saga reads it",
			"no step reads its output %s", s.Output)
	}
	for _, list := range []struct {
		key    string
		names  []string
		before []string
	}{{"uses", s.Uses, s.After}, {"undo-uses", s.UndoUses, append(slices.Clone(s.After), s.Uses...)}} {
		for _, name := range list.names {
			if slices.Contains(list.before, name) {
				l.add("uses-repeats", Warning, keys{"steps", s.Name, list.key, name}, fmt.Sprintf("drop it from %q", list.key),
					"%q names %q, whose output it gets already", list.key, name)
			}
		}
	}
}

// reads holds what is written against the schemas by which it is read.
func (l *linter) reads() {
	for _, v := range l.doc.Views {
		writer, reader := l.doc.Written(v.Of), l.doc.Payload(v.Payload)
		if !writer.HasSchema() || !reader.HasSchema() || writer == reader {
			continue
		}
		problems, err := compat.CanRead(reader.Schema, writer.Schema)
		if err != nil {
			continue // one of the two is bad, which is said of the payload itself
		}
		at := keys{"steps", v.Step, "reads", v.Of}
		if v.Of == "" {
			at[3] = inputKey
		}
		for _, p := range problems {
			l.add("cannot-read", severityOf(p), at, p.Remedy,
				"it reads %s by the schema of %s: %s (%s)", l.what(v.Of, writer), reader.Name, problemText(p), p.Code)
		}
	}
}

// what calls a payload by who wrote it.
func (l *linter) what(of string, p *Payload) string {
	if of == "" {
		return fmt.Sprintf("the saga's input (%s)", p.Name)
	}
	return fmt.Sprintf("the output of %q (%s)", of, p.Name)
}

func severityOf(p compat.Problem) Severity {
	if p.Severity == compat.Error {
		return Error
	}
	return Warning
}

func problemText(p compat.Problem) string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// lintVersions holds documents of one saga against each other.
func lintVersions(docs []*Document) []Finding {
	var findings []Finding
	byName := slices.Clone(docs)
	slices.SortStableFunc(byName, func(a, b *Document) int {
		if a.Definition.Name() != b.Definition.Name() {
			return strings.Compare(a.Definition.Name(), b.Definition.Name())
		}
		return a.Definition.Version() - b.Definition.Version()
	})
	for i := 1; i < len(byName); i++ {
		before, l := byName[i-1], &linter{doc: byName[i]}
		switch {
		case before.Definition.Name() != l.def().Name():
			continue
		case before.Definition.Version() == l.def().Version():
			l.add("duplicate-version", Error, keys{"version"}, fmt.Sprintf("make this version %d, or drop one of the two", l.def().Version()+1),
				"there is another definition of saga %s: %s", l.def(), placeOf(before))
		default:
			l.versions(before)
		}
		findings = append(findings, l.findings...)
	}
	return findings
}

// placeOf says where a document stands, for people.
func placeOf(d *Document) string {
	if d.File == "" {
		return "one made from Go"
	}
	return d.Place("version").String()
}

// versions checks that records of one name can be told apart or read by one another: instances
// of both versions run side by side, in one topic.
func (l *linter) versions(before *Document) {
	for i := range l.doc.Payloads {
		p := &l.doc.Payloads[i]
		for k := range before.Payloads {
			old := &before.Payloads[k]
			if !p.HasSchema() || !old.HasSchema() || p.Schema.Name != old.Schema.Name || p.Schema.Kind != old.Schema.Kind ||
				p.Schema.Text == old.Schema.Text || p.Name != old.Name {
				continue
			}
			problems, err := compat.CanRead(p.Schema, old.Schema)
			if err != nil {
				continue // said of the payload itself
			}
			for _, problem := range problems {
				l.add("versions-differ", Warning, keys{"payloads", p.Name, "schema"}, problem.Remedy+"; or give the record another name",
					"%s cannot be read as it was written under saga %s, which still runs: %s (%s)", p.Name, before.Definition, problemText(problem), problem.Code)
			}
		}
	}
}
