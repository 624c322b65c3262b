package definition

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/schema"
)

// contractFormat is the version of a contract's JSON form. A change that readers would
// misread needs another; a further field does not.
const contractFormat = 1

// MaxContract is how large the JSON form of a contract may be, in bytes. Kafka takes a
// record batch of 1 MiB where nothing else was set; the rest is for its key and headers.
const MaxContract = 1_000_000

// ErrNewerFormat is wrapped by [DecodeContract] for a contract that a newer build wrote in a form
// which this one does not understand.
var ErrNewerFormat = errors.New("the contract has a newer format")

// Contract is what a service says of itself to all others. Its JSON form is described by
// [ContractJSONSchema].
type Contract struct {
	Format  int    `json:"format"`
	Service string `json:"service"`
	// Build is the version of the program, for people.
	Build string `json:"build,omitempty"`
	// Definitions are sorted by name and version.
	Definitions []ContractDefinition `json:"definitions"`
	// Schemas are those of Writes and Reads, each once, by [SchemaFingerprint].
	Schemas map[string]ContractSchema `json:"schemas,omitempty"`
}

// ContractDefinition is one version of a saga in a [Contract].
type ContractDefinition struct {
	Name        string          `json:"name"`
	Version     int             `json:"version"`
	Fingerprint string          `json:"fingerprint"`      // by [Fingerprint]
	Starts      bool            `json:"starts,omitempty"` // the service starts such sagas
	Owns        []string        `json:"owns"`
	Writes      []ContractWrite `json:"writes,omitempty"`
	Reads       []ContractRead  `json:"reads,omitempty"`
	Document    string          `json:"document"` // by [Format]: [Parse] reads it
}

// String returns "name/version".
func (d *ContractDefinition) String() string { return fmt.Sprintf("%s/%d", d.Name, d.Version) }

// ContractWrite is a payload that the service writes.
type ContractWrite struct {
	Step   string `json:"step,omitempty"` // empty: the saga's input
	Schema string `json:"schema"`         // a key of Contract.Schemas
}

// ContractRead is a payload that the service reads.
type ContractRead struct {
	Step   string `json:"step"`         // the reader
	Of     string `json:"of,omitempty"` // the writer; empty: the saga's input
	Schema string `json:"schema"`       // a key of Contract.Schemas
}

// ContractSchema is a [schema.Schema] in a [Contract].
type ContractSchema struct {
	Kind       schema.Kind         `json:"kind"`
	Name       string              `json:"name"`
	Text       string              `json:"text"`
	References []ContractReference `json:"references,omitempty"`
}

// ContractReference is a schema that another one imports.
type ContractReference struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func contractSchemaOf(s schema.Schema) ContractSchema {
	c := ContractSchema{Kind: s.Kind, Name: s.Name, Text: s.Text}
	for _, r := range s.References {
		c.References = append(c.References, ContractReference{Name: r.Name, Text: r.Text})
	}
	return c
}

// Schema returns the schema that the contract holds.
func (c ContractSchema) Schema() schema.Schema {
	s := schema.Schema{Kind: c.Kind, Name: c.Name, Text: c.Text}
	for _, r := range c.References {
		s.References = append(s.References, schema.Reference{Name: r.Name, Text: r.Text})
	}
	return s
}

// ContractConfig says for whom a contract is made.
type ContractConfig struct {
	// Service is whose contract it is. Required.
	Service string
	// Build is the version of the program. Default: none.
	Build string
	// Starts are the names of the sagas that the service starts: it writes their input.
	// Default: none.
	Starts []string
}

