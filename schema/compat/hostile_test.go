package compat_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

// TestHostileSchemasEnd compares what is as large as it may be. A minute is many times what any
// of them takes, and far less than they would without limits.
func TestHostileSchemasEnd(t *testing.T) {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, strings.ReplaceAll(format, "#", "%[1]d"), i)
		}
		return b.String()
	}
	for name, s := range map[string]schema.Schema{
		"avro, wide union of records":    {Kind: schema.Avro, Text: `["null"` + lines(8000, `,{"type":"record","name":"R#","fields":[]}`) + `]`},
		"avro, wide record":              {Kind: schema.Avro, Text: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"}` + lines(20000, `,{"name":"f#","type":"int"}`) + `]}`},
		"avro, chain of records":         {Kind: schema.Avro, Text: `["int"` + lines(8000, `,{"type":"record","name":"R#","fields":[{"name":"f","type":"R7999"}]}`) + `]`},
		"protobuf, many fields":          {Kind: schema.Protobuf, Text: `syntax = "proto3"; message M {` + lines(1800, "string f# = #1;\n") + "}"},
		"protobuf, many messages":        {Kind: schema.Protobuf, Text: `syntax = "proto3";` + lines(3000, "message M# { M# m = 1; }\n")},
		"json, chain of references":      {Kind: schema.JSONType, Text: `{"$ref":"#/$defs/a0","$defs":{` + references(3000) + `"a3000":{}}}`},
		"json, tree of alternatives":     {Kind: schema.JSONType, Text: alternatives(40)},
		"json, wide anyOf":               {Kind: schema.JSONType, Text: `{"anyOf":[{}` + lines(255, `,{"properties":{"p#":{"type":"string"}},"oneOf":[{"minLength":#},{"maxLength":#}]}`) + `]}`},
		"json, many properties":          {Kind: schema.JSONType, Text: `{"properties":{"p":{}` + lines(3000, `,"p#":{"type":"string"}`) + `},"patternProperties":{"^a":{}` + lines(200, `,"^a#":{"type":"string"}`) + `}}`},
		"json, large enum":               {Kind: schema.JSONType, Text: `{"enum":[0` + lines(80000, `,1#`) + `]}`},
		"json, pattern that backtracks":  {Kind: schema.JSONType, Text: `{"enum":["` + strings.Repeat("a", 60) + `!"],"pattern":"^(a|a)*$"}`},
		"json, many required properties": {Kind: schema.JSONType, Text: `{"required":["a"` + lines(20000, `,"p#"`) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			other := s
			other.Text = strings.Replace(strings.Replace(s.Text, `"int"`, `"long"`, 1), `"type":"string"`, `"type":"integer"`, 1)
			for _, pair := range [][2]schema.Schema{{s, s}, {other, s}} {
				problems, err := compat.CanRead(pair[0], pair[1])
				if err != nil {
					require.NotEmpty(t, err.Error())
					t.Logf("%.150v", err)
				}
				t.Logf("%d problems after %v", len(problems), time.Since(start))
			}
			require.Less(t, time.Since(start), time.Minute)
		})
	}
}

func references(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"a%d":{"$ref":"#/$defs/a%d"},`, i, i+1)
	}
	return b.String()
}

// alternatives asks, on each level, two alternatives for what asks two in turn.
func alternatives(depth int) string {
	var b strings.Builder
	fmt.Fprint(&b, `{"$ref":"#/$defs/n0","$defs":{`)
	for i := range depth {
		fmt.Fprintf(&b, `"n%d":{"anyOf":[{"properties":{"p":{"$ref":"#/$defs/n%d"}}},{"properties":{"q":{"$ref":"#/$defs/n%d"}}}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"n%d":{"type":"string"}}}`, depth)
	return b.String()
}

func TestWhatIsTooMuchToCompareIsAnError(t *testing.T) {
	var branches strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&branches, `,{"type":"record","name":"R%d","fields":[]}`, i)
	}
	wide := schema.Schema{Kind: schema.Avro, Text: `["null"` + branches.String() + `]`}
	_, err := compat.Forward.Check(wide, wide)
	require.ErrorContains(t, err, "reading what was written by the new schema with the earlier schema: too complex")
}
