package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// noun makes a command that only groups others.
func noun(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(verbs...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			help(cmd, cmd.ErrOrStderr())
			return exit.With(exit.Usage, exit.ErrFindings)
		}
		return exit.Usagef("'%s' is no command of '%s'%s", args[0], cmd.CommandPath(), orDidYouMean(cmd.SuggestionsFor(args[0]), namesOf(cmd)))
	}
	return cmd
}

// namesOf returns the names of the commands below one.
func namesOf(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

func orDidYouMean(near, all []string) string {
	switch {
	case len(near) > 0:
		return ": did you mean " + strings.Join(near, " or ") + "?"
	case len(all) > 0:
		return ": use " + strings.Join(all, ", ")
	}
	return ""
}

// between checks how many arguments there are; max < 0 is any number.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return exit.Usagef("'%s' needs %s", cmd.CommandPath(), what)
		case most == 0 && len(args) > 0:
			return exit.Usagef("'%s' takes no arguments, and got %q", cmd.CommandPath(), args[0])
		case most >= 0 && len(args) > most:
			return exit.Usagef("'%s' takes %s, and got also %q", cmd.CommandPath(), what, args[most])
		}
		return nil
	}
}

// flagError explains what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !asNotExist(err, &unknown) {
		return exit.With(exit.Usage, err)
	}
	name := unknown.GetSpecifiedName()
	if len(name) == 1 {
		return exit.Usagef("there is no flag -%s", name)
	}
	// Cobra knows how to find the command that was meant: flags are lent to it as such.
	probe := &cobra.Command{Use: "flags", SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		probe.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	near := probe.SuggestionsFor(name)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return exit.Usagef("there is no flag --%s%s", name, orDidYouMean(near, nil))
}

// choice is a flag that takes one of several words.
type choice struct {
	value *string
	words []string
}

func (f *choice) String() string {
	if f.value == nil {
		return ""
	}
	return *f.value
}

func (f *choice) Type() string { return strings.Join(f.words, "|") }

func (f *choice) Set(s string) error {
	if !slices.Contains(f.words, s) {
		return fmt.Errorf("use %s", strings.Join(f.words, ", "))
	}
	*f.value = s
	return nil
}

// choiceFlag adds a flag that takes one of several words, and completes them.
func choiceFlag(cmd *cobra.Command, into *string, name, short, value string, words []string, usage string) {
	*into = value
	cmd.Flags().VarP(&choice{value: into, words: words}, name, short, usage)
	complete := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic(err) // the flag was just made: only a name given twice can fail
	}
}

// reports adds the flag of commands that write a report.
func (c *cli) reports(cmd *cobra.Command) {
	choiceFlag(cmd, &c.format, "output", "o", string(out.Table), out.Formats(), "how to write the report: text for people, one JSON document, or a line of JSON an item")
}

// completeNothing keeps the shell from completing files where none is meant.
func completeNothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
