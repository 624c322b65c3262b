package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/linkedin/goavro/v2"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics/command"
	"github.com/choreo-go/choreo/tracker/api"
)

// encode encodes what an operator has written as JSON as the definition says: the output of a
// step, or the saga's input for the step "". The error is an [*api.RefusedError] where that
// cannot be.
func (c *Cluster) encode(ctx context.Context, def *choreo.Definition, step string, data json.RawMessage) (command.Payload, error) {
	media := def.EncodingOf(step)
	switch media {
	case "", choreo.JSON:
		return command.Payload{ContentType: string(choreo.JSON), Data: data}, nil
	case choreo.Avro:
		return c.encodeAvro(ctx, def, step, data)
	}
	return command.Payload{}, refused("%s of %s is %s, which cannot be made of JSON here: let a program of the service do it", payloadOf(step), def, media)
}

func refused(format string, args ...any) error {
	return &api.RefusedError{Why: fmt.Sprintf(format, args...)}
}

func payloadOf(step string) string {
	if step == "" {
		return "the input"
	}
	return "the output of step " + step
}

// encodeAvro encodes by the schema that the writing service has published, and names it by the id
// under which the registry has it.
func (c *Cluster) encodeAvro(ctx context.Context, def *choreo.Definition, step string, data json.RawMessage) (command.Payload, error) {
	what := payloadOf(step)
	s, err := c.written(ctx, def, step)
	if err != nil {
		return command.Payload{}, err
	}
	if len(s.References) > 0 {
		return command.Payload{}, refused("the schema of %s imports others, so that it cannot be made of JSON here: let a program of the service do it", what)
	}
	codec, err := goavro.NewCodecForStandardJSONFull(s.Text)
	if err != nil {
		return command.Payload{}, fmt.Errorf("cluster: the schema of %s of %s: %w", what, def, err)
	}
	native, rest, err := codec.NativeFromTextual(data)
	if err != nil {
		return command.Payload{}, refused("%s does not fit its schema %s: %v", what, s.Name, err)
	}
	if len(rest) > 0 {
		return command.Payload{}, refused("there is something behind %s: %.40q", what, rest)
	}
	id, err := c.idOf(ctx, schema.Subject(c.names.Events(def.Name()), s.Name), s)
	if err != nil {
		return command.Payload{}, err
	}
	encoded, err := codec.BinaryFromNative(id.Append(nil), native)
	if err != nil {
		return command.Payload{}, refused("%s does not fit its schema %s: %v", what, s.Name, err)
	}
	return command.Payload{ContentType: string(choreo.Avro), Data: encoded}, nil
}

// written returns the schema by which a service has said that it writes a payload.
func (c *Cluster) written(ctx context.Context, def *choreo.Definition, step string) (schema.Schema, error) {
	contracts, err := c.contracts(ctx)
	if err != nil {
		return schema.Schema{}, err
	}
	for i := range contracts {
		for _, d := range contracts[i].Definitions {
			if d.Name != def.Name() || d.Version != def.Version() {
				continue
			}
			if n := slices.IndexFunc(d.Writes, func(w definition.ContractWrite) bool { return w.Step == step }); n >= 0 {
				return contracts[i].Schemas[d.Writes[n].Schema].Schema(), nil
			}
		}
	}
	return schema.Schema{}, refused("no service has published the schema of %s of %s", payloadOf(step), def)
}

// idOf returns the id of a schema in the registry. It registers nothing: that is up to who writes
// by it.
func (c *Cluster) idOf(ctx context.Context, subject string, s schema.Schema) (schema.ID, error) {
	registry, err := c.registry(ctx)
	if err != nil {
		return schema.ID{}, err
	}
	versions, err := registry.Versions(ctx, subject)
	if err != nil {
		return schema.ID{}, fmt.Errorf("cluster: the schemas of %s: %w", subject, err)
	}
	wanted := definition.SchemaFingerprint(s)
	for _, v := range slices.Backward(versions) {
		if definition.SchemaFingerprint(v.Schema) == wanted {
			return v.ID, nil
		}
	}
	return schema.ID{}, refused("the registry has no version of %s like that which the service writes by", subject)
}
