package asyncapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

const (
	specVersion    = "3.0.0"
	bindingVersion = "0.5.0"
)

// Format is how a document is written.
type Format string

// The formats of documents.
const (
	JSON Format = "json"
	YAML Format = "yaml"
)

// Saga is a definition together with the schemas of its payloads.
type Saga struct {
	Definition choreo.AnySaga
	// Schemas are those of the payloads by their names: choreo.StepDef's Output and the
	// definition's InputName. A payload without one is described by its name alone.
	Schemas map[string]schema.Schema
}

// Server is a Kafka cluster.
type Server struct {
	// Name is how the document calls it: "production". It is made of letters, digits, '_'
	// and '-'. There is no default.
	Name string
	// Host is the address of its brokers: "kafka.example.org:9092". There is no default.
	Host string
	// Secure says that it speaks TLS. Default: no.
	Secure bool
	// Description is for people. Default: none.
	Description string
	// Registry is the URL of the schema registry beside it. Default: none; payloads do not
	// bear the id of a registry's schema then.
	Registry string
	// RegistryVendor is "confluent", "karapace", "apicurio" or another. Default: not said.
	RegistryVendor string
}

// Options say what the definitions do not.
type Options struct {
	// Namespace is the first part of the topics' names. There is no default.
	Namespace string
	// Title is the document's. Default: "Sagas of" and the namespace.
	Title string
	// Version is the document's. Default: "1.0.0".
	Version string
	// Description is the document's. Default: one that says what Choreo's events are.
	Description string
	// Servers are the clusters where the topics are. Default: none.
	Servers []Server
	// Topology are the sizes of the topics. Default: as in topics.Topology.
	Topology topics.TopologyOptions
	// Format is how the document is written. Default: JSON.
	Format Format
}

func (o *Options) check() (topics.Names, error) {
	var faults []error
	names, err := topics.NewNames(o.Namespace)
	if err != nil {
		faults = append(faults, fmt.Errorf("Options.Namespace: %w", err))
	}
	if o.Format != JSON && o.Format != YAML {
		faults = append(faults, fmt.Errorf("Options.Format %q: use json or yaml", o.Format))
	}
	seen := map[string]bool{}
	for i, s := range o.Servers {
		switch field := fmt.Sprintf("Options.Servers[%d]", i); {
		case s.Name == "" || componentKey(s.Name) != s.Name || strings.Contains(s.Name, "."):
			faults = append(faults, fmt.Errorf("%s.Name %q: use letters, digits, '_' and '-'", field, s.Name))
		case seen[s.Name]:
			faults = append(faults, fmt.Errorf("%s.Name: %q is there twice: name one differently", field, s.Name))
		case s.Host == "":
			faults = append(faults, fmt.Errorf("%s.Host is empty: give the address of a broker, such as \"localhost:9092\"", field))
		case s.RegistryVendor != "" && s.Registry == "":
			faults = append(faults, fmt.Errorf("%s.RegistryVendor needs Registry: give its URL, or leave both out", field))
		}
		seen[s.Name] = true
	}
	return names, errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	o.Title = cmp.Or(o.Title, "Sagas of "+o.Namespace)
	o.Version = cmp.Or(o.Version, "1.0.0")
	o.Format = cmp.Or(o.Format, JSON)
	o.Description = cmp.Or(o.Description,
		"Choreographed sagas: services react to each other's events. An event is a CloudEvent in the binary mode of the "+
			"Kafka protocol binding; its key is the id of the saga, so that the events of one saga stand in order in one partition.")
	return o
}

