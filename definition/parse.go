package definition

import (
	"errors"
	"fmt"
	"mime"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Parse reads a definition in YAML, without the schemas that it names: their texts stay
// empty. The name of the file stands in places alone. The error is a [*FaultsError] that names
// every fault.
func Parse(file string, data []byte, bindings ...choreo.Binding) (*Document, error) {
	p := newParser(file)
	p.parse(data, bindings)
	return p.result()
}

// parser reads one file into a document.
type parser struct {
	source
	doc  *Document
	spec choreo.Spec
}

func newParser(file string) *parser {
	places := map[string]Place{}
	return &parser{
		source: source{file: file, places: places},
		doc:    &Document{File: file, places: places},
	}
}

func (p *parser) result() (*Document, error) {
	if len(p.findings) > 0 {
		for i := range p.findings {
			p.findings[i].Definition = p.definition
		}
		sortFindings(p.findings)
		return nil, &FaultsError{Findings: p.findings}
	}
	return p.doc, nil
}

func (p *parser) parse(data []byte, bindings []choreo.Binding) {
	root := p.root(data)
	if root == nil {
		return
	}
	p.mapping(root, nil, p.documentFields())
	if p.spec.Name != "" {
		p.definition = fmt.Sprintf("%s/%d", p.spec.Name, p.spec.Version)
	}
	slices.SortFunc(p.doc.Payloads, func(a, b Payload) int { return strings.Compare(a.Name, b.Name) })
	p.check(bindings)
}

// check makes the definition of what was read.
func (p *parser) check(bindings []choreo.Binding) {
	ofFile := slices.Clone(p.findings)
	if slices.ContainsFunc(ofFile, func(f Finding) bool { return f.Code == "too-large" }) {
		return
	}
	def, err := choreo.FromSpec(p.spec, bindings...)
	var faults *choreo.DefinitionError
	switch {
	case errors.As(err, &faults):
		for _, f := range faults.Faults {
			if len(ofFile) == 0 || isLocal(f) && !slices.ContainsFunc(ofFile, func(k Finding) bool { return k.Step == f.Step }) {
				p.findings = append(p.findings, p.doc.ofFault(f))
			}
		}
		return
	case err != nil:
		p.fault("binding", nil, nil, "mend the functions that the program gives to it", "%v", err)
		return
	}
	p.doc.Definition = def
	p.views()
}

// isLocal reports whether a fault holds although other parts of the file could not be read.
func isLocal(f choreo.Fault) bool {
	return slices.Contains([]string{
		"name", "version", "unknown-step", "duplicate-reference", "retry", "timeout", "deadline", "strategy", "refusals",
	}, f.Code)
}

func (p *parser) documentFields() []field {
	s := &p.spec
	return []field{
		{"saga", true, p.text(&s.Name)},
		{"version", true, p.whole(&s.Version)},
		{"encoding", false, p.encoding(&s.Encoding)},
		{"deadline", false, p.duration(&s.Deadline)},
		{"compensation", false, p.strategy},
		{"input", false, p.text(&s.Input)},
		{"payloads", false, p.payloads},
		{"steps", true, p.steps},
	}
}

func (p *parser) strategy(n *yaml.Node, at keys) {
	var name string
	p.text(&name)(n, at)
	p.spec.Strategy = choreo.Strategy(name)
}

// shortEncodings are the names that stand for media types in files.
func shortEncodings() map[string]choreo.MediaType {
	return map[string]choreo.MediaType{"json": choreo.JSON, "avro": choreo.Avro, "protobuf": choreo.Protobuf}
}

func (p *parser) encoding(into *choreo.MediaType) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		var name string
		p.text(&name)(n, at)
		if name == "" {
			return
		}
		if m, ok := shortEncodings()[name]; ok {
			*into = m
			return
		}
		if fault := mediaTypeFault(name); fault != "" {
			p.fault("encoding", n, at, suggest(name, []string{"avro", "json", "protobuf"})+"; any media type will do, too", "%s is %q: %s", at, name, fault)
			return
		}
		*into = choreo.MediaType(name)
	}
}

// mediaTypeFault says why an event could not carry the name as its content-type.
func mediaTypeFault(name string) string {
	mediaType, _, err := mime.ParseMediaType(name)
	if err != nil {
		return "no media type: " + strings.TrimPrefix(err.Error(), "mime: ")
	}
	if kind, sub, ok := strings.Cut(mediaType, "/"); !ok || kind == "" || sub == "" {
		return "no media type, which has the form type/subtype"
	}
	return ""
}

