package confluent

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

func wireType(kind schema.Kind) sr.SchemaType {
	switch kind {
	case schema.Protobuf:
		return sr.TypeProtobuf
	case schema.JSONType:
		return sr.TypeJSON
	default:
		return sr.TypeAvro // the default, which is left out on the wire
	}
}

func wireReferences(refs []schema.Reference) []sr.SchemaReference {
	var out []sr.SchemaReference
	for _, ref := range refs {
		out = append(out, sr.SchemaReference{Name: ref.Name, Subject: ref.Subject, Version: ref.Version})
	}
	return out
}

// fromWire returns a schema with its name and the text of all that it refers to.
func (r *Registry) fromWire(ctx context.Context, got sr.Schema) (schema.Schema, error) {
	refs, err := r.complete(ctx, got.References)
	if err != nil {
		return schema.Schema{}, err
	}
	s := schema.Schema{Kind: schema.Kind(got.Type.String()), Text: got.Schema, References: refs}
	if s.Name, err = shelf.Name(s); err != nil {
		s.Name = "" // whoever needs none can read it all the same
	}
	return s, nil
}

// complete returns references with their text, each after what it refers to itself.
func (r *Registry) complete(ctx context.Context, direct []sr.SchemaReference) ([]schema.Reference, error) {
	var all []schema.Reference
	under := make(map[place]bool)
	var walk func([]sr.SchemaReference) error
	walk = func(refs []sr.SchemaReference) error {
		for _, ref := range refs {
			if slices.ContainsFunc(all, func(have schema.Reference) bool { return have.Name == ref.Name }) {
				continue
			}
			at := place{ref.Subject, ref.Version}
			if under[at] || len(under) > 200 {
				return fmt.Errorf("reference %s: %w", ref.Name, errTooDeep)
			}
			under[at] = true
			v, err := r.version(ctx, ref.Subject, ref.Version)
			if err != nil {
				return fmt.Errorf("the reference %s to version %d of subject %s: %w", ref.Name, ref.Version, ref.Subject, explain(err))
			}
			if err := walk(v.References); err != nil {
				return err
			}
			all = append(all, schema.Reference{Name: ref.Name, Subject: ref.Subject, Version: ref.Version, Text: v.Schema.Schema})
		}
		return nil
	}
	return all, walk(direct)
}

func clone(s schema.Schema) schema.Schema {
	s.References = slices.Clone(s.References)
	return s
}
