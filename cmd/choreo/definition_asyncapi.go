package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/definition/asyncapi"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// definitionAsyncAPI is "choreo definition asyncapi".
func (c *cli) definitionAsyncAPI() *cobra.Command {
	var format, file, title, version string
	var servers []string
	var sizes topology
	cmd := &cobra.Command{
		Use:   "asyncapi FILE|DIR… [flags]",
		Short: "describe sagas as an AsyncAPI document",
		Long: `Describes sagas as one AsyncAPI 3.0 document with the Kafka bindings, for teams
that do not use Choreo: topics, the events of each step with their headers and
payloads, and which service sends and receives them.`,
		Example: `  choreo definition asyncapi sagas/ --output asyncapi.yaml
  choreo definition asyncapi order.yaml -f json --server production=kafka:9092`,
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
			if err := sizes.check(); err != nil {
				return err
			}
			docs, err := c.documents(cmd.Context(), args)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("format") && strings.EqualFold(filepath.Ext(file), ".json") {
				format = string(asyncapi.JSON)
			}
			opts := asyncapi.Options{
				Namespace: settings.Namespace, Title: title, Version: version, Format: asyncapi.Format(format),
				Topology: topics.TopologyOptions{Partitions: sizes.partitions, ReplicationFactor: sizes.replicas, Retention: sizes.retention},
			}
			for _, server := range servers {
				name, host, ok := strings.Cut(server, "=")
				if !ok {
					return exit.Usagef("--server is %q: write NAME=HOST:PORT", server)
				}
				opts.Servers = append(opts.Servers, asyncapi.Server{Name: name, Host: host})
			}
			var sagas []asyncapi.Saga
			for _, doc := range docs {
				sagas = append(sagas, withSchemas(doc))
			}
			data, err := asyncapi.Document(sagas, opts)
			if err != nil {
				return err
			}
			return c.write(file, data)
		},
	}
	choiceFlag(cmd, &format, "format", "f", string(asyncapi.YAML), []string{string(asyncapi.YAML), string(asyncapi.JSON)}, "how to write it, where the name of the output file does not tell")
	cmd.Flags().StringVar(&file, "output", "", "the `file` to write; - and none are the standard output")
	cmd.Flags().StringVar(&title, "title", "", "the `title` of the document (default of the namespace)")
	cmd.Flags().StringVar(&version, "doc-version", "1.0.0", "the `version` of the document")
	cmd.Flags().StringArrayVar(&servers, "server", nil, "a cluster where the topics are, as `name=host:port`; may be given again")
	sizes.sizeFlags(cmd)
	connect.Flags(cmd.Flags(), connect.Namespace)
	return cmd
}

// withSchemas hands on the schemas of what is written: views of readers stand in no event.
func withSchemas(doc *definition.Document) asyncapi.Saga {
	saga := asyncapi.Saga{Definition: doc.Definition, Schemas: map[string]schema.Schema{}}
	written := []*definition.Payload{doc.Written("")}
	for i := range doc.Definition.Steps() {
		written = append(written, doc.Written(doc.Definition.Steps()[i].Name))
	}
	for _, p := range written {
		if p.HasSchema() {
			saga.Schemas[p.Name] = p.Schema
		}
	}
	return saga
}