func (p *parser) payloads(n *yaml.Node, at keys) {
	p.pairs(n, at, func(key, value *yaml.Node) {
		payload := Payload{Name: key.Value}
		if key.Value == "" {
			p.fault("wrong-type", key, at, "name it, as steps do in \"output\"", "a payload has an empty name")
			return
		}
		p.mapping(value, at.to(key.Value), p.payloadFields(&payload))
		if file := payload.File; file != "" {
			where := at.to(key.Value).to("schema")
			payload.Schema.Kind = kindOfFile(file)
			switch isProto := payload.Schema.Kind == schema.Protobuf; {
			case payload.Schema.Kind == "":
				p.fault("schema-file", value, where, "name a file that ends in .avsc (Avro), .proto (Protobuf) or .json (JSON Schema)",
					"the end of %q does not tell what kind of schema it holds", file)
			case isProto && payload.Schema.Name == "":
				p.fault("missing-key", value, at.to(key.Value), "add \"message\": the full name of the message, such as shop.v1."+key.Value,
					"%s has no key \"message\", which a .proto file needs", at.to(key.Value))
			case !isProto && payload.Schema.Name != "":
				p.fault("unknown-key", value, at.to(key.Value), "drop it: the schema itself says its name", "%s has a key \"message\", which only .proto files need", at.to(key.Value))
			}
		}
		p.doc.Payloads = append(p.doc.Payloads, payload)
	})
}

func (p *parser) payloadFields(payload *Payload) []field {
	return []field{
		{"schema", true, p.schemaFile(&payload.File)},
		{"message", false, p.text(&payload.Schema.Name)},
		{"imports", false, func(n *yaml.Node, at keys) {
			p.texts(&payload.Imports)(n, at)
			for _, file := range payload.Imports {
				if fault := fileFault(file); fault != "" {
					p.fault("schema-file", n, at, fileWayOut, "%s names %q: %s", at, file, fault)
				}
			}
		}},
	}
}

const fileWayOut = "write the path from this file on, with '/' between folders"

func (p *parser) schemaFile(into *string) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		p.text(into)(n, at)
		if fault := fileFault(*into); *into != "" && fault != "" {
			p.fault("schema-file", n, at, fileWayOut, "%s is %q: %s", at, *into, fault)
		}
	}
}

func fileFault(file string) string {
	switch {
	case strings.HasPrefix(file, "/") || filepath.IsAbs(file) || filepath.VolumeName(file) != "":
		return "the path is absolute, and another machine has other folders"
	case strings.ContainsAny(file, "\\\x00"):
		return "a path holds no '\\' and no NUL"
	case file == "":
		return "the path is empty"
	}
	return ""
}

// kindOfFile tells the kind of a schema by its file's name, "" where it cannot.
func kindOfFile(file string) schema.Kind {
	switch {
	case strings.HasSuffix(file, ".avsc"):
		return schema.Avro
	case strings.HasSuffix(file, ".proto"):
		return schema.Protobuf
	case strings.HasSuffix(file, ".json"):
		return schema.JSONType
	}
	return ""
}

func (p *parser) steps(n *yaml.Node, at keys) {
	p.pairs(n, at, func(key, value *yaml.Node) {
		if len(p.spec.Steps) == maxSteps {
			p.fault("too-large", key, at, "split the saga", "it has more than %d steps", maxSteps)
		}
		if len(p.spec.Steps) >= maxSteps {
			p.spec.Steps = append(p.spec.Steps, choreo.StepDef{Name: key.Value})
			return
		}
		step := choreo.StepDef{Name: key.Value}
		p.mapping(value, at.to(key.Value), p.stepFields(&step))
		p.spec.Steps = append(p.spec.Steps, step)
	})
}

func (p *parser) stepFields(s *choreo.StepDef) []field {
	return []field{
		{"owner", true, p.text(&s.Owner)},
		{"after", false, p.texts(&s.After)},
		{"uses", false, p.texts(&s.Uses)},
		{"undo-uses", false, p.texts(&s.UndoUses)},
		{"output", false, p.text(&s.Output)},
		{"encoding", false, p.encoding(&s.Encoding)},
		{"reads", false, p.reads(s)},
		{"timeout", false, p.duration(&s.Timeout)},
		{"retry", false, p.retry(&s.Retry)},
		{"undo-retry", false, p.retry(&s.UndoRetry)},
		{"undo-after", false, p.texts(&s.UndoAfter)},
		{"pivot", false, p.yes(&s.Pivot)},
		{"optional", false, p.yes(&s.Optional)},
		{"when", false, p.text(&s.Condition)},
		{"no-compensation", false, p.yes(&s.NoCompensate)},
		{"compensate-when", false, p.text(&s.CompensateIf)},
		{"refuses", false, p.texts(&s.Refusals)},
	}
}

