package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/definition"
)

// stdinArg is the argument that stands for the standard input.
const stdinArg = "-"

// loaded is what the files of definitions held.
type loaded struct {
	docs []*definition.Document
	// faults are those of files that hold none.
	faults []definition.Finding
	files  int
}

// sagaKey is how a file begins that holds a definition, at the latest behind other keys.
var sagaKey = regexp.MustCompile(`(?m)^["']?saga["']?[ \t]*:`)

// load reads the definitions that the arguments name: files, folders, REV:PATH, or the
// standard input. In a folder only those YAML files count that hold a saga.
func (c *cli) load(ctx context.Context, args []string) (*loaded, error) {
	var l loaded
	for _, arg := range args {
		if arg == stdinArg {
			data, err := io.ReadAll(c.in)
			if err != nil {
				return nil, fmt.Errorf("reading the standard input: %w", err)
			}
			doc, err := definition.Parse("stdin", data)
			if err := l.add(doc, err, "stdin"); err != nil {
				return nil, err
			}
			continue
		}
		place, err := source.Find(ctx, arg)
		if err != nil {
			return nil, err
		}
		before := l.files
		if err := l.addPlace(place); err != nil {
			return nil, err
		}
		if l.files == before {
			return nil, exit.NotFoundf("%s holds no definition: no YAML file in it has the key 'saga'", arg)
		}
	}
	return &l, nil
}

func (l *loaded) addPlace(place *source.Place) error {
	files, err := place.Under(".yaml", ".yml")
	if err != nil {
		return err
	}
	for _, file := range files {
		if place.Dir {
			data, err := place.Read(file)
			if err != nil {
				return err
			}
			if !sagaKey.Match(data) {
				continue
			}
		}
		name := place.Name(file)
		var doc *definition.Document
		if place.OfGit {
			doc, err = definition.Load(place.FS, path.Join(place.Path, file))
		} else {
			doc, err = definition.LoadFile(name)
		}
		if err := l.add(doc, err, name); err != nil {
			return err
		}
	}
	return nil
}

// add takes what a file held, or what is wrong with it.
func (l *loaded) add(doc *definition.Document, err error, name string) error {
	l.files++
	if err == nil {
		doc.File = name
		l.docs = append(l.docs, doc)
		return nil
	}
	findings := definition.FindingsOf(err)
	if len(findings) == 0 {
		return err
	}
	for i := range findings {
		findings[i].File = name
	}
	l.faults = append(l.faults, findings...)
	return nil
}

// documents is load for commands that need every file to hold a definition: what is wrong is
// said on standard error.
func (c *cli) documents(ctx context.Context, args []string) ([]*definition.Document, error) {
	l, err := c.load(ctx, args)
	if err != nil {
		return nil, err
	}
	if len(l.faults) > 0 {
		p := out.Printer{W: c.err, Width: c.columns(), Colour: c.errTerminal && c.colours()}
		t := p.Text()
		for i := range l.faults {
			writeFinding(t, &l.faults[i])
		}
		if err := p.Write(t); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s cannot be used: mend what is named above", counted(len(l.faults), "fault: the definition", "faults: the definitions"))
	}
	return l.docs, nil
}

// document is documents for a single definition.
func (c *cli) document(ctx context.Context, arg string) (*definition.Document, error) {
	docs, err := c.documents(ctx, []string{arg})
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, exit.Usagef("%s holds %d definitions: name the file of one", arg, len(docs))
	}
	return docs[0], nil
}

// writeFinding writes a finding for people.
func writeFinding(t *out.Text, f *definition.Finding) {
	style := map[definition.Severity]out.Style{definition.Error: out.Red, definition.Warning: out.Yellow, definition.Info: out.Blue}[f.Severity]
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	about := f.Definition
	if f.Step != "" {
		about = strings.TrimSpace(about + " " + f.Step)
	}
	if where == "" {
		where, about = about, ""
	}
	line := []out.Styled{out.S(out.Bold, "%s", where), out.S(out.Plain, " "), out.S(style, "%s", f.Severity), out.S(out.Plain, " [%s]", f.Code)}
	if about != "" {
		line = append(line, out.S(out.Plain, " %s", about))
	}
	t.Line(line...)
	t.Para("    ", "%s", f.Reason)
	if f.WayOut != "" {
		t.Para("    -> ", "%s", f.WayOut)
	}
}

// completeDefinitions completes YAML files.
func completeDefinitions(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// fileArgs checks that a command got at least one argument that names definitions, and at
// most so many; most < 0 is any number.
func fileArgs(most int) cobra.PositionalArgs {
	what := "a FILE that holds a definition"
	if most != 1 {
		what = "a FILE or a folder that holds definitions"
	}
	return between(1, most, what)
}
