package asyncapi

import "encoding/json"

// The objects of the specification, as far as they are used. Fields are in the order in
// which a reader wants them.

type ref struct {
	Ref string `json:"$ref"`
}

type document struct {
	AsyncAPI           string               `json:"asyncapi"`
	Info               info                 `json:"info"`
	DefaultContentType string               `json:"defaultContentType"`
	Servers            map[string]server    `json:"servers,omitempty"`
	Channels           map[string]channel   `json:"channels"`
	Operations         map[string]operation `json:"operations"`
	Components         components           `json:"components"`
}

type info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
	Tags        []tag  `json:"tags,omitempty"`
}

type tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

type server struct {
	Host        string          `json:"host"`
	Protocol    string          `json:"protocol"`
	Description string          `json:"description,omitempty"`
	Bindings    *serverBindings `json:"bindings,omitempty"`
}

type serverBindings struct {
	Kafka serverBinding `json:"kafka"`
}

type serverBinding struct {
	RegistryURL    string `json:"schemaRegistryUrl"`
	RegistryVendor string `json:"schemaRegistryVendor,omitempty"`
	Version        string `json:"bindingVersion"`
}

type channel struct {
	Address     string          `json:"address"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Messages    map[string]ref  `json:"messages"`
	Bindings    channelBindings `json:"bindings"`
}

type channelBindings struct {
	Kafka channelBinding `json:"kafka"`
}

type channelBinding struct {
	Partitions    int                        `json:"partitions"`
	Replicas      int                        `json:"replicas,omitempty"`
	Configuration map[string]json.RawMessage `json:"topicConfiguration"`
	Version       string                     `json:"bindingVersion"`
}

type operation struct {
	Action      string             `json:"action"`
	Channel     ref                `json:"channel"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Tags        []tag              `json:"tags,omitempty"`
	Messages    []ref              `json:"messages"`
	Bindings    *operationBindings `json:"bindings,omitempty"`
}

type operationBindings struct {
	Kafka operationBinding `json:"kafka"`
}

type operationBinding struct {
	Group   headerSchema `json:"groupId"`
	Version string       `json:"bindingVersion"`
}

type components struct {
	Messages       map[string]message         `json:"messages"`
	MessageTraits  map[string]trait           `json:"messageTraits"`
	Schemas        map[string]json.RawMessage `json:"schemas"`
	CorrelationIDs map[string]correlation     `json:"correlationIds"`
}

type message struct {
	Name        string          `json:"name,omitempty"`
	Title       string          `json:"title,omitempty"`
	Summary     string          `json:"summary,omitempty"`
	ContentType string          `json:"contentType,omitempty"`
	Tags        []tag           `json:"tags,omitempty"`
	Headers     *headerSchema   `json:"headers,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"`
	Traits      []ref           `json:"traits,omitempty"`
}

type trait struct {
	CorrelationID ref             `json:"correlationId"`
	Bindings      messageBindings `json:"bindings"`
}

type messageBindings struct {
	Kafka messageBinding `json:"kafka"`
}

type messageBinding struct {
	Key              headerSchema `json:"key"`
	SchemaIDLocation string       `json:"schemaIdLocation,omitempty"`
	SchemaIDEncoding string       `json:"schemaIdPayloadEncoding,omitempty"`
	SchemaLookup     string       `json:"schemaLookupStrategy,omitempty"`
	Version          string       `json:"bindingVersion"`
}

type correlation struct {
	Description string `json:"description"`
	Location    string `json:"location"`
}

// headerSchema is the part of JSON Schema that headers and keys need.
type headerSchema struct {
	Ref         string                  `json:"$ref,omitempty"`
	Type        string                  `json:"type,omitempty"`
	Description string                  `json:"description,omitempty"`
	Const       string                  `json:"const,omitempty"`
	Enum        []string                `json:"enum,omitempty"`
	Format      string                  `json:"format,omitempty"`
	Pattern     string                  `json:"pattern,omitempty"`
	AllOf       []headerSchema          `json:"allOf,omitempty"`
	Required    []string                `json:"required,omitempty"`
	Properties  map[string]headerSchema `json:"properties,omitempty"`
}

// multiFormat is a schema in a language that is named.
type multiFormat struct {
	Format string          `json:"schemaFormat"`
	Schema json.RawMessage `json:"schema"`
}
