package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/compat"
)

// schemaRegister is "choreo schema register".
func (c *cli) schemaRegister() *cobra.Command {
	var mode string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "register SUBJECT FILE [flags]",
		Short: "make a schema the next version of a subject",
		Long: `Makes the schema of FILE, or of REV:PATH in git, the next version of a subject.
It is checked against the earlier versions first; where it breaks the mode,
nothing is registered and the exit code is 1. What a .proto file imports is
registered before it, under the name by which it is imported. A schema that is
registered already keeps its version.

Services register what they write by themselves when they start: this command is
for those who want a pipeline to do it.`,
		Example: `  choreo schema register choreo.order.events-OrderCreated order.avsc --dry-run
  choreo schema register choreo.order.events-OrderCreated order.avsc`,
		Args: between(2, 2, "a SUBJECT and a FILE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"avsc", "proto", "json"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return c.completeSubject(cmd, args, begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := source.Find(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			if place.Dir {
				return exit.Usagef("%s is a folder: name a file", args[1])
			}
			s, err := place.Schema(".")
			if err != nil {
				return err
			}
			return c.withRegistry(cmd, func(ctx context.Context, registry schema.Registry) error {
				r := registration{registry: registry, subject: args[0], file: args[1], schema: s, mode: mode, dryRun: dryRun}
				return c.register(ctx, &r)
			})
		},
	}
	c.reports(cmd)
	choiceFlag(cmd, &mode, "mode", "m", modeOfRegistry, append([]string{modeOfRegistry}, modeNames()...),
		"what has to hold against earlier versions, where \"registry\" is what the registry is set to, and backward for the topic of schemas")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would be registered, and register nothing")
	connect.Flags(cmd.Flags(), registryNeeds)
	return cmd
}

// modeOfRegistry stands for the mode that the registry is set to.
const modeOfRegistry = "registry"

// registration is a schema on its way into a registry.
type registration struct {
	registry      schema.Registry
	subject, file string
	schema        schema.Schema
	mode          string
	dryRun        bool
}

// registered is what is reported of a registration.
type registered struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      string `json:"id,omitempty"`
	// Action is "registered", "present" or, for a dry run, "would register".
	Action string `json:"action"`
}

func (c *cli) register(ctx context.Context, r *registration) error {
	versions, err := r.registry.Versions(ctx, r.subject)
	if err != nil && !errors.Is(err, schema.ErrUnknownSchema) {
		return err
	}
	same := slices.IndexFunc(versions, func(v schema.Version) bool { return isThat(v, r.schema) })
	if same < 0 {
		if err := c.admits(ctx, r, versions); err != nil {
			return err
		}
	}
	result := registered{Subject: r.subject, Version: 1, Action: "would register"}
	switch {
	case same >= 0:
		result = registered{Subject: r.subject, Version: versions[same].Number, ID: versions[same].ID.String(), Action: "present"}
	case r.dryRun:
		if len(versions) > 0 {
			result.Version = versions[len(versions)-1].Number + 1
		}
	default:
		if result, err = r.run(ctx, versions); err != nil {
			return err
		}
	}
	return out.One(c.printer(), result, func(t *out.Text, r registered) {
		switch r.Action {
		case "present":
			t.Para("", "%s has this schema as version %d, id %s: nothing to do.", r.Subject, r.Version, r.ID)
		case "registered":
			t.Para("", "Registered version %d of %s, id %s.", r.Version, r.Subject, r.ID)
		default:
			t.Para("", "Would register version %d of %s. Nothing was changed.", r.Version, r.Subject)
		}
	})
}

// isThat reports whether a version is that schema. Where ids are fingerprints, schemas of one
// fingerprint are one.
func isThat(v schema.Version, s schema.Schema) bool {
	if v.Schema.Kind != s.Kind {
		return false
	}
	if s.Kind == schema.Avro && v.ID.Framing == schema.SingleObject {
		fingerprint, err := avro.Fingerprint(s.Text)
		return err == nil && fingerprint == v.ID.Number
	}
	return v.Schema.Text == s.Text
}

// admits reports what the mode forbids, if anything.
func (c *cli) admits(ctx context.Context, r *registration, versions []schema.Version) error {
	mode := compat.Backward
	name := r.mode
	if name == modeOfRegistry {
		name = string(mode)
		if asks, ok := r.registry.(interface {
			Compatibility(ctx context.Context, subject string) (string, error)
		}); ok {
			var err error
			if name, err = asks.Compatibility(ctx, r.subject); err != nil {
				return err
			}
		}
	}
	mode, err := compat.ParseMode(name)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	l := line{name: r.file, next: &r.schema}
	for _, v := range versions {
		if v.Schema.Kind == schema.Protobuf {
			v.Schema.Name = "" // all messages count, as they do in a file
		}
		l.earlier = append(l.earlier, earlier{name: fmt.Sprintf("%s@%d", r.subject, v.Number), schema: v.Schema})
	}
	if one := l.compare(mode); one.Compatible {
		return nil
	}
	return c.compare(mode, []line{l})
}

// run registers the schema, after what it imports.
func (r *registration) run(ctx context.Context, before []schema.Version) (registered, error) {
	s := r.schema
	refs, err := r.imports(ctx, s)
	if err != nil {
		return registered{}, err
	}
	s.References = refs
	id, err := r.registry.Register(ctx, r.subject, s)
	if err != nil {
		return registered{}, err
	}
	number, err := versionWith(ctx, r.registry, r.subject, id)
	if err != nil {
		return registered{}, err
	}
	action := "registered"
	if slices.ContainsFunc(before, func(v schema.Version) bool { return v.ID == id }) {
		action = "present" // it differs in white space alone
	}
	return registered{Subject: r.subject, Version: number, ID: id.String(), Action: action}, nil
}

// imports registers what a schema refers to, what is needed first coming first, and returns
// the references that it makes itself.
func (r *registration) imports(ctx context.Context, s schema.Schema) ([]schema.Reference, error) {
	known := map[string]schema.Reference{}
	direct := func(text string) []schema.Reference {
		var refs []schema.Reference
		for _, name := range source.ImportsOf(s.Kind, []byte(text)) {
			if ref, ok := known[name]; ok {
				refs = append(refs, ref)
			}
		}
		return refs
	}
	for _, ref := range s.References {
		id, err := r.registry.Register(ctx, ref.Name, schema.Schema{Kind: s.Kind, Text: ref.Text, References: direct(ref.Text)})
		if err != nil {
			return nil, fmt.Errorf("import %q: %w", ref.Name, err)
		}
		ref.Subject = ref.Name
		if ref.Version, err = versionWith(ctx, r.registry, ref.Name, id); err != nil {
			return nil, err
		}
		known[ref.Name] = ref
	}
	return direct(s.Text), nil
}

// versionWith returns the number of the version that has the id.
func versionWith(ctx context.Context, registry schema.Registry, subject string, id schema.ID) (int, error) {
	versions, err := registry.Versions(ctx, subject)
	if err != nil {
		return 0, err
	}
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].ID == id {
			return versions[i].Number, nil
		}
	}
	return 0, fmt.Errorf("the registry gave id %s to %s and does not list it: ask again with 'choreo schema versions'", id, subject)
}
