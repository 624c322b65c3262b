package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/schema"
)

// schemas is "choreo schema".
func (c *cli) schemas() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "schema",
		Short: "check and keep the schemas of payloads",
		Long: `Checks whether schemas can follow each other, and looks into the registry that
keeps them: the one of --registry, or the topic of schemas of --brokers.`,
		Example: `  choreo schema check HEAD:schemas schemas
  choreo schema list --registry http://localhost:8081`,
	}, c.schemaCheck(), c.schemaList(), c.schemaVersions(), c.schemaShow(), c.schemaRegister())
}

// withRegistry calls do with the registry that the flags name.
func (c *cli) withRegistry(cmd *cobra.Command, do func(ctx context.Context, registry schema.Registry) error) error {
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	registry, closeRegistry, err := settings.OpenRegistry(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, registry), closeRegistry())
}

const registryNeeds = connect.Registry | connect.Brokers | connect.Namespace

// schemaList is "choreo schema list".
func (c *cli) schemaList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [PREFIX] [flags]",
		Short: "list the subjects of a registry",
		Long: `Lists the subjects of a registry, those that begin with PREFIX where it is
given. A subject holds the versions of one schema; its name is that of the topic
and of the record, joined by '-'.`,
		Example: `  choreo schema list --registry http://localhost:8081
  choreo schema list choreo.order.events- --brokers localhost:9092 -o jsonl`,
		Args:              between(0, 1, "one prefix at most"),
		ValidArgsFunction: c.completeSubject,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRegistry(cmd, func(ctx context.Context, registry schema.Registry) error {
				names, err := registry.Subjects(ctx)
				if err != nil {
					return err
				}
				type subject struct {
					Subject string `json:"subject"`
				}
				var found []subject
				for _, name := range names {
					if len(args) == 0 || strings.HasPrefix(name, args[0]) {
						found = append(found, subject{name})
					}
				}
				if len(found) == 0 {
					c.say("No subject%s.", map[bool]string{true: " begins so", false: ""}[len(args) > 0])
				}
				return out.List(c.printer(), found, func(t *out.Text, all []subject) {
					for _, s := range all {
						t.Line(out.S(out.Plain, "%s", s.Subject))
					}
				})
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), registryNeeds)
	return cmd
}

// version is a version of a subject in a report.
type schemaVersion struct {
	Subject    string            `json:"subject,omitempty"`
	Version    int               `json:"version,omitempty"`
	ID         string            `json:"id"`
	Kind       schema.Kind       `json:"kind"`
	Name       string            `json:"name"`
	Text       string            `json:"text,omitempty"`
	References []schemaReference `json:"references,omitempty"`
}

type schemaReference struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"`
	Version int    `json:"version,omitempty"`
}

func versionOf(subject string, v schema.Version) schemaVersion {
	sv := schemaVersion{Subject: subject, Version: v.Number, ID: v.ID.String(), Kind: v.Schema.Kind, Name: v.Schema.Name}
	for _, ref := range v.Schema.References {
		sv.References = append(sv.References, schemaReference{ref.Name, ref.Subject, ref.Version})
	}
	return sv
}

// schemaVersions is "choreo schema versions".
func (c *cli) schemaVersions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "versions SUBJECT [flags]",
		Short: "list the versions of a subject",
		Long: `Lists the versions of a subject, oldest first, each with the id that stands in
front of payloads.`,
		Example:           `  choreo schema versions choreo.order.events-OrderCreated -o json`,
		Args:              between(1, 1, "one SUBJECT, which 'choreo schema list' has"),
		ValidArgsFunction: c.completeSubject,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRegistry(cmd, func(ctx context.Context, registry schema.Registry) error {
				versions, err := source.Subject{Name: args[0]}.Until(ctx, registry)
				if err != nil {
					return err
				}
				var all []schemaVersion
				for _, v := range versions {
					all = append(all, versionOf(args[0], v))
				}
				return out.List(c.printer(), all, func(t *out.Text, all []schemaVersion) {
					var rows [][]out.Styled
					for _, v := range all {
						rows = append(rows, []out.Styled{
							out.S(out.Plain, "%d", v.Version), out.S(out.Plain, "%s", v.ID),
							out.S(out.Plain, "%s", v.Kind), out.S(out.Plain, "%s", v.Name),
						})
					}
					t.Table([]out.Column{{Title: "VERSION", Right: true}, {Title: "ID", Whole: true}, {Title: "KIND"}, {Title: "NAME"}}, rows)
				})
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), registryNeeds)
	return cmd
}

