package definition

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds on a file: whoever may hand one in must not be able to keep a program busy.
const (
	maxFile       = 1 << 20 // bytes, also of a schema
	maxSteps      = 300
	maxReferences = 5000   // entries of lists, in all
	maxNodes      = 50_000 // read from the YAML, what aliases repeat counts again
	maxFaults     = 500    // told of one file
)

// source reads the nodes of one YAML file. It collects every fault and goes on.
type source struct {
	file       string
	definition string // "name/version" once it is known
	findings   []Finding
	places     map[string]Place
	nodes      int
	references int
}

// keys are those that lead to a node.
type keys []string

func (p keys) to(key string) keys { return append(slices.Clip(p), key) }

func (p keys) String() string {
	if len(p) == 0 {
		return "the definition"
	}
	return strings.Join(p, ".")
}

// step returns the step that the path leads into, or "".
func (p keys) step() string {
	if len(p) > 1 && p[0] == "steps" {
		return p[1]
	}
	return ""
}

// field is a key of a mapping and how its value is read.
type field struct {
	key      string
	required bool
	read     func(n *yaml.Node, at keys)
}

func (s *source) fault(code Code, n *yaml.Node, at keys, wayOut, format string, args ...any) {
	if len(s.findings) == maxFaults {
		code, wayOut, format, args = "too-large", "mend those first", "there are more faults than %d: the rest is not told", []any{maxFaults}
	}
	if len(s.findings) > maxFaults {
		return
	}
	f := Finding{
		Code: code, Severity: Error, Step: at.step(), File: s.file,
		Reason: fmt.Sprintf(format, args...), WayOut: wayOut,
	}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	s.findings = append(s.findings, f)
}

// root parses the text into the node of its one document, nil where that failed.
func (s *source) root(data []byte) *yaml.Node {
	if len(data) > maxFile {
		s.fault("too-large", nil, nil, "split the saga, or look whether this is the right file",
			"the file has %d bytes: a definition has at most %d", len(data), maxFile)
		return nil
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil || len(doc.Content) == 0 {
		s.syntax(err)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		s.fault("yaml", &second, nil, "give each version of a saga a file of its own", "a second YAML document begins here: a file holds one definition")
	} else if !errors.Is(err, io.EOF) {
		s.syntax(err)
	}
	s.places[joinPath(nil)] = Place{File: s.file, Line: doc.Content[0].Line, Column: doc.Content[0].Column}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax notes what the YAML parser said.
func (s *source) syntax(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		s.fault("yaml", &yaml.Node{Line: 1, Column: 1}, nil, `write at least "saga", "version" and "steps"`, "the file is empty")
		return
	}
	at, reason := &yaml.Node{Line: 1, Column: 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		reason = m[2]
	}
	s.fault("yaml", at, nil, "mend the YAML: look at indentation, quotes and brackets on this line and the one before", "this is no YAML: %s", reason)
}

// follow returns what an alias stands for, and nil once the file has been read for too long.
func (s *source) follow(n *yaml.Node) *yaml.Node {
	if s.nodes++; s.nodes > maxNodes {
		if s.nodes == maxNodes+1 {
			s.fault("too-large", n, nil, "split the saga, and use fewer or smaller aliases", "the file has more than %d values with what its aliases repeat", maxNodes)
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// pairs calls for every key of a mapping that is there for the first time.
func (s *source) pairs(n *yaml.Node, at keys, each func(key, value *yaml.Node)) {
	node := s.follow(n)
	if node == nil {
		return
	}
	if node.Kind != yaml.MappingNode {
		s.wrongType(node, at, "keys and values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := s.follow(node.Content[i])
		switch {
		case key == nil:
			return
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			s.fault("unknown-key", key, at, "write the keys out, or let an alias stand for the whole value", "%s uses the merge key <<, which not all readers of YAML know", at)
			continue
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			s.fault("wrong-type", key, at, "put it in quotes where a name is meant", "a key of %s is %s and not a text", at, kindOf(key))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			s.fault("duplicate-key", key, at.to(key.Value), "drop one of the two", "%q stands here a second time: the first is on line %d", key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		s.places[joinPath(at.to(key.Value))] = Place{File: s.file, Line: key.Line, Column: key.Column}
		each(key, node.Content[i+1])
	}
}

// mapping reads a mapping whose keys are known.
func (s *source) mapping(n *yaml.Node, at keys, fields []field) {
	present := map[string]bool{}
	s.pairs(n, at, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			names := make([]string, len(fields))
			for i := range fields {
				names[i] = fields[i].key
			}
			s.fault("unknown-key", key, at, suggest(key.Value, names), "%s has no key %q", at, key.Value)
			return
		}
		present[key.Value] = true
		fields[i].read(value, at.to(key.Value))
	})
	if node := s.follow(n); node == nil || node.Kind != yaml.MappingNode {
		return
	}
	for i := range fields {
		if fields[i].required && !present[fields[i].key] {
			s.fault("missing-key", n, at, fmt.Sprintf("add %q", fields[i].key), "%s has no key %q, which it needs", at, fields[i].key)
		}
	}
}

// kindOf names what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
	case yaml.DocumentNode, yaml.AliasNode:
		return "a document"
	}
	switch n.ShortTag() {
	case "!!str":
		return fmt.Sprintf("the text %.40q", n.Value)
	case "!!null":
		return "empty"
	}
	return fmt.Sprintf("%.40q, which YAML reads as %s", n.Value, strings.TrimPrefix(n.ShortTag(), "!!"))
}

func (s *source) wrongType(n *yaml.Node, at keys, want string) {
	wayOut := "write " + want + " here"
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		wayOut += ", or drop the key"
	}
	s.fault("wrong-type", n, at, wayOut, "%s wants %s, but this is %s", at, want, kindOf(n))
}

// scalar returns a scalar of one of the tags, nil where the node is something else.
func (s *source) scalar(n *yaml.Node, at keys, want string, tags ...string) *yaml.Node {
	node := s.follow(n)
	if node == nil {
		return nil
	}
	if node.Kind != yaml.ScalarNode || !slices.Contains(tags, node.ShortTag()) {
		s.wrongType(node, at, want)
		return nil
	}
	return node
}

func (s *source) text(into *string) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		if node := s.scalar(n, at, "a text", "!!str"); node != nil {
			*into = node.Value
			if node.Value == "" {
				s.wrongType(node, at, "a text that is not empty")
			}
		}
	}
}

