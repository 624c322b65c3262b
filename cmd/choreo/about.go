package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// build is what is known of this binary.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the working tree had changes
	Time     string `json:"time,omitempty"`     // of the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

// version is "choreo version".
func (c *cli) version() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "say which build this is",
		Long: `Says which build of choreo this is: its version, the revision that it was built
from, and the Go version and platform that it was built for.`,
		Example: `  choreo version
  choreo version -o json | jq -r .version`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(*cobra.Command, []string) error {
			return out.One(c.printer(), thisBuild(), func(t *out.Text, b build) {
				t.Line(out.S(out.Plain, "choreo %s", b.Version))
				if b.Revision != "" {
					changed := ""
					if b.Modified {
						changed = ", with changes"
					}
					t.Line(out.S(out.Plain, "revision %s%s", b.Revision, changed))
				}
				t.Line(out.S(out.Plain, "%s %s", b.Go, b.Platform))
			})
		},
	}
	c.reports(cmd)
	return cmd
}

// completion is "choreo completion".
func (c *cli) completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "write a script that completes commands in a shell",
		Long: `Writes the script by which a shell completes commands, flags, files and names of
schema subjects. Load it in every new shell:

  bash        choreo completion bash > \
              ~/.local/share/bash-completion/completions/choreo
  zsh         choreo completion zsh > "${fpath[1]}/_choreo"
  fish        choreo completion fish > ~/.config/fish/completions/choreo.fish
  powershell  choreo completion powershell >> $PROFILE`,
		Example: `  source <(choreo completion bash)                      # for this shell only
  choreo completion fish | source`,
		Args:      between(1, 1, "the name of a shell: "+strings.Join(shells, ", ")),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.out)
			}
			return exit.Usagef("there is no completion for %q: use %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// man is "choreo man DIR".
func (c *cli) man() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "write the manual pages into a folder",
		Long: `Writes a manual page for each command into a folder, which is made where it does
not exist. The pages are dated by SOURCE_DATE_EPOCH where that is set.`,
		Example: `  choreo man ~/.local/share/man/man1
  man choreo-topics-plan`,
		Args: between(1, 1, "the folder to write to"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("making the folder: %w", err)
			}
			n := 0
			var err error
			each(cmd.Root(), func(page *cobra.Command) {
				if err == nil && page.IsAvailableCommand() || page == cmd.Root() {
					err = c.page(args[0], page)
					n++
				}
			})
			if err == nil {
				c.say("Wrote %d manual pages to %s.", n, args[0])
			}
			return err
		},
	}
}

// markdown makes what help shows as it is into what a manual page is made from.
func markdown(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, "  ") {
			paragraphs[i] = "  " + strings.ReplaceAll(p, "\n", "\n  ") // a block that stays as it is
		} else {
			paragraphs[i] = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`).Replace(p)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// page writes the manual page of a command.
func (c *cli) page(folder string, cmd *cobra.Command) error {
	shown := *cmd
	if !cmd.HasParent() {
		for _, topic := range helpTopics() {
			shown.Long += "\n\n# " + strings.ToUpper(topic.Name()) + "\n" + topic.Long
		}
	}
	shown.Long = markdown(shown.Long)
	shown.DisableAutoGenTag = true
	if cmd.HasAvailableSubCommands() {
		shown.Use += " COMMAND"
	}
	shown.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = meaning(f) }) // they are of this run alone
	header := &doc.GenManHeader{Section: "1", Source: "choreo " + thisBuild().Version, Manual: "Choreo"}
	header.Title = strings.ToUpper(strings.ReplaceAll(cmd.CommandPath(), " ", "-"))
	if epoch := c.env("SOURCE_DATE_EPOCH"); epoch != "" {
		var seconds int64
		if _, err := fmt.Sscan(epoch, &seconds); err != nil {
			return exit.Usagef("SOURCE_DATE_EPOCH is %q: write seconds since 1970", epoch)
		}
		date := time.Unix(seconds, 0).UTC()
		header.Date = &date
	}
	var b bytes.Buffer
	if err := doc.GenMan(&shown, header, &b); err != nil {
		return fmt.Errorf("the manual page of %s: %w", cmd.CommandPath(), err)
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
	if err := os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing a manual page: %w", err)
	}
	return nil
}
