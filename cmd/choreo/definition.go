package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/definition"
)

// definitions is "choreo definition".
func (c *cli) definitions() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "definition",
		Short: "check, draw and compare definitions of sagas",
		Long: `Works on the definitions of sagas: YAML files, files as they were in a git
revision (REV:PATH), Go packages, and what services have published.`,
		Example: `  choreo definition lint sagas/
  choreo definition graph sagas/order.yaml -f svg --output order.svg
  choreo definition diff main:sagas/order.yaml sagas/order.yaml`,
	}, c.definitionLint(), c.definitionFormat(), c.definitionGraph(), c.definitionAsyncAPI(), c.definitionDiff(),
		c.definitionVerify(), c.definitionList(), c.definitionShow(), c.definitionRetire(), c.definitionSchema(), c.definitionDump())
}

// definitionLint is "choreo definition lint".
func (c *cli) definitionLint() *cobra.Command {
	var services []string
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE|DIR… [flags]",
		Short: "find what is wrong with definitions",
		Long: `Checks definitions and the flow of data through them: that each reader
understands what the writer writes, that deadlines are long enough, that what
cannot be undone comes late enough, that names fit Kafka and CloudEvents. Each
finding has a code, a place, a reason and a way out. In a folder all YAML files
count that have the key 'saga'. REV:PATH is a file or folder as it was in a git
revision, and - is the standard input.

The exit code is 1 where there is an error, with --strict also for a warning.`,
		Example: `  choreo definition lint sagas/
  choreo definition lint order.yaml --services orders,payments,inventory
  choreo definition lint sagas/ --strict -o json`,
		Args:              fileArgs(-1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := connect.Resolve(cmd.Flags(), c.env)
			if err != nil {
				return err
			}
			if _, err := settings.Names(); err != nil {
				return err
			}
			l, err := c.load(cmd.Context(), args)
			if err != nil {
				return err
			}
			findings := definition.Lint(l.docs, &definition.LintConfig{Services: services, Namespace: settings.Namespace})
			return c.lintReport(l, append(l.faults, findings...), strict)
		},
	}
	c.reports(cmd)
	cmd.Flags().StringSliceVar(&services, "services", nil, "all `services` that there are, joined by ',': a step of any other is an error (default any)")
	cmd.Flags().BoolVar(&strict, "strict", false, "let warnings fail as errors do")
	connect.Flags(cmd.Flags(), connect.Namespace)
	return cmd
}

// lintReport writes findings and returns whether they fail.
func (c *cli) lintReport(l *loaded, findings []definition.Finding, strict bool) error {
	counts := map[definition.Severity]int{}
	for i := range findings {
		counts[findings[i].Severity]++
	}
	err := out.List(c.printer(), findings, func(t *out.Text, all []definition.Finding) {
		for i := range all {
			writeFinding(t, &all[i])
		}
		t.Line(out.S(out.Plain, "%s: ", counted(l.files, "definition", "definitions")), verdictOf(counts))
	})
	if err == nil && (counts[definition.Error] > 0 || strict && counts[definition.Warning] > 0) {
		err = exit.ErrFindings
	}
	return err
}

// verdictOf sums findings up.
func verdictOf(counts map[definition.Severity]int) out.Styled {
	var parts []string
	style := out.Green
	for _, s := range []struct {
		severity  definition.Severity
		one, many string
		style     out.Style
	}{
		{definition.Info, "note", "notes", out.Green},
		{definition.Warning, "warning", "warnings", out.Yellow},
		{definition.Error, "error", "errors", out.Red},
	} {
		if n := counts[s.severity]; n > 0 {
			parts = append([]string{counted(n, s.one, s.many)}, parts...)
			style = s.style
		}
	}
	if len(parts) == 0 {
		return out.S(style, "nothing to mend")
	}
	return out.S(style, "%s", strings.Join(parts, ", "))
}

// definitionDiff is "choreo definition diff".
func (c *cli) definitionDiff() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff OLD NEW [flags]",
		Short: "say what a change means to running sagas",
		Long: `Says how the definition NEW differs from OLD, and what each difference means to
sagas that are running. Either is a file, or REV:PATH as it was in a git
revision, where PATH begins at the root of the repository, and with ./ at the
current folder.

  safe                running sagas go on as they would have
  needs-new-version   the definition has to get another version
  unsafe-for-running  running sagas may end wrongly, or not at all
  informational       the version is another: what that asks of services

The exit code is 1 where a change is unsafe or needs a new version.`,
		Example: `  choreo definition diff order-v1.yaml order-v2.yaml
  choreo definition diff HEAD:sagas/order.yaml sagas/order.yaml`,
		Args:              between(2, 2, "OLD and NEW: files, or REV:PATH"),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			var docs [2]*definition.Document
			for i, arg := range args {
				doc, err := c.document(cmd.Context(), arg)
				if err != nil {
					return err
				}
				docs[i] = doc
			}
			changes := definition.Diff(docs[0], docs[1])
			title := fmt.Sprintf("%s -> %s", docs[0].Definition, docs[1].Definition)
			bad := 0
			for i := range changes {
				if changes[i].Safety == definition.UnsafeForRunning || changes[i].Safety == definition.NeedsNewVersion {
					bad++
				}
			}
			err := out.List(c.printer(), changes, func(t *out.Text, all []definition.Change) { writeChanges(t, title, all) })
			if err == nil && bad > 0 {
				err = exit.ErrFindings
			}
			return err
		},
	}
	c.reports(cmd)
	return cmd
}

func writeChanges(t *out.Text, title string, changes []definition.Change) {
	styles := map[definition.Safety]out.Style{
		definition.Safe: out.Green, definition.UnsafeForRunning: out.Red,
		definition.NeedsNewVersion: out.Yellow, definition.Informational: out.Blue,
	}
	if len(changes) == 0 {
		t.Line(out.S(out.Bold, "%s", title), out.S(out.Plain, ": the same"))
		return
	}
	t.Line(out.S(out.Bold, "%s", title))
	for _, change := range changes {
		about := ""
		if change.Step != "" {
			about = " step " + change.Step
		}
		t.Line(out.S(out.Plain, "  "), out.S(styles[change.Safety], "%s", change.Safety), out.S(out.Plain, " [%s]%s", change.Code, about))
		t.Para("    ", "%s", change.Reason)
		if change.WayOut != "" {
			t.Para("    -> ", "%s", change.WayOut)
		}
	}
}

// definitionSchema is "choreo definition schema".
func (c *cli) definitionSchema() *cobra.Command {
	var contract bool
	cmd := &cobra.Command{
		Use:   "schema [flags]",
		Short: "write the JSON Schema of definitions, for editors",
		Long: `Writes the JSON Schema of definitions in YAML, by which editors complete and
check them. A file names it in its first line:

  # yaml-language-server: $schema=PATH or URL

It is also published, at

` + definition.SchemaURL + `

With --contract it is that of the contracts that services publish.`,
		Example:           `  choreo definition schema > definition.schema.json`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(*cobra.Command, []string) error {
			if contract {
				return c.write("", definition.ContractJSONSchema())
			}
			return c.write("", definition.JSONSchema())
		},
	}
	cmd.Flags().BoolVar(&contract, "contract", false, "the schema of published contracts instead")
	return cmd
}