func (s *source) yes(into *bool) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		if node := s.scalar(n, at, "true or false", "!!bool"); node != nil {
			*into = strings.EqualFold(node.Value, "true")
		}
	}
}

func (s *source) whole(into *int) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		node := s.scalar(n, at, "a whole number", "!!int")
		if node == nil {
			return
		}
		v, err := strconv.ParseInt(node.Value, 10, 32)
		if err != nil {
			s.wrongType(node, at, "a whole number in decimal, of at most 2147483647")
			return
		}
		*into = int(v)
	}
}

func (s *source) number(into *float64) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		node := s.scalar(n, at, "a number", "!!int", "!!float")
		if node == nil {
			return
		}
		v, err := strconv.ParseFloat(node.Value, 64)
		if err != nil || v-v != 0 { // neither too large, nor infinite, nor not a number
			s.wrongType(node, at, "a number in decimal")
			return
		}
		*into = v
	}
}

func (s *source) duration(into *time.Duration) func(*yaml.Node, keys) {
	const want = `a duration such as "30s", "1m30s" or "250ms"`
	return func(n *yaml.Node, at keys) {
		node := s.scalar(n, at, want, "!!str", "!!int")
		if node == nil {
			return
		}
		v, err := time.ParseDuration(node.Value)
		if err != nil {
			s.wrongType(node, at, want)
			return
		}
		*into = v
	}
}

// texts reads a list of texts. What lists hold is bounded, all together.
func (s *source) texts(into *[]string) func(*yaml.Node, keys) {
	return func(n *yaml.Node, at keys) {
		node := s.follow(n)
		if node == nil {
			return
		}
		if node.Kind != yaml.SequenceNode {
			s.wrongType(node, at, "a list, such as [a, b]")
			return
		}
		for _, item := range node.Content {
			value := s.scalar(item, at, "a list of texts", "!!str")
			if value == nil {
				continue
			}
			if s.references++; s.references > maxReferences {
				if s.references == maxReferences+1 {
					s.fault("too-large", value, at, "split the saga", "its lists have more than %d entries in all", maxReferences)
				}
				return
			}
			s.places[joinPath(at.to(value.Value))] = Place{File: s.file, Line: value.Line, Column: value.Column}
			*into = append(*into, value.Value)
		}
	}
}
