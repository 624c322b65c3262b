package godump

import (
	"fmt"
	"go/format"
	"strings"
	"text/template"
)

// program is what is run. It prints a line of JSON for each definition.
const program = `// Made up by 'choreo definition dump'.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/jsonschema"
	"github.com/choreo-go/choreo/schema/protobuf"
	"github.com/choreo-go/choreo/schema/registry/memory"

	contract {{printf "%q" .Path}}
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	registry, err := memory.New(nil)
	if err != nil {
		return err
	}
	inAvro, err := avro.New(registry, nil)
	if err != nil {
		return err
	}
	inProtobuf, err := protobuf.New(nil, nil)
	if err != nil {
		return err
	}
	describers := map[choreo.MediaType]schema.Describer{
		choreo.Avro: inAvro, choreo.JSON: jsonschema.Codec{}, choreo.Protobuf: inProtobuf,
	}
	describers[""] = describers[choreo.MediaType({{printf "%q" .Encoding}})]
	out := json.NewEncoder(os.Stdout)
{{range .Variables}}
	if contract.{{.}} == nil {
		return fmt.Errorf("the variable {{.}} is nil")
	}
	if err := dump(out, dir, {{printf "%q" .}}, contract.{{.}}, describers); err != nil {
		return err
	}
{{end}}
	return nil
}

func dump(out *json.Encoder, dir, variable string, saga choreo.AnySaga, describers map[choreo.MediaType]schema.Describer) error {
	doc, err := definition.FromGo(saga, describers)
	if err != nil {
		return fmt.Errorf("the variable %s: %w", variable, err)
	}
	file, err := doc.Save(dir)
	if err != nil {
		return err
	}
	return out.Encode(map[string]string{"saga": doc.Definition.String(), "variable": variable, "file": file})
}
`

// source returns the program for a package.
func source(f *found, encoding string) ([]byte, error) {
	parsed, err := template.New("program").Parse(program)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	values := struct {
		Path, Encoding string
		Variables      []string
	}{f.path, encoding, f.variables}
	if err := parsed.Execute(&b, values); err != nil {
		return nil, err
	}
	text, err := format.Source([]byte(b.String()))
	if err != nil {
		return nil, fmt.Errorf("the program that dumps definitions is no Go: %w", err)
	}
	return text, nil
}
