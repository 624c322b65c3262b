package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/definition/graph"
)

// The formats of pictures.
const (
	mermaid = "mermaid"
	dot     = "dot"
	svg     = "svg"
)

// definitionGraph is "choreo definition graph".
func (c *cli) definitionGraph() *cobra.Command {
	var format, file, direction string
	cmd := &cobra.Command{
		Use:   "graph FILE [flags]",
		Short: "draw a saga",
		Long: `Draws the steps of a saga by the service that owns them, what each waits for and
reads, how they are undone, and the pivot. FILE is a definition in YAML,
REV:PATH as it was in a git revision, or - for the standard input.

  mermaid  for Markdown, as GitHub and GitLab show it
  dot      for Graphviz
  svg      an image that needs nothing else, in light and dark`,
		Example: `  choreo definition graph order.yaml >> README.md
  choreo definition graph order.yaml --output order.svg
  choreo definition graph order.yaml -f dot | dot -Tpng > order.png`,
		Args:              fileArgs(1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("format") {
				format = formatOfFile(file)
			}
			doc, err := c.document(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			opts := graph.Options{Direction: graph.Direction(direction)}
			if direction == "auto" {
				opts.Direction = graph.Auto
			}
			switch format {
			case mermaid:
				return c.write(file, []byte(graph.Mermaid(doc.Definition, opts)))
			case dot:
				return c.write(file, []byte(graph.DOT(doc.Definition, opts)))
			case svg:
				return c.write(file, graph.SVG(doc.Definition, opts))
			}
			return exit.Usagef("%s does not tell the format: say -f mermaid, dot or svg", file)
		},
	}
	choiceFlag(cmd, &format, "format", "f", mermaid, []string{mermaid, dot, svg}, "how to draw it, where the name of the output file does not tell")
	cmd.Flags().StringVar(&file, "output", "", "the `file` to write; - and none are the standard output")
	choiceFlag(cmd, &direction, "direction", "d", "auto", []string{"auto", "down", "right"}, "where the steps lead to")
	return cmd
}

// formatOfFile tells the format of a picture by the name of its file, "" where it does not tell.
func formatOfFile(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".svg":
		return svg
	case ".dot", ".gv":
		return dot
	case ".mmd", ".mermaid":
		return mermaid
	}
	if file == "" || file == stdinArg {
		return mermaid
	}
	return ""
}
