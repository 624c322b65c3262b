package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/schema"
)

// Extensions returns those of files that hold schemas.
func Extensions() []string { return []string{".avsc", ".proto", ".json"} }

// kindOf tells the language of a schema by the name of its file.
func kindOf(file string) (schema.Kind, bool) {
	kinds := map[string]schema.Kind{".avsc": schema.Avro, ".proto": schema.Protobuf, ".json": schema.JSONType}
	kind, ok := kinds[path.Ext(file)]
	return kind, ok
}

// Schema reads the schema in a file below the place, "." for the place itself, with what it
// imports: a .proto file from the folder of the file upwards, a type of Avro that it does not define
// in the other files of the place. The schema has no name: what it is compared with decides
// what is meant.
func (p *Place) Schema(inside string) (schema.Schema, error) {
	full := path.Join(p.Path, inside)
	kind, ok := kindOf(full)
	if !ok {
		return schema.Schema{}, exit.Usagef("%s is no schema by its name: that ends in .avsc (Avro), .proto (Protobuf) or .json (JSON Schema)", p.Name(inside))
	}
	data, err := read(p.FS, full)
	if err != nil {
		return schema.Schema{}, err
	}
	if !utf8.Valid(data) {
		return schema.Schema{}, fmt.Errorf("%s is no text in UTF-8: save it as such", p.Name(inside))
	}
	s := schema.Schema{Kind: kind, Text: string(data)}
	switch kind {
	case schema.Protobuf:
		s.References, err = imports(p.FS, full, data)
	case schema.Avro:
		s.References, err = p.avroReferences(data)
	case schema.JSONType:
	}
	if err != nil {
		return schema.Schema{}, fmt.Errorf("%s: %w", p.Name(inside), err)
	}
	return s, nil
}

// imports reads what a .proto file imports, and what that imports, what is needed first
// coming first.
func imports(fsys fs.FS, file string, data []byte) ([]schema.Reference, error) {
	var refs []schema.Reference
	seen := map[string]bool{}
	var visit func(data []byte) error
	visit = func(data []byte) error {
		for _, name := range protoImports(data) {
			if seen[name] {
				continue
			}
			seen[name] = true
			text, err := upwards(fsys, path.Dir(file), name)
			if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "google/protobuf/") {
				continue // comes with every compiler
			}
			if err != nil {
				return fmt.Errorf("import %q: %w: it is looked for from the folder of the file upwards", name, err)
			}
			if len(seen) > maxFiles {
				return fmt.Errorf("it imports more than %d files", maxFiles)
			}
			if err := visit(text); err != nil {
				return err
			}
			refs = append(refs, schema.Reference{Name: name, Text: string(text)})
		}
		return nil
	}
	return refs, visit(data)
}

// ImportsOf returns the names that a schema itself imports, not those that they import in turn.
// Faults of the text are for its parser to tell.
func ImportsOf(kind schema.Kind, text []byte) []string {
	switch kind {
	case schema.Protobuf:
		return protoImports(text)
	case schema.Avro:
		return typesOf(text).missing()
	case schema.JSONType:
	}
	return nil
}

func protoImports(data []byte) (names []string) {
	// The lexer panics on a string that ends within an escape. A compiler says more of it.
	defer func() {
		if recover() != nil {
			names = nil
		}
	}()
	quiet := reporter.NewHandler(reporter.NewReporter(func(reporter.ErrorWithPos) error { return nil }, nil))
	file, err := parser.Parse("source.proto", bytes.NewReader(data), quiet)
	if file == nil || err != nil && len(file.Decls) == 0 {
		return nil
	}
	for _, decl := range file.Decls {
		if imported, ok := decl.(*ast.ImportNode); ok && imported.Name != nil {
			names = append(names, imported.Name.AsString())
		}
	}
	return names
}

// upwards reads a file by its path from a folder, or from one above it.
func upwards(fsys fs.FS, dir, name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, errors.New("it is no plain path below a folder")
	}
	for {
		data, err := read(fsys, path.Join(dir, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == "." {
			return data, err
		}
		dir = path.Dir(dir)
	}
}