// inputKey is how the saga's input is called in "reads".
const inputKey = "input"

func (p *parser) reads(s *choreo.StepDef) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		p.pairs(n, at, func(key, value *yaml.Node) {
			view := View{Step: s.Name, Of: key.Value}
			p.text(&view.Payload)(value, at.to(key.Value))
			p.doc.Views = append(p.doc.Views, view)
		})
	}
}

// views checks the views once the definition is known, and puts them in order.
func (p *parser) views() {
	for i := range p.doc.Views {
		v := &p.doc.Views[i]
		at := keys{"steps", v.Step, "reads", v.Of}
		place := p.doc.Place(at...)
		node := &yaml.Node{Line: place.Line, Column: place.Column}
		if len(p.doc.Definition.Step(v.Step).After) == 0 && v.Of == inputKey {
			v.Of = "" // who waits for nothing reads nothing but the input
		}
		sources := p.doc.Sources(v.Step)
		if !slices.Contains(sources, v.Of) {
			names := slices.Clone(sources)
			if names[0] == "" {
				names[0] = inputKey
			}
			p.fault("view", node, at, suggest(v.Of, names)+"; to read another step, name it in \"uses\"",
				"it reads %q by a schema of its own, but does not read that at all", v.Of)
		}
		if p.doc.Payload(v.Payload) == nil {
			names := make([]string, len(p.doc.Payloads))
			for i := range p.doc.Payloads {
				names[i] = p.doc.Payloads[i].Name
			}
			p.fault("unknown-payload", node, at, suggest(v.Payload, names), "it reads %q as %q, which is not among the payloads", at[3], v.Payload)
		}
	}
	sortViews(p.doc.Views)
}

func sortViews(views []View) {
	slices.SortFunc(views, func(a, b View) int {
		if a.Step != b.Step {
			return strings.Compare(a.Step, b.Step)
		}
		return strings.Compare(a.Of, b.Of)
	})
}

func (p *parser) retry(into *choreo.RetryPolicy) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		policy := choreo.RetryPolicy{Backoff: choreo.BackoffExponential}
		backoff := string(policy.Backoff)
		// The kind of backoff says what is the default of the rest: it is read first.
		quiet := &parser{source: source{places: map[string]Place{}, nodes: p.nodes}}
		quiet.mapping(n, at, []field{{"backoff", false, quiet.text(&backoff)}})
		policy = retryDefaults(choreo.Backoff(backoff))
		p.mapping(n, at, p.retryFields(&policy))
		*into = policy
	}
}

func (p *parser) retryFields(policy *choreo.RetryPolicy) []field {
	return []field{
		{"backoff", false, func(n *yaml.Node, at keys) {
			var name string
			p.text(&name)(n, at)
			policy.Backoff = choreo.Backoff(name)
		}},
		{"attempts", false, p.whole(&policy.Attempts)},
		{"initial", false, p.duration(&policy.Initial)},
		{"max", false, p.duration(&policy.Max)},
		{"factor", false, p.number(&policy.Factor)},
		{"jitter", false, p.number(&policy.Jitter)},
	}
}

// retryDefaults returns what a policy of that kind is where a file says nothing else.
func retryDefaults(backoff choreo.Backoff) choreo.RetryPolicy {
	d := choreo.DefaultRetry()
	switch backoff {
	case choreo.BackoffNone:
		return choreo.NoRetry()
	case choreo.BackoffFixed:
		return choreo.FixedRetry(d.Attempts, d.Initial)
	case choreo.BackoffLinear:
		return choreo.LinearRetry(d.Attempts, d.Initial, d.Max)
	case choreo.BackoffExponential:
	}
	d.Backoff = backoff
	return d
}

var quoted = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)

