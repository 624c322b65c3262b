package definition

import _ "embed" // for the published schemas

//go:embed definition.schema.json
var definitionSchema string

//go:embed contract.schema.json
var contractSchema string

// JSONSchema returns the JSON Schema (draft 7, which editors know best) of definitions in YAML:
// it completes and checks them while they are written. It is published at [SchemaURL].
func JSONSchema() []byte { return []byte(definitionSchema) }

// ContractJSONSchema returns the JSON Schema (draft 7) of a [Contract] by [Contract.Encode].
func ContractJSONSchema() []byte { return []byte(contractSchema) }
