package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// help writes all that there is to know of a command, in 80 columns.
func help(cmd *cobra.Command, w io.Writer) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprintln(w, strings.TrimSpace(text))
	if cmd.IsAdditionalHelpTopicCommand() {
		return
	}
	fmt.Fprintf(w, "\nUsage:\n  %s\n", useLine(cmd))
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.Trim(cmd.Example, "\n"))
	}
	commands(w, "Commands:", cmd, func(sub *cobra.Command) bool { return sub.IsAvailableCommand() })
	commands(w, "More help:", cmd, func(sub *cobra.Command) bool { return sub.IsAdditionalHelpTopicCommand() })
	own, connection := new(pflag.FlagSet), new(pflag.FlagSet)
	for _, set := range []*pflag.FlagSet{own, connection} {
		set.SortFlags = false
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if connect.Variable(f.Name) != "" {
			connection.AddFlag(f)
		} else {
			own.AddFlag(f)
		}
	})
	for _, part := range []struct {
		title string
		flags *pflag.FlagSet
	}{{"Flags:", own}, {"Connection:", connection}} {
		if part.flags.HasAvailableFlags() {
			t := (&out.Printer{}).Text()
			part.flags.VisitAll(func(f *pflag.Flag) { describe(t, f) })
			fmt.Fprintf(w, "\n%s\n%s", part.title, t)
		}
	}
}

// describe writes a flag with what it means, its default and its variable.
func describe(t *out.Text, f *pflag.Flag) {
	const column = 26
	shown := *f
	shown.Usage = meaning(f)
	value, usage := pflag.UnquoteUsage(&shown)
	if _, ok := f.Value.(*choice); ok {
		value = "word"
	}
	head := "      --" + f.Name
	if f.Shorthand != "" {
		head = "  -" + f.Shorthand + ", --" + f.Name
	}
	if value != "" {
		head += " " + strings.ToUpper(value)
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
		usage += " (default " + strings.TrimSuffix(f.DefValue, "0m0s") + ")"
	}
	if len(head)+2 > column {
		t.Line(out.S(out.Plain, "%s", head))
		head = ""
	}
	t.Para(fmt.Sprintf("%-*s", column, head), "%s", usage)
}

// meaning says what a flag is for, with the words that it takes and its variable.
func meaning(f *pflag.Flag) string {
	usage := f.Usage
	if words, ok := f.Value.(*choice); ok {
		usage += ": " + strings.Join(words.words, ", ")
	}
	if variable := connect.Variable(f.Name); variable != "" {
		usage += " [" + variable + "]"
	}
	return usage
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// commands lists the commands below one.
func commands(w io.Writer, title string, cmd *cobra.Command, listed func(*cobra.Command) bool) {
	for _, sub := range cmd.Commands() {
		if !listed(sub) {
			continue
		}
		if title != "" {
			fmt.Fprintf(w, "\n%s\n", title)
			title = ""
		}
		fmt.Fprintf(w, "  %-12s %s\n", sub.Name(), sub.Short)
	}
}

// topics of help that are no commands.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "environment", Short: "the variables that are read", Long: environmentHelp()},
		{Use: "exit-codes", Short: "what the exit codes mean", Long: exitCodesHelp()},
		{Use: "profiles", Short: "settings of several clusters in one file", Long: profilesHelp},
	}
}

func environmentHelp() string {
	var b strings.Builder
	b.WriteString(`A flag counts before a variable, a variable before a profile. A secret is never
a flag, which every process of the machine could read. It may be in a file that
a variable names whose own name ends in _FILE.

`)
	for _, v := range connect.Variables() {
		fmt.Fprintf(&b, "  %-25s %s\n", v.Variable, v.Text)
	}
	b.WriteString(`  NO_COLOR                  set to anything: no colours
`)
	return b.String()
}

func exitCodesHelp() string {
	var b strings.Builder
	b.WriteString("Scripts may rely on these codes.\n\n")
	for _, m := range exit.Codes() {
		fmt.Fprintf(&b, "  %3d  %s\n", m.Code, m.Text)
	}
	return b.String()
}

const profilesHelp = `Settings of several clusters can stand in one file. It is the one that
CHOREO_CONFIG names, else choreo/config.yaml in XDG_CONFIG_HOME or ~/.config.

  default: local
  profiles:
    local:
      brokers: localhost:9092
      namespace: shop
    production:
      brokers: kafka-1:9093,kafka-2:9093
      tls-ca: /etc/ssl/kafka-ca.pem
      sasl: scram-sha-512
      sasl-user: choreo
      sasl-password-file: /run/secrets/kafka
      registry: https://registry:8081
      registry-token-file: /run/secrets/registry

A profile has the names of the flags of the same meaning, and files for what is
secret: sasl-password-file, registry-password-file, registry-token-file. One is
chosen by --profile, by CHOREO_PROFILE, or by the file's own default.`