// Document describes sagas. Several versions of one saga share a channel. The error names
// every fault of the options, or the first schema that cannot be used.
func Document(sagas []Saga, opts Options) ([]byte, error) {
	opts = opts.withDefaults()
	names, err := opts.check()
	if err != nil {
		return nil, fmt.Errorf("asyncapi: %w", err)
	}
	sagas = slices.Clone(sagas)
	slices.SortStableFunc(sagas, func(a, b Saga) int {
		x, y := a.Definition.Def(), b.Definition.Def()
		return cmp.Or(strings.Compare(x.Name(), y.Name()), cmp.Compare(x.Version(), y.Version()))
	})
	for i := 1; i < len(sagas); i++ {
		if d := sagas[i].Definition.Def(); d.String() == sagas[i-1].Definition.Def().String() {
			return nil, fmt.Errorf("asyncapi: the saga %s is given twice: leave one out, or raise its version", d)
		}
	}
	b := newBuilder(names, opts, sagas)
	for _, s := range sagas {
		if err := b.saga(s); err != nil {
			return nil, fmt.Errorf("asyncapi: saga %s: %w", s.Definition.Def(), err)
		}
	}
	b.deadLetters()
	data, err := encode(b.doc)
	if err != nil || opts.Format == JSON {
		return data, err
	}
	return toYAML(data)
}

func encode(doc document) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return nil, fmt.Errorf("asyncapi: write the document: %w", err)
	}
	return out.Bytes(), nil
}

// builder gathers the parts of a document.
type builder struct {
	doc      document
	names    topics.Names
	topology map[string]topics.TopicSpec
	registry bool              // payloads bear the id of a registry's schema
	schemas  map[string]string // text of a component → its key
}

func newBuilder(names topics.Names, opts Options, sagas []Saga) *builder {
	b := &builder{names: names, topology: map[string]topics.TopicSpec{}, schemas: map[string]string{}}
	defs := make([]choreo.AnySaga, len(sagas))
	for i, s := range sagas {
		defs[i] = s.Definition
	}
	for _, spec := range topics.Topology(names, defs, opts.Topology) {
		b.topology[spec.Name] = spec
	}
	b.doc = document{
		AsyncAPI:           specVersion,
		Info:               info{Title: opts.Title, Version: opts.Version, Description: opts.Description, Tags: serviceTags(defs)},
		DefaultContentType: string(choreo.JSON),
		Channels:           map[string]channel{},
		Operations:         map[string]operation{},
		Components: components{
			Messages: map[string]message{}, MessageTraits: map[string]trait{},
			Schemas: map[string]json.RawMessage{}, CorrelationIDs: map[string]correlation{},
		},
	}
	if len(opts.Servers) > 0 {
		b.doc.Servers = map[string]server{}
	}
	for _, s := range opts.Servers {
		b.registry = b.registry || s.Registry != ""
		b.doc.Servers[s.Name] = s.object()
	}
	b.shared()
	return b
}

func (s Server) object() server {
	o := server{Host: s.Host, Protocol: "kafka", Description: s.Description}
	if s.Secure {
		o.Protocol = "kafka-secure"
	}
	if s.Registry != "" {
		o.Bindings = &serverBindings{serverBinding{s.Registry, s.RegistryVendor, bindingVersion}}
	}
	return o
}

// serviceTags names the services that own steps.
func serviceTags(defs []choreo.AnySaga) []tag {
	var services []string
	for _, d := range defs {
		services = append(services, d.Def().Services()...)
	}
	slices.Sort(services)
	var tags []tag
	for _, s := range slices.Compact(services) {
		tags = append(tags, tag{Name: s, Description: "The service " + s + "."})
	}
	return tags
}

// channelOf describes a topic, with no messages yet.
func (b *builder) channelOf(topic, title, description string) channel {
	spec := b.topology[topic]
	config := make(map[string]json.RawMessage, len(spec.Settings))
	for name, value := range spec.Settings {
		setting := strconv.Quote(value) // Kafka's are words
		if name == "cleanup.policy" {
			setting = "[" + strings.ReplaceAll(setting, ",", `","`) + "]"
		} else if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			setting = strconv.FormatInt(n, 10)
		}
		config[name] = json.RawMessage(setting)
	}
	return channel{
		Address: topic, Title: title, Description: description, Messages: map[string]ref{},
		Bindings: channelBindings{channelBinding{spec.Partitions, max(spec.ReplicationFactor, 0), config, bindingVersion}},
	}
}

// componentKey makes a key of a component from free text.
func componentKey(text string) string {
	key := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, text)
	if key == "" {
		return "_"
	}
	return key
}
