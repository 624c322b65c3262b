package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/godump"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// definitionDump is "choreo definition dump".
func (c *cli) definitionDump() *cobra.Command {
	var dir, encoding string
	var check bool
	cmd := &cobra.Command{
		Use:   "dump PACKAGE [flags]",
		Short: "write the definitions of a Go package as YAML",
		Long: `Writes the definitions of a Go package as YAML, each as SAGA-VERSION.yaml, with
the schemas of their payloads beside it. They are the exported variables of type
*choreo.Saga or *choreo.Definition. The package is compiled and run by the go
command; nothing is written into its folder. Files that are there are replaced.

With --check nothing is written: the files that differ are named, and the exit
code is 1 if there are any.`,
		Example: `  choreo definition dump ./contract --output sagas
  choreo definition dump ./contract --output sagas --check   # in a pipeline`,
		Args: between(1, 1, "a PACKAGE, such as ./contract"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			media := map[string]choreo.MediaType{"json": choreo.JSON, "avro": choreo.Avro, "protobuf": choreo.Protobuf}[encoding]
			if check {
				return c.checkDump(cmd, args[0], dir, media)
			}
			saved, err := godump.Dump(cmd.Context(), args[0], dir, media)
			if err != nil {
				return err
			}
			here, err := os.Getwd()
			if err != nil {
				return err
			}
			for i := range saved {
				if name, err := filepath.Rel(here, saved[i].File); err == nil && filepath.IsLocal(name) {
					saved[i].File = name
				}
			}
			return out.List(c.printer(), saved, func(t *out.Text, all []godump.Saved) {
				var rows [][]out.Styled
				for _, s := range all {
					rows = append(rows, []out.Styled{out.S(out.Plain, "%s", s.Saga), out.S(out.Plain, "%s", s.Variable), out.S(out.Plain, "%s", s.File)})
				}
				t.Table([]out.Column{{Title: "SAGA"}, {Title: "VARIABLE"}, {Title: "FILE", Whole: true}}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "output", ".", "the `folder` to write to; it is made where there is none")
	cmd.Flags().BoolVar(&check, "check", false, "name the files that differ, and write nothing")
	choiceFlag(cmd, &encoding, "encoding", "e", "json", []string{"json", "avro", "protobuf"}, "how payloads are encoded whose definition does not say it")
	return cmd
}

// checkDump names the files of a folder that a dump would change.
func (c *cli) checkDump(cmd *cobra.Command, pattern, dir string, encoding choreo.MediaType) error {
	temp, err := os.MkdirTemp("", "choreo-check-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // what stays behind is in the system's own folder
	if _, err := godump.Dump(cmd.Context(), pattern, temp, encoding); err != nil {
		return err
	}
	p := c.printer()
	t := p.Text()
	differ := 0
	err = filepath.WalkDir(temp, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(temp, name)
		if err != nil {
			return err
		}
		if have, err := os.ReadFile(filepath.Join(dir, inside)); err != nil || !bytes.Equal(have, want) {
			differ++
			t.Line(out.S(out.Plain, "%s", filepath.Join(dir, inside)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.Write(t); err != nil || differ == 0 {
		return err
	}
	return fmt.Errorf("%s from the Go definitions: 'choreo definition dump' without --check mends that", counted(differ, "file differs", "files differ"))
}