// ofFault makes a finding of what choreo says about the definition.
func (d *Document) ofFault(f choreo.Fault) Finding {
	at := keys{}
	if f.Step != "" {
		at = keys{"steps", f.Step}
	}
	reason, wayOut := f.Text, ""
	for _, k := range faultKeys() {
		if k.code != f.Code || !strings.Contains(f.Text, k.text) {
			continue
		}
		if k.key != "" {
			at = at.to(k.key)
		}
		if m := quoted.FindStringSubmatch(f.Text); m != nil && k.item {
			at = at.to(m[1])
		}
		wayOut = k.wayOut
		break
	}
	place := d.Place(at...)
	return Finding{
		Code: Code(f.Code), Severity: Error, Step: f.Step, File: place.File, Line: place.Line, Column: place.Column,
		Reason: reason, WayOut: wayOut,
	}
}

// faultKey says under which key of a step, or of the definition, a fault of choreo stands.
type faultKey struct {
	code, text, key string // text is part of the fault's
	item            bool   // the fault names an item of the list under the key
	wayOut          string
}

// faultKeys is in the order of trial: the first that fits counts.
func faultKeys() []faultKey {
	const known = "name a step of this saga, or add it"
	return []faultKey{
		{"name", "saga name", "saga", false, "rename the saga"},
		{"name", "owner", "owner", false, "rename the service"},
		{"name", "", "", false, "rename the step"},
		{"version", "", "version", false, "write 1 for the first version"},
		{"no-steps", "", "steps", false, "add a step under \"steps\""},
		{"duplicate-step", "", "", false, "drop one of the two, or rename it"},
		{"no-owner", "", "owner", false, "name the service in \"owner\""},
		{"unknown-step", "UndoAfter", "undo-after", true, known},
		{"unknown-step", "UndoUses", "undo-uses", true, known},
		{"unknown-step", "Uses", "uses", true, known},
		{"unknown-step", "After", "after", true, known},
		{"duplicate-reference", "UndoAfter names", "undo-after", true, "name it once"},
		{"duplicate-reference", "UndoUses", "undo-uses", true, "name it once"},
		{"duplicate-reference", "Uses", "uses", true, "name it once"},
		{"duplicate-reference", "After", "after", true, "name it once"},
		{"cycle", "UndoAfter", "undo-after", false, "drop the step itself from the list"},
		{"cycle", "UndoUses", "undo-uses", false, "drop the step itself from the list"},
		{"cycle", "Uses", "uses", false, "drop the step itself from the list"},
		{"cycle", "After", "after", false, "drop the step itself from the list"},
		{"cycle", "", "steps", false, "drop one of the \"after\" that close the circle"},
		{"strategy", "", "compensation", false, "write reverse, parallel, best-effort or custom"},
		{"condition", "", "when", false, "give the condition a name and a function"},
		{"compensate-when", "", "compensate-when", false, "drop \"compensate-when\", or \"optional\""},
		{"undo-after", "", "undo-after", false, "write \"compensation: custom\", or drop \"undo-after\""},
		{"undo-data", "it has UndoUses", "undo-uses", false, "name in \"uses\" what the step itself reads"},
		{"undo-data", "", "undo-uses", true, "let the step come after the one whose output it needs"},
		{"undo-cycle", "", "undo-after", false, "drop one of the \"undo-after\" that close the circle"},
		{"pivots", "", "steps", false, "keep \"pivot\" on one of them"},
		{"pivot", "the pivot cannot be optional", "optional", false, "drop \"optional\""},
		{"pivot", "", "when", false, "drop \"when\", or put the condition on a step before it"},
		{"beside-pivot", "", "after", false, "let it wait for the pivot, or the pivot for it, by \"after\""},
		{"past-pivot", "CompensateWhen", "compensate-when", false, "drop \"compensate-when\""},
		{"past-pivot", "UndoAfter", "undo-after", false, "drop \"undo-after\", or move the step before the pivot"},
		{"past-pivot", "UndoUses", "undo-uses", false, "drop \"undo-uses\", or move the step before the pivot"},
		{"past-pivot", "cannot refuse", "refuses", false, "drop \"refuses\", or move the step before the pivot"},
		{"uses", "", "uses", true, "let the step come after the one whose output it needs"},
		{"payload-name", "", "output", false, "call one of the two payloads differently"},
		{"refusals", "", "refuses", false, "name each code once"},
		{"type", "", "", false, "let the types of the two steps agree"},
		{"deadline", "", "deadline", false, "write a positive duration, or drop the key"},
		{"timeout", "", "timeout", false, "write a positive duration, or drop the key"},
		{"retry", "undo", "undo-retry", false, "mend the policy, or drop it for the default"},
		{"retry", "", "retry", false, "mend the policy, or drop it for the default"},
		{"binding", "", "steps", false, "name the condition or filter at a step, or drop its function"},
	}
}
