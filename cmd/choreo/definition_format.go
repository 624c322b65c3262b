package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/definition"
)

// definitionFormat is "choreo definition format".
func (c *cli) definitionFormat() *cobra.Command {
	var write, check, drop bool
	cmd := &cobra.Command{
		Use:   "format FILE… [flags]",
		Short: "write definitions in their one form",
		Long: `Writes a definition in the one form that stands for it: defaults left out, keys
in a steady order, each step after those it waits for. It goes to the standard
output, with --write back to its file. --check names the files that are not in
that form and ends with exit code 1 if there are any. - is the standard input.

That form has no comments. --write therefore refuses a file that has some,
unless --drop-comments is given; --check looks past them.`,
		Example: `  choreo definition format order.yaml
  choreo definition format --write sagas/*.yaml
  choreo definition format --check sagas/*.yaml`,
		Args:              fileArgs(-1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if write && check {
				return exit.Usagef("--write and --check exclude each other: say one of them")
			}
			docs, err := c.documents(cmd.Context(), args)
			if err != nil {
				return err
			}
			switch {
			case check:
				return c.checkFormat(cmd, docs)
			case write:
				return c.rewrite(docs, drop)
			case len(docs) > 1:
				return exit.Usagef("several definitions do not go to one output: say --write or --check, or name one file")
			}
			return c.write("", definition.Format(docs[0]))
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write back to the files")
	cmd.Flags().BoolVar(&check, "check", false, "name the files that are not in the form, and change nothing")
	cmd.Flags().BoolVar(&drop, "drop-comments", false, "with --write: drop comments")
	return cmd
}

// checkFormat names files that are not formatted.
func (c *cli) checkFormat(cmd *cobra.Command, docs []*definition.Document) error {
	p := c.printer()
	t := p.Text()
	differ := 0
	for _, doc := range docs {
		if doc.File == "stdin" {
			return exit.Usagef("--check needs files, and not the standard input")
		}
		place, err := source.Find(cmd.Context(), doc.File)
		if err != nil {
			return err
		}
		data, err := place.Read(".")
		if err != nil {
			return err
		}
		if !bytes.Equal(withoutComments(data), withoutComments(definition.Format(doc))) {
			differ++
			t.Line(out.S(out.Plain, "%s", doc.File))
		}
	}
	if err := p.Write(t); err != nil || differ == 0 {
		return err
	}
	return fmt.Errorf("%s not in the form: 'choreo definition format --write' mends that", counted(differ, "file is", "files are"))
}

// rewrite formats files in place.
func (c *cli) rewrite(docs []*definition.Document, drop bool) error {
	changed := 0
	for _, doc := range docs {
		data, err := os.ReadFile(doc.File)
		if err != nil {
			return exit.Usagef("--write needs files of the current tree: %s is none", doc.File)
		}
		formatted := definition.Format(doc)
		if bytes.Equal(data, formatted) {
			continue
		}
		if len(commentsOf(data)) > 0 && !drop {
			return fmt.Errorf("%s has comments, which its one form has not: say --drop-comments, or order it by hand as 'choreo definition format' shows", doc.File)
		}
		if err := replaceFile(doc.File, formatted); err != nil {
			return err
		}
		changed++
	}
	c.say("Changed %d of %s.", changed, counted(len(docs), "file", "files"))
	return nil
}

// replaceFile replaces a file in one step, so that an interruption leaves no half of it.
func replaceFile(name string, data []byte) error {
	stat, err := os.Stat(name)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(name), ".choreo-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(temp.Name(), stat.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

// commentsOf returns the comments of a YAML text, but for the line that names its schema.
func commentsOf(data []byte) []string {
	var root yaml.Node
	if yaml.Unmarshal(data, &root) != nil {
		return nil
	}
	var comments []string
	var visit func(*yaml.Node)
	visit = func(n *yaml.Node) {
		for _, block := range []string{n.HeadComment, n.LineComment, n.FootComment} {
			for line := range strings.Lines(block) {
				line = strings.TrimSpace(line)
				if line != "" && !strings.HasPrefix(line, "# yaml-language-server:") {
					comments = append(comments, line)
				}
			}
		}
		for _, child := range n.Content {
			visit(child)
		}
	}
	visit(&root)
	return comments
}

// withoutComments returns a YAML text without comments and empty lines.
func withoutComments(data []byte) []byte {
	comments := commentsOf(data)
	var b bytes.Buffer
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, " \t\r\n")
		if i := strings.Index(line, "#"); i >= 0 && slices.Contains(comments, strings.TrimSpace(line[i:])) {
			line = strings.TrimRight(line[:i], " \t")
		}
		if line == "" || strings.HasPrefix(line, "# yaml-language-server:") {
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
