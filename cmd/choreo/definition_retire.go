package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
)

// definitionRetire is "choreo definition retire".
func (c *cli) definitionRetire() *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "retire SERVICE [flags]",
		Short: "take back what a service that is gone has published",
		Long: `Takes back what a service has published. A contract stands until the service
publishes another one, so that of a service that is gone for good has others
refused at their start: for a step that it still seems to own, or a schema that
it still seems to read.

Do it when no process of the service is left and no saga waits for it. A process
that starts after all publishes anew.`,
		Example: `  choreo definition retire billing --brokers localhost:9092
  choreo definition retire billing --dry-run`,
		Args:              between(1, 1, "one SERVICE, which 'choreo definition list' has"),
		ValidArgsFunction: c.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			contracts, err := c.published(cmd)
			if err != nil {
				return err
			}
			gone, err := contractOf(contracts, args[0])
			if err != nil {
				return err
			}
			for _, e := range entries([]definition.Contract{*gone}) {
				c.say("%s/%d: %s owns %s.", e.Saga, e.Version, e.Service, orNothing(strings.Join(e.Owns, ", ")))
			}
			if dryRun {
				return nil
			}
			if err := c.confirm(yes, fmt.Sprintf("Take back what %s has published?", gone.Service)); err != nil {
				return err
			}
			return c.retire(cmd, gone)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be taken back, and change nothing")
	connect.Flags(cmd.Flags(), publishedNeeds)
	return cmd
}

func orNothing(list string) string {
	if list == "" {
		return "nothing"
	}
	return list
}

func contractOf(contracts []definition.Contract, service string) (*definition.Contract, error) {
	i := slices.IndexFunc(contracts, func(k definition.Contract) bool { return k.Service == service })
	if i < 0 {
		names := make([]string, len(contracts))
		for n := range contracts {
			names[n] = contracts[n].Service
		}
		return nil, exit.NotFoundf("service %q has published nothing: there is %s", service, orNothing(strings.Join(names, ", ")))
	}
	return &contracts[i], nil
}

// retire writes a tombstone in the place of a contract.
func (c *cli) retire(cmd *cobra.Command, gone *definition.Contract) error {
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	names, err := settings.Names()
	if err != nil {
		return err
	}
	log, err := settings.Log()
	if err != nil {
		return err
	}
	err = publishOne(ctx, log, choreo.Record{
		Topic: names.Definitions(), Partition: choreo.AnyPartition, Key: []byte(gone.Key()),
	})
	if err == nil {
		c.say("Taken back.")
	}
	return errors.Join(err, log.Close())
}

func publishOne(ctx context.Context, log topics.Log, rec choreo.Record) error {
	if errs := log.Publish(ctx, []choreo.Record{rec}); errs != nil {
		return fmt.Errorf("writing to topic %s: %w", rec.Topic, errs[0])
	}
	return nil
}

// completeService completes the first argument with the services that have published.
func (c *cli) completeService(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	contracts, err := c.publishedSoon(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for i := range contracts {
		if strings.HasPrefix(contracts[i].Service, begun) {
			found = append(found, contracts[i].Service)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
