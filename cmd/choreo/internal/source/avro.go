package source

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/schema"
)

// avroTypes are the names in an Avro schema.
type avroTypes struct{ defined, used map[string]bool }

// missing returns the names that the schema uses and does not define, sorted.
func (a *avroTypes) missing() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.used)) {
		if !a.defined[name] {
			names = append(names, name)
		}
	}
	return names
}

// typesOf finds the names in an Avro schema, none in a text that is no JSON: what is wrong with
// it is for its parser to tell.
func typesOf(text []byte) *avroTypes {
	a := &avroTypes{defined: map[string]bool{}, used: map[string]bool{}}
	var root any
	if json.Unmarshal(text, &root) == nil {
		a.walk(root, "")
	}
	return a
}

// walk follows a schema as json.Unmarshal gives it. Names without a namespace are of the one
// around them: https://avro.apache.org/docs/1.12.0/specification/#names
func (a *avroTypes) walk(node any, namespace string) {
	switch node := node.(type) {
	case string:
		if !slices.Contains([]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}, node) {
			a.used[fullName(node, namespace)] = true
		}
	case []any:
		for _, branch := range node {
			a.walk(branch, namespace)
		}
	case map[string]any:
		a.walkObject(node, namespace)
	}
}

func (a *avroTypes) walkObject(node map[string]any, namespace string) {
	switch node["type"] {
	case "record", "error", "enum", "fixed":
		name, _ := node["name"].(string)
		if own, ok := node["namespace"].(string); ok && own != "" {
			namespace = own
		}
		name = fullName(name, namespace)
		a.defined[name] = true
		namespace = strings.TrimSuffix(name[:strings.LastIndexByte(name, '.')+1], ".")
		fields, _ := node["fields"].([]any)
		for _, field := range fields {
			if field, ok := field.(map[string]any); ok {
				a.walk(field["type"], namespace)
			}
		}
	case "array":
		a.walk(node["items"], namespace)
	case "map":
		a.walk(node["values"], namespace)
	default:
		a.walk(node["type"], namespace)
	}
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// avroReferences finds the types that an Avro schema uses and does not define in other files
// of its place, what is needed first coming first. A type that nowhere is found is for the
// parser to tell.
func (p *Place) avroReferences(text []byte) ([]schema.Reference, error) {
	missing := typesOf(text).missing()
	if len(missing) == 0 {
		return nil, nil
	}
	files, err := p.avroFiles()
	if err != nil {
		return nil, err
	}
	var refs []schema.Reference
	seen := maps.Clone(typesOf(text).defined) // a schema that is needed may need this one in turn
	var visit func(names []string)
	visit = func(names []string) {
		for _, name := range names {
			other, ok := files[name]
			if seen[name] || !ok {
				continue
			}
			seen[name] = true
			visit(typesOf([]byte(other)).missing())
			refs = append(refs, schema.Reference{Name: name, Text: other})
		}
	}
	visit(missing)
	return refs, nil
}

// avroFiles returns the Avro schemas of a folder, or of the folder of a file, by the names of the
// types that they are of. It reads them once.
func (p *Place) avroFiles() (map[string]string, error) {
	if p.avro != nil {
		return p.avro, nil
	}
	folder := *p
	if !p.Dir {
		folder.Path, folder.Dir = path.Dir(p.Path), true
	}
	names, err := folder.avsc(p.Dir)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, name := range names {
		data, err := folder.Read(name)
		if err != nil {
			return nil, fmt.Errorf("looking for the types of %s: %w", p.Arg, err)
		}
		var head struct{ Name, Namespace string }
		if json.Unmarshal(data, &head) == nil && head.Name != "" {
			files[fullName(head.Name, head.Namespace)] = string(data)
		}
	}
	p.avro = files
	return files, nil
}

// avsc returns the Avro schemas of a folder, and, if deep, of those below it: the folder of a
// file that was named may be anything, also the root of a disk.
func (p *Place) avsc(deep bool) ([]string, error) {
	if deep {
		return p.Under(".avsc")
	}
	entries, err := fs.ReadDir(p.FS, p.Path)
	if err != nil {
		return nil, fmt.Errorf("looking through the folder of %s: %w", p.Arg, err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && path.Ext(entry.Name()) == ".avsc" {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}
