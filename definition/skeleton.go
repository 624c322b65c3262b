package definition

import (
	"errors"
	"io/fs"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Code names a kind of finding or change. Codes are stable; the package's documentation
// lists them.
type Code string

var errSkeleton = errors.New("definition: not written yet")

// Parse reads a definition in YAML, without its schemas: their texts stay empty. The error is a
// [*FaultsError] that names every fault with its place in the file.
func Parse(file string, data []byte, bindings ...choreo.Binding) (*Document, error) {
	return nil, errSkeleton
}

// Load reads a definition and the schemas that it names, which stand relative to it in fsys. The
// error is a [*FaultsError] that names every fault, or what reading the file said.
func Load(fsys fs.FS, file string, bindings ...choreo.Binding) (*Document, error) {
	return nil, errSkeleton
}

// LoadFile is [Load] for a path of the operating system; schemas may also stand above the file.
func LoadFile(path string, bindings ...choreo.Binding) (*Document, error) { return nil, errSkeleton }

// Format returns the document in YAML, in the one form that stands for it: defaults left out,
// keys in a steady order, steps in the order of [choreo.Definition.Steps], without comments.
func Format(d *Document) []byte { return nil }

// Save writes the document as <saga>-<version>.yaml into a folder, its schemas beside it, and
// returns the path of the YAML file.
func (d *Document) Save(dir string) (string, error) { return "", errSkeleton }

// FromGo makes a document of a definition in Go. The describers give the schemas of its Go types,
// by the media type in which a payload is encoded, that under "" where neither the step nor
// the definition names one. What has no describer has no schema.
func FromGo(saga choreo.AnySaga, describers map[choreo.MediaType]schema.Describer) (*Document, error) {
	return nil, errSkeleton
}

// Fingerprint names what a definition does: two definitions of one fingerprint run a saga
// alike, whether they were made from Go or from YAML.
func Fingerprint(d *choreo.Definition) string { return "" }

// LintConfig says what documents are held against. The zero value checks them by themselves.
type LintConfig struct {
	// Services are all services that there are: a step of another owner is an error.
	// Default: owners are not checked.
	Services []string
	// Namespace is the first part of the topic names. Default: "choreo".
	Namespace string
}

// Lint returns what is to be said about documents, in the order of files and places. Several
// versions of one saga are also held against each other.
func Lint(docs []*Document, config *LintConfig) []Finding { return nil }

// LintFiles loads all files and lints what could be read: faults of files are findings, too. The
// error says which file could not be read at all.
func LintFiles(paths []string, config *LintConfig) ([]Finding, error) { return nil, errSkeleton }

// Safety says what a change means to sagas that are running.
type Safety string

// The safeties.
const (
	// Safe: running sagas do not notice.
	Safe Safety = "safe"
	// UnsafeForRunning: sagas that run by the one may end wrongly by the other.
	UnsafeForRunning Safety = "unsafe-for-running"
	// NeedsNewVersion: fine for new sagas, if the definition gets another version.
	NeedsNewVersion Safety = "needs-new-version"
	// Informational: what the change asks of services and operators.
	Informational Safety = "informational"
)

// Change is one difference between two documents.
type Change struct {
	Code   Code   `json:"code"`
	Safety Safety `json:"safety"`
	Step   string `json:"step,omitempty"`
	Reason string `json:"reason"`
	WayOut string `json:"way_out,omitempty"`
}

// Diff returns how b differs from a and what each difference means to running sagas.
func Diff(a, b *Document) []Change { return nil }

// Contract is what a service says of itself to all others: what it owns, writes and reads.
type Contract struct {
	Format      int                  `json:"format"` // 1
	Service     string               `json:"service"`
	Build       string               `json:"build,omitempty"`
	Definitions []ContractDefinition `json:"definitions"`
	// Schemas are those of Writes and Reads by [SchemaFingerprint].
	Schemas map[string]ContractSchema `json:"schemas,omitempty"`
}

// ContractDefinition is one version of a saga in a [Contract].
type ContractDefinition struct {
	Name        string          `json:"name"`
	Version     int             `json:"version"`
	Fingerprint string          `json:"fingerprint"`
	Starts      bool            `json:"starts,omitempty"` // the service starts such sagas
	Owns        []string        `json:"owns"`
	Writes      []ContractWrite `json:"writes,omitempty"`
	Reads       []ContractRead  `json:"reads,omitempty"`
	Document    string          `json:"document"` // by [Format]
}

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

// ContractConfig says for whom a contract is made.
type ContractConfig struct {
	Service string   // Required.
	Build   string   // of the program, for people. Default: none.
	Starts  []string // names of the sagas that the service starts
}

// NewContract makes the contract of a service of the documents that it takes part in.
func NewContract(docs []*Document, config ContractConfig) (Contract, error) {
	return Contract{}, errSkeleton
}

// Key returns the key of the contract's record in the topic of definitions:
// "contract/<service>".
func (c *Contract) Key() string { return "" }

// Encode returns the JSON form, always the same for the same contract. The error names what
// makes it larger than a record may be.
func (c *Contract) Encode() ([]byte, error) { return nil, errSkeleton }

// DecodeContract reads the JSON form. Fields that it does not know are dropped; a newer format is
// an error that wraps [ErrNewerFormat].
func DecodeContract(data []byte) (Contract, error) { return Contract{}, errSkeleton }

// Compare returns where a contract contradicts those of other services: what it may not start
// with is of severity [Error]. An earlier contract of the same service counts as replaced.
func Compare(mine Contract, others []Contract) []Finding { return nil }
