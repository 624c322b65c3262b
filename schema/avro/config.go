package avro

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Config configures a [Codec]. Fields left zero get their default.
type Config struct {
	// Namespace is that of the records of all Go types without a schema of their own. Default:
	// the last element of the path of each type's package, so that all services that
	// import a contract agree.
	Namespace string
	// Schemas are the schemas of Go types for which none is to be derived. Each has to fit its
	// type. Default: none.
	Schemas map[reflect.Type]string
	// Topic is that under whose subjects a type is registered which is encoded without having been
	// prepared; that asks the registry, once for each type. Default: none, it is an error.
	Topic string
	// LookupTimeout bounds how long Decode waits for the registry, and Encode where it registers.
	// Default: 5 s.
	LookupTimeout time.Duration
	// MaxDepth bounds how deep records, arrays and maps may stand within each other in one
	// payload, both ways. Default: 64.
	MaxDepth int
}

// The defaults.
const (
	DefaultLookupTimeout = 5 * time.Second
	DefaultMaxDepth      = 64
)

// maxDepth keeps a payload from taking a goroutine's stack.
const maxDepth = 10_000

// checked returns a copy with the defaults filled in. The error names every fault.
func (c *Config) checked() (*Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	out.Schemas = maps.Clone(out.Schemas)
	if out.LookupTimeout == 0 {
		out.LookupTimeout = DefaultLookupTimeout
	}
	if out.MaxDepth == 0 {
		out.MaxDepth = DefaultMaxDepth
	}
	var faults []error
	if out.LookupTimeout < 0 {
		faults = append(faults, fmt.Errorf("LookupTimeout is %s: it has to be positive", out.LookupTimeout))
	}
	if out.MaxDepth < 0 || out.MaxDepth > maxDepth {
		faults = append(faults, fmt.Errorf("MaxDepth is %d: it has to be between 1 and %d", out.MaxDepth, maxDepth))
	}
	for part := range strings.SplitSeq(out.Namespace, ".") {
		if out.Namespace != "" && !isName(part) {
			faults = append(faults, fmt.Errorf("Namespace is %q: it has to be names of letters, digits and _ with points between", out.Namespace))
			break
		}
	}
	return &out, errors.Join(faults...)
}

// schemaTypes returns the types of Schemas in one order, for errors that read the same every time.
func (c *Config) schemaTypes() []reflect.Type {
	return slices.SortedFunc(maps.Keys(c.Schemas), func(a, b reflect.Type) int {
		return strings.Compare(nameOf(a), nameOf(b))
	})
}

func nameOf(t reflect.Type) string {
	if t == nil {
		return "nil"
	}
	return t.String()
}