// schemaShow is "choreo schema show".
func (c *cli) schemaShow() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "show SUBJECT[@VERSION] [flags]",
		Short: "write a schema",
		Long: `Writes the text of a schema: of a subject's latest version, or of the one behind
'@'. With --id it is the schema of that id, such as a parked saga names.`,
		Example: `  choreo schema show choreo.order.events-OrderCreated@2
  choreo schema show --id 42 --registry http://localhost:8081`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("id") {
				return between(0, 0, "")(cmd, args)
			}
			return between(1, 1, "one SUBJECT, or --id")(cmd, args)
		},
		ValidArgsFunction: c.completeSubject,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRegistry(cmd, func(ctx context.Context, registry schema.Registry) error {
				v, err := shown(ctx, registry, args, id)
				if err != nil {
					return err
				}
				return out.One(c.printer(), v, func(t *out.Text, v schemaVersion) {
					t.Line(out.S(out.Plain, "%s", strings.TrimRight(v.Text, "\n")))
				})
			})
		},
	}
	c.reports(cmd)
	cmd.Flags().StringVar(&id, "id", "", "the `id` that stands in front of payloads: a number, or a fingerprint of 16 hex digits")
	connect.Flags(cmd.Flags(), registryNeeds)
	return cmd
}

// shown returns the schema of an id, or that of a subject.
func shown(ctx context.Context, registry schema.Registry, args []string, id string) (schemaVersion, error) {
	if len(args) == 0 {
		parsed, err := parseID(id)
		if err != nil {
			return schemaVersion{}, err
		}
		s, err := registry.Schema(ctx, parsed)
		if err != nil {
			return schemaVersion{}, err
		}
		v := versionOf("", schema.Version{ID: parsed, Schema: s})
		v.Text = s.Text
		return v, nil
	}
	subject, err := source.NameAndVersion(args[0])
	if err != nil {
		return schemaVersion{}, err
	}
	versions, err := subject.Until(ctx, registry)
	if err != nil {
		return schemaVersion{}, err
	}
	last := versions[len(versions)-1]
	v := versionOf(subject.Name, last)
	v.Text = last.Schema.Text
	return v, nil
}

// parseID reads an id as [schema.ID.String] writes it.
func parseID(s string) (schema.ID, error) {
	if len(s) == 16 {
		if number, err := strconv.ParseUint(s, 16, 64); err == nil {
			return schema.ID{Framing: schema.SingleObject, Number: number}, nil
		}
	}
	number, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return schema.ID{}, exit.Usagef("--id is %q: write a number, or a fingerprint of 16 hex digits", s)
	}
	return schema.ID{Framing: schema.Confluent, Number: number}, nil
}

// completeSubject completes the first argument with the subjects of the registry.
func (c *cli) completeSubject(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.subjectsThatBegin(cmd, begun), cobra.ShellCompDirectiveNoFileComp
}

// patience is how long a person waits at a prompt for words to be completed.
const patience = 3 * time.Second

// subjectsThatBegin returns subjects for a person who waits at a prompt: soon or not at all.
func (c *cli) subjectsThatBegin(cmd *cobra.Command, begun string) []string {
	settings, err := connect.Resolve(cmd.Flags(), c.env)
	if err != nil {
		return nil
	}
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, patience)
	defer cancel()
	registry, closeRegistry, err := settings.OpenRegistry(ctx)
	if err != nil {
		return nil
	}
	defer func() { _ = closeRegistry() }() // a prompt has no place for it
	names, err := registry.Subjects(ctx)
	if err != nil {
		return nil
	}
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, begun) {
			found = append(found, name)
		}
	}
	return found
}
