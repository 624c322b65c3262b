package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

// schemaCheck is "choreo schema check".
func (c *cli) schemaCheck() *cobra.Command {
	var mode string
	cmd := &cobra.Command{
		Use:   "check OLD… NEW [flags]",
		Short: "say whether a schema can follow earlier ones",
		Long: `Says which field of NEW breaks which direction against OLD, and what would mend
it. Nothing is sent anywhere: the check works on the texts alone.

OLD and NEW are files (.avsc, .proto, .json), folders, whose schemas are matched
by their path, or REV:PATH for either as it was in a git revision. PATH begins
at the root of the repository, and with ./ at the current folder. The subject of
a registry is subject:NAME or subject:NAME@VERSION. Several OLD are oldest
first. Imports of a .proto file are looked for from its folder upwards, types
that an .avsc file does not define in the other files of its folder.

  backward   who reads by NEW reads what OLD wrote: upgrade readers first
  forward    who reads by OLD reads what NEW writes: upgrade writers first
  full       both: upgrade in any order

A mode looks at the last OLD alone; with -transitive behind it, at all of them,
also at all versions of a subject. Warnings are no breach: what is written can
be read, but may mean something else.`,
		Example: `  choreo schema check order-v1.avsc order-v2.avsc
  choreo schema check origin/main:schemas schemas --mode full
  choreo schema check subject:choreo.order.events-OrderCreated order.avsc \
    --mode backward-transitive --registry http://localhost:8081`,
		Args:              between(2, -1, "OLD and NEW: files, folders, REV:PATH or subject:NAME"),
		ValidArgsFunction: c.completeSchema,
		RunE: func(cmd *cobra.Command, args []string) error {
			parsed, err := compat.ParseMode(mode)
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			rows, err := c.lines(cmd, args)
			if err != nil {
				return err
			}
			return c.compare(parsed, rows)
		},
	}
	c.reports(cmd)
	choiceFlag(cmd, &mode, "mode", "m", "backward", modeNames(), "what has to hold")
	connect.Flags(cmd.Flags(), registryNeeds)
	return cmd
}

// modeNames returns the modes as they are written on the command line.
func modeNames() []string {
	var names []string
	for _, m := range compat.Modes() {
		names = append(names, modeName(m))
	}
	return names
}

func modeName(m compat.Mode) string {
	return strings.ToLower(strings.ReplaceAll(string(m), "_", "-"))
}

// line is the history of one schema: what is checked, and what came before, oldest first.
type line struct {
	name    string // of what is checked
	next    *schema.Schema
	earlier []earlier
}

type earlier struct {
	name   string
	schema schema.Schema
}

// comparison is what is reported of a line.
type comparison struct {
	Name       string      `json:"name"`
	Against    []string    `json:"against"`
	Mode       compat.Mode `json:"mode"`
	Compatible bool        `json:"compatible"`
	Note       string      `json:"note,omitempty"`
	Fault      string      `json:"fault,omitempty"` // why it could not be checked
	Problems   []breach    `json:"problems"`
}

// breach is a problem of a comparison.
type breach struct {
	Severity  compat.Severity  `json:"severity"`
	Direction compat.Direction `json:"direction"`
	Path      string           `json:"path"`
	Code      compat.Code      `json:"code"`
	Reason    string           `json:"reason"`
	Remedy    string           `json:"remedy"`
	Against   string           `json:"against"`
}

// compare checks all lines and reports.
func (c *cli) compare(mode compat.Mode, lines []line) error {
	var all []comparison
	broken := 0
	for _, l := range lines {
		one := l.compare(mode)
		if !one.Compatible {
			broken++
		}
		all = append(all, one)
	}
	err := out.List(c.printer(), all, func(t *out.Text, all []comparison) {
		for i := range all {
			all[i].write(t)
		}
		verdict := out.S(out.Green, "compatible")
		if broken > 0 {
			verdict = out.S(out.Red, "%d not compatible", broken)
		}
		t.Line(out.S(out.Plain, "%s, mode %s: ", counted(len(all), "schema", "schemas"), modeName(mode)), verdict)
	})
	if err == nil && broken > 0 {
		err = exit.ErrFindings
	}
	return err
}

func (l *line) compare(mode compat.Mode) comparison {
	one := comparison{Name: l.name, Against: []string{}, Mode: mode, Compatible: true, Problems: []breach{}}
	for _, e := range l.earlier {
		one.Against = append(one.Against, e.name)
	}
	switch {
	case l.next == nil:
		one.Note = "was removed: whether what it wrote can still be read is not checked"
		return one
	case len(l.earlier) == 0:
		one.Note = "is new"
	}
	var schemas []schema.Schema
	for _, e := range l.earlier {
		schemas = append(schemas, e.schema)
	}
	report, err := mode.Check(*l.next, schemas...)
	if err != nil {
		one.Compatible, one.Fault = false, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "compat: "), ` "" (`, " (")
		return one
	}
	one.Compatible = report.Compatible()
	for _, p := range report.Problems {
		one.Problems = append(one.Problems, breach{
			Severity: p.Severity, Direction: p.Direction, Path: p.Path, Code: p.Code,
			Reason: p.Text, Remedy: p.Remedy, Against: one.Against[p.Against],
		})
	}
	return one
}