// NewContract makes the contract of a service from the documents that it takes part in, all
// versions of all sagas. The error names every fault.
func NewContract(docs []*Document, config ContractConfig) (Contract, error) {
	c := Contract{Format: contractFormat, Service: config.Service, Build: config.Build, Definitions: []ContractDefinition{}}
	var faults []error
	if config.Service == "" {
		faults = append(faults, errors.New("definition: contract: ContractConfig.Service is empty: name the service"))
	}
	names := map[string]bool{}
	for _, d := range docs {
		if names[d.Definition.String()] {
			faults = append(faults, fmt.Errorf("definition: contract of %s: saga %s is there twice: hand it over once", config.Service, d.Definition))
		}
		names[d.Definition.String()] = true
		c.add(d, slices.Contains(config.Starts, d.Definition.Name()))
	}
	for _, name := range config.Starts {
		if !slices.ContainsFunc(docs, func(d *Document) bool { return d.Definition.Name() == name }) {
			faults = append(faults, fmt.Errorf("definition: contract of %s: Starts names saga %q, of which there is no document: add it", config.Service, name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return Contract{}, err
	}
	slices.SortFunc(c.Definitions, func(a, b ContractDefinition) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return c, nil
}

func (c *Contract) add(d *Document, starts bool) {
	def := ContractDefinition{
		Name: d.Definition.Name(), Version: d.Definition.Version(), Fingerprint: Fingerprint(d.Definition),
		Starts: starts, Owns: []string{}, Document: string(Format(d)),
	}
	if p := d.Written(""); starts && p.HasSchema() {
		def.Writes = append(def.Writes, ContractWrite{Schema: c.keep(p.Schema)})
	}
	for _, step := range sorted(d.Definition.StepsOf(c.Service)) {
		def.Owns = append(def.Owns, step)
		if p := d.Written(step); p.HasSchema() {
			def.Writes = append(def.Writes, ContractWrite{Step: step, Schema: c.keep(p.Schema)})
		}
		for _, of := range sorted(d.Sources(step)) {
			if p := d.Read(step, of); p.HasSchema() {
				def.Reads = append(def.Reads, ContractRead{Step: step, Of: of, Schema: c.keep(p.Schema)})
			}
		}
	}
	c.Definitions = append(c.Definitions, def)
}

// SetWrite says by which schema the service writes the output of a step that it owns, or the
// input for the step "" of a saga that it starts, in place of what the document says: a handler may
// have types of its own.
func (c *Contract) SetWrite(saga string, version int, step string, s schema.Schema) error {
	d, err := c.find(saga, version, step)
	if err != nil {
		return err
	}
	d.Writes = slices.DeleteFunc(d.Writes, func(w ContractWrite) bool { return w.Step == step })
	d.Writes = append(d.Writes, ContractWrite{Step: step, Schema: c.keep(s)})
	slices.SortFunc(d.Writes, func(a, b ContractWrite) int { return strings.Compare(a.Step, b.Step) })
	c.forget()
	return nil
}

// SetRead says by which schema a step that the service owns reads the output of another, or the
// saga's input for the source "", in place of what the document says.
func (c *Contract) SetRead(saga string, version int, step, of string, s schema.Schema) error {
	d, err := c.find(saga, version, step)
	if err != nil {
		return err
	}
	d.Reads = slices.DeleteFunc(d.Reads, func(r ContractRead) bool { return r.Step == step && r.Of == of })
	d.Reads = append(d.Reads, ContractRead{Step: step, Of: of, Schema: c.keep(s)})
	slices.SortFunc(d.Reads, func(a, b ContractRead) int {
		return cmp.Or(strings.Compare(a.Step, b.Step), strings.Compare(a.Of, b.Of))
	})
	c.forget()
	return nil
}

// find returns a definition of the contract in which the service owns the step.
func (c *Contract) find(saga string, version int, step string) (*ContractDefinition, error) {
	for i := range c.Definitions {
		d := &c.Definitions[i]
		if d.Name != saga || d.Version != version {
			continue
		}
		if !slices.Contains(d.Owns, step) && (step != "" || !d.Starts) {
			return nil, fmt.Errorf("definition: contract of %s: it does not own step %q of saga %s: name a step that it owns", c.Service, step, d)
		}
		return d, nil
	}
	return nil, fmt.Errorf("definition: contract of %s: it has no saga %s/%d: hand its document to NewContract", c.Service, saga, version)
}

// forget drops schemas that nothing refers to any more.
func (c *Contract) forget() {
	used := map[string]bool{}
	for i := range c.Definitions {
		for _, w := range c.Definitions[i].Writes {
			used[w.Schema] = true
		}
		for _, r := range c.Definitions[i].Reads {
			used[r.Schema] = true
		}
	}
	maps.DeleteFunc(c.Schemas, func(key string, _ ContractSchema) bool { return !used[key] })
}

// keep adds a schema to those of the contract and returns its fingerprint.
func (c *Contract) keep(s schema.Schema) string {
	if c.Schemas == nil {
		c.Schemas = map[string]ContractSchema{}
	}
	key := SchemaFingerprint(s)
	c.Schemas[key] = contractSchemaOf(s)
	return key
}

// contractPrefix begins the keys of contracts among the records of the topic.
const contractPrefix = "contract/"

// Key returns the key of the contract's record in the topic of definitions,
// "contract/<service>": the topic is compacted, so that the last one stands.
func (c *Contract) Key() string { return contractPrefix + c.Service }

// IsContractKey reports whether a record of the topic of definitions is a contract.
func IsContractKey(key string) bool { return strings.HasPrefix(key, contractPrefix) }

// Encode returns the JSON form, which is always the same for the same contract. The error says
// what takes the room where that is larger than [MaxContract].
func (c *Contract) Encode() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("definition: encode the contract of %s: %w", c.Service, err)
	}
	if len(data) <= MaxContract {
		return data, nil
	}
	var texts, largest int
	var name string
	for _, s := range c.Schemas {
		size := len(s.Text)
		for _, r := range s.References {
			size += len(r.Text)
		}
		texts += size
		if size > largest || size == largest && s.Name < name {
			largest, name = size, s.Name
		}
	}
	return nil, fmt.Errorf("definition: the contract of %s has %d bytes, %d of them in %d schemas, %q the largest with %d: "+
		"a record has at most %d: drop comments from schemas, and versions of sagas that no longer run",
		c.Service, len(data), texts, len(c.Schemas), name, largest, MaxContract)
}

// DecodeContract reads the JSON form. Fields that it does not know are dropped, so that a later
// build may add some. The error wraps [ErrNewerFormat] where it cannot understand the
// rest.
func DecodeContract(data []byte) (Contract, error) {
	var c Contract
	if err := json.Unmarshal(data, &c); err != nil {
		return Contract{}, fmt.Errorf("definition: decode a contract: %w: look who else writes to the topic of definitions", err)
	}
	switch {
	case c.Format > contractFormat:
		return Contract{}, fmt.Errorf("definition: %w: %d, and this build knows %d: update it", ErrNewerFormat, c.Format, contractFormat)
	case c.Format < 1 || c.Service == "":
		return Contract{}, errors.New("definition: decode a contract: it has no format or no service: look who else writes to the topic of definitions")
	}
	for i := range c.Definitions {
		d := &c.Definitions[i]
		if d.Name == "" || d.Version < 1 || d.Fingerprint == "" {
			return Contract{}, fmt.Errorf("definition: decode the contract of %s: its definition %d lacks name, version or fingerprint: "+
				"look who else writes to the topic of definitions", c.Service, i+1)
		}
		for _, w := range d.Writes {
			if _, ok := c.Schemas[w.Schema]; !ok {
				return Contract{}, c.noSchema(d, w.Schema)
			}
		}
		for _, r := range d.Reads {
			if _, ok := c.Schemas[r.Schema]; !ok {
				return Contract{}, c.noSchema(d, r.Schema)
			}
		}
	}
	return c, nil
}

func (c *Contract) noSchema(d *ContractDefinition, fingerprint string) error {
	return fmt.Errorf("definition: decode the contract of %s: saga %s refers to schema %q, which the contract does not hold: "+
		"look who else writes to the topic of definitions", c.Service, d, fingerprint)
}
