package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// root makes the tree of commands.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "choreo",
		Short: "choreographed sagas over Kafka",
		Long: `choreo shows where sagas hang and why, and mends what waits for a person. It
checks sagas before anything runs: their definitions, the schemas of their
payloads, and the topics that they need. It also draws and documents them.

Results are on standard output, all else is on standard error. -o json and
-o jsonl write results for programs. Scripts may rely on the exit codes, which
'choreo help exit-codes' lists.`,
		Example: `  choreo saga list --status stuck
  choreo saga why order 1042
  choreo definition lint sagas/
  choreo topics plan sagas/ --brokers localhost:9092
  choreo schema check main:schemas schemas --mode full`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.Version = thisBuild().Version
	root.SetVersionTemplate("choreo {{.Version}}\n")
	noun(root, c.sagaNoun(), c.dlqNoun(), c.participantNoun(), c.trackerNoun(), c.definitions(), c.schemas(), c.topicsNoun(),
		c.dbNoun(), c.doctor(), c.version(), c.completion(), c.man())
	root.AddCommand(helpTopics()...)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { help(cmd, cmd.OutOrStdout()) })
	root.SetUsageFunc(func(cmd *cobra.Command) error { help(cmd, cmd.OutOrStderr()); return nil })
	root.SetHelpCommand(helpCommand())
	each(root, func(cmd *cobra.Command) {
		cmd.DisableFlagsInUseLine = true
		cmd.Flags().SortFlags = false
		cmd.Flags().BoolP("help", "h", false, "say all this")
		if cmd.Version != "" {
			cmd.Flags().Bool("version", false, "say which build this is")
		}
	})
	return root
}

// each calls do for a command and all below it.
func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}

func asNotExist(err error, into **pflag.NotExistError) bool { return errors.As(err, into) }

// helpCommand is "choreo help COMMAND…".
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND…]",
		Short: "say all about a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range of.Commands() {
				names = append(names, sub.Name())
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 && of.RunE != nil {
				return of.RunE(of, rest) // a noun explains what it does not know
			}
			if err != nil {
				return err
			}
			help(of, cmd.OutOrStdout())
			return nil
		},
	}
}