// write writes a comparison for people. One without anything to say is left out.
func (one *comparison) write(t *out.Text) {
	if one.Fault != "" {
		t.Line(out.S(out.Bold, "%s", one.Name))
		t.Line(out.S(out.Plain, "  "), out.S(out.Red, "error"), out.S(out.Plain, " [not-understood]"))
		t.Para("    ", "%s", one.Fault)
		t.Blank()
		return
	}
	if len(one.Problems) == 0 {
		if one.Note != "" {
			t.Line(out.S(out.Bold, "%s", one.Name), out.S(out.Plain, " %s", one.Note))
			t.Blank()
		}
		return
	}
	t.Line(out.S(out.Bold, "%s", one.Name))
	for _, p := range one.Problems {
		style := out.Red
		if p.Severity == compat.Warning {
			style = out.Yellow
		}
		t.Line(out.S(out.Plain, "  "), out.S(style, "%s", p.Severity), out.S(out.Plain, " %s: %s [%s]", p.Direction, p.Path, p.Code))
		t.Para("    ", "%s", p.Reason)
		t.Para("    -> ", "%s", p.Remedy)
		if len(one.Against) > 1 {
			t.Para("    against ", "%s", p.Against)
		}
	}
	t.Blank()
}

// counted returns "1 schema" or "2 schemas".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// lines reads what the arguments name: the last is what is checked.
func (c *cli) lines(cmd *cobra.Command, args []string) ([]line, error) {
	folders := 0
	places := make([]*source.Place, len(args)) // nil for subjects
	for i, arg := range args {
		_, isSubject, err := source.ParseSubject(arg)
		if err != nil {
			return nil, err
		}
		if isSubject {
			continue
		}
		if places[i], err = source.Find(cmd.Context(), arg); err != nil {
			return nil, err
		}
		if places[i].Dir {
			folders++
		}
	}
	switch folders {
	case 0:
		return c.single(cmd, args, places)
	case len(args):
		return folderLines(places)
	}
	return nil, exit.Usagef("some of %s are folders and some are not: name folders alone, or none", strings.Join(args, ", "))
}

// single is the line of files and subjects.
func (c *cli) single(cmd *cobra.Command, args []string, places []*source.Place) ([]line, error) {
	var all []earlier
	for i, place := range places {
		if place == nil {
			versions, err := c.subject(cmd, args[i])
			if err != nil {
				return nil, err
			}
			if i == len(args)-1 {
				versions = versions[len(versions)-1:]
			}
			all = append(all, versions...)
			continue
		}
		s, err := place.Schema(".")
		if err != nil {
			return nil, err
		}
		all = append(all, earlier{name: args[i], schema: s})
	}
	last := all[len(all)-1]
	return []line{{name: last.name, next: &last.schema, earlier: all[:len(all)-1]}}, nil
}

// subject reads the versions of a subject up to the one that an argument names.
func (c *cli) subject(cmd *cobra.Command, arg string) ([]earlier, error) {
	subject, _, err := source.ParseSubject(arg)
	if err != nil {
		return nil, err
	}
	var found []earlier
	err = c.withRegistry(cmd, func(ctx context.Context, registry schema.Registry) error {
		versions, err := subject.Until(ctx, registry)
		for _, v := range versions {
			if v.Schema.Kind == schema.Protobuf {
				v.Schema.Name = "" // all messages count, as they do in a file
			}
			found = append(found, earlier{name: fmt.Sprintf("subject:%s@%d", subject.Name, v.Number), schema: v.Schema})
		}
		return err
	})
	return found, err
}

// folderLines matches the schemas of folders by their path.
func folderLines(places []*source.Place) ([]line, error) {
	byPath := map[string]*line{}
	for i, place := range places {
		files, err := place.Under(source.Extensions()...)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, exit.NotFoundf("%s holds no schema: its files end in %s", place.Arg, strings.Join(source.Extensions(), ", "))
		}
		for _, file := range files {
			s, err := place.Schema(file)
			if err != nil {
				return nil, err
			}
			l := byPath[file]
			if l == nil {
				l = &line{name: file}
				byPath[file] = l
			}
			if i == len(places)-1 {
				l.next = &s
			} else {
				l.earlier = append(l.earlier, earlier{name: place.Name(file), schema: s})
			}
		}
	}
	var lines []line
	for _, l := range byPath {
		lines = append(lines, *l)
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	return lines, nil
}

// completeSchema completes files, and subjects behind "subject:".
func (c *cli) completeSchema(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	subject, ok := strings.CutPrefix(begun, "subject:")
	if !ok {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names := c.subjectsThatBegin(cmd, subject)
	for i := range names {
		names[i] = "subject:" + names[i]
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
