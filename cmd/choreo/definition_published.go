package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
)

const publishedNeeds = connect.Brokers | connect.Namespace

// published reads the contracts that services have published, by service.
func (c *cli) published(cmd *cobra.Command) ([]definition.Contract, error) {
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return nil, err
	}
	defer cancel()
	names, err := settings.Names()
	if err != nil {
		return nil, err
	}
	log, err := settings.Log()
	if err != nil {
		return nil, err
	}
	contracts, err := readContracts(ctx, log, names.Definitions(), c.say)
	return contracts, errors.Join(err, log.Close())
}

// publishedSoon is published for who waits at a prompt.
func (c *cli) publishedSoon(cmd *cobra.Command) ([]definition.Contract, error) {
	if err := cmd.Flags().Set("timeout", patience.String()); err != nil {
		return nil, err
	}
	return c.published(cmd)
}

func readContracts(ctx context.Context, log topics.Log, topic string, say func(string, ...any)) ([]definition.Contract, error) {
	// To describe it first tells sooner and better what keeps it from being read.
	states, err := log.DescribeTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("reading what services have published: %w", err)
	}
	if _, ok := states[topic]; !ok {
		return nil, exit.NotFoundf("there is no topic %s: check --namespace, or make it with 'choreo topics apply'", topic)
	}
	table, err := topics.ReadTable(ctx, log, topic)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what services have published: %w", err)
	}
	var contracts []definition.Contract
	for key, record := range table {
		if !definition.IsContractKey(key) {
			continue
		}
		contract, err := definition.DecodeContract(record.Value)
		if errors.Is(err, definition.ErrNewerFormat) {
			say("Passed over %s: %v.", key, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s in topic %s: %w", key, topic, err)
		}
		contracts = append(contracts, contract)
	}
	slices.SortFunc(contracts, func(a, b definition.Contract) int { return strings.Compare(a.Service, b.Service) })
	return contracts, nil
}

// entry is one version of a saga as a service has published it.
type entry struct {
	Saga        string   `json:"saga"`
	Version     int      `json:"version"`
	Fingerprint string   `json:"fingerprint"`
	Service     string   `json:"service"`
	Build       string   `json:"build,omitempty"`
	Starts      bool     `json:"starts,omitempty"`
	Owns        []string `json:"owns"`
	document    string
}

// entries returns all that was published, by saga, version and service.
func entries(contracts []definition.Contract) []entry {
	var all []entry
	for i := range contracts {
		for _, d := range contracts[i].Definitions {
			all = append(all, entry{
				Saga: d.Name, Version: d.Version, Fingerprint: d.Fingerprint, Service: contracts[i].Service,
				Build: contracts[i].Build, Starts: d.Starts, Owns: append([]string{}, d.Owns...), document: d.Document,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		if c := strings.Compare(a.Saga, b.Saga); c != 0 {
			return c
		}
		return a.Version - b.Version
	})
	return all
}

// definitionList is "choreo definition list".
func (c *cli) definitionList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "list what services have published",
		Long: `Lists the definitions that services have published when they started: who owns
which steps, by which build, and the fingerprint of what a saga does. Two
fingerprints of one version are a contradiction: see 'choreo definition verify'.`,
		Example: `  choreo definition list --brokers localhost:9092
  choreo definition list -o jsonl | jq -r 'select(.saga == "order") | .service'`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			contracts, err := c.published(cmd)
			if err != nil {
				return err
			}
			all := entries(contracts)
			if len(all) == 0 {
				c.say("No service has published anything yet.")
			}
			return out.List(c.printer(), all, func(t *out.Text, all []entry) {
				if len(all) > 0 {
					writeEntries(t, all)
				}
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), publishedNeeds)
	return cmd
}

func writeEntries(t *out.Text, all []entry) {
	var rows [][]out.Styled
	for _, e := range all {
		fingerprint := e.Fingerprint[:min(8, len(e.Fingerprint))]
		owns := strings.Join(e.Owns, ", ")
		if e.Starts {
			owns = strings.TrimPrefix(owns+"; starts it", "; ")
		}
		rows = append(rows, []out.Styled{
			out.S(out.Plain, "%s/%d", e.Saga, e.Version), out.S(out.Faint, "%s", fingerprint),
			out.S(out.Plain, "%s", e.Service), out.S(out.Plain, "%s", e.Build), out.S(out.Plain, "%s", owns),
		})
	}
	t.Table([]out.Column{{Title: "SAGA"}, {Title: "FINGERPRINT"}, {Title: "SERVICE"}, {Title: "BUILD"}, {Title: "OWNS"}}, rows)
}

// definitionShow is "choreo definition show".
func (c *cli) definitionShow() *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "show SAGA[@VERSION] [flags]",
		Short: "write a definition that services have published",
		Long: `Writes a definition that services have published, in YAML: the latest version,
or the one behind '@'. Schemas are not part of it: 'choreo schema show' has
them. Where services differ, --service says whose it is.`,
		Example: `  choreo definition show order --brokers localhost:9092
  choreo definition show order@1 | choreo definition graph -`,
		Args:              between(1, 1, "one SAGA, which 'choreo definition list' has"),
		ValidArgsFunction: c.completeSaga,
		RunE: func(cmd *cobra.Command, args []string) error {
			saga, err := source.NameAndVersion(args[0])
			if err != nil {
				return err
			}
			contracts, err := c.published(cmd)
			if err != nil {
				return err
			}
			e, err := pick(entries(contracts), saga, service)
			if err != nil {
				return err
			}
			type whole struct {
				entry
				Document string `json:"document"`
			}
			return out.One(c.printer(), whole{e, e.document}, func(t *out.Text, w whole) {
				t.Line(out.S(out.Plain, "%s", strings.TrimRight(w.Document, "\n")))
			})
		},
	}
	c.reports(cmd)
	cmd.Flags().StringVar(&service, "service", "", "the `service` whose definition it is (default any, where all agree)")
	connect.Flags(cmd.Flags(), publishedNeeds)
	return cmd
}

// completeSaga completes the first argument with the sagas that services have published.
func (c *cli) completeSaga(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	contracts, err := c.publishedSoon(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, e := range entries(contracts) {
		if name := fmt.Sprintf("%s@%d", e.Saga, e.Version); strings.HasPrefix(name, begun) {
			found = append(found, name)
		}
	}
	return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
}

// pick returns the entry that is asked for.
func pick(all []entry, saga source.Subject, service string) (entry, error) {
	var found []entry
	for _, e := range all {
		if e.Saga == saga.Name && (saga.Version == 0 || e.Version == saga.Version) && (service == "" || e.Service == service) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		var known []string
		for _, e := range all {
			known = append(known, fmt.Sprintf("%s@%d", e.Saga, e.Version))
		}
		if len(known) == 0 {
			known = []string{"nothing"}
		}
		return entry{}, exit.NotFoundf("no service has published that: there is %s", strings.Join(slices.Compact(known), ", "))
	}
	latest := found[len(found)-1]
	for _, e := range found {
		if e.Version == latest.Version && e.Fingerprint != latest.Fingerprint {
			return entry{}, fmt.Errorf("%s/%d is another one to %s than to %s: say --service, and see 'choreo definition verify --all'",
				e.Saga, e.Version, e.Service, latest.Service)
		}
	}
	return latest, nil
}

// definitionVerify is "choreo definition verify".
func (c *cli) definitionVerify() *cobra.Command {
	var services []string
	var all bool
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR… | --all [flags]",
		Short: "say what services would be refused for at their start",
		Long: `Holds definitions against what services have published: says what a service that
takes these files along would be refused for when it starts. By default that is
asked for each service that owns a step of them. With --all, what is published
is held against itself.

The exit code is 1 where a service would be refused.`,
		Example: `  choreo definition verify sagas/ --brokers localhost:9092
  choreo definition verify order.yaml --service payments
  choreo definition verify --all`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return between(0, 0, "")(cmd, args)
			}
			return between(1, -1, "a FILE or a folder that holds definitions, or --all")(cmd, args)
		},
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			var docs []*definition.Document
			var err error
			if !all {
				if docs, err = c.documents(cmd.Context(), args); err != nil {
					return err
				}
			}
			contracts, err := c.published(cmd)
			if err != nil {
				return err
			}
			mine := contracts
			if !all {
				if mine, err = wouldPublish(docs, contracts, services); err != nil {
					return err
				}
			}
			return c.verifyReport(mine, contracts)
		},
	}
	c.reports(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "hold what is published against itself")
	cmd.Flags().StringSliceVar(&services, "service", nil, "ask for these `services` alone, joined by ',' (default all that own a step)")
	connect.Flags(cmd.Flags(), publishedNeeds)
	return cmd
}

// wouldPublish makes the contracts that services would publish with these documents. Which
// sagas they start stands in no document: that is taken from what they have published.
func wouldPublish(docs []*definition.Document, published []definition.Contract, services []string) ([]definition.Contract, error) {
	var owners []string
	for _, doc := range docs {
		owners = append(owners, doc.Definition.Services()...)
	}
	slices.Sort(owners)
	owners = slices.Compact(owners)
	for _, service := range services {
		if !slices.Contains(owners, service) {
			return nil, exit.NotFoundf("service %q owns no step of these definitions: %s do", service, strings.Join(owners, ", "))
		}
	}
	if len(services) == 0 {
		services = owners
	}
	var contracts []definition.Contract
	for _, service := range services {
		var own []*definition.Document
		for _, doc := range docs {
			if len(doc.Definition.StepsOf(service)) > 0 {
				own = append(own, doc)
			}
		}
		contract, err := definition.NewContract(own, definition.ContractConfig{Service: service, Starts: startsOf(service, own, published)})
		if err != nil {
			return nil, err
		}
		contracts = append(contracts, contract)
	}
	return contracts, nil
}

// startsOf returns the sagas among the documents that a service is known to start.
func startsOf(service string, docs []*definition.Document, published []definition.Contract) []string {
	var starts []string
	for i := range published {
		if published[i].Service != service {
			continue
		}
		for _, d := range published[i].Definitions {
			among := slices.ContainsFunc(docs, func(doc *definition.Document) bool { return doc.Definition.Name() == d.Name })
			if d.Starts && among && !slices.Contains(starts, d.Name) {
				starts = append(starts, d.Name)
			}
		}
	}
	return starts
}

// refusal is a finding about the contract of a service.
type refusal struct {
	Service string `json:"service"`
	definition.Finding
}

func (c *cli) verifyReport(mine, published []definition.Contract) error {
	var all []refusal
	counts := map[definition.Severity]int{}
	for _, contract := range mine {
		others := slices.DeleteFunc(slices.Clone(published), func(other definition.Contract) bool { return other.Service == contract.Service })
		for _, f := range definition.Compare(contract, others) {
			all = append(all, refusal{contract.Service, f})
			counts[f.Severity]++
		}
	}
	err := out.List(c.printer(), all, func(t *out.Text, all []refusal) {
		service := ""
		for i := range all {
			if all[i].Service != service {
				service = all[i].Service
				t.Line(out.S(out.Bold, "service %s", service))
			}
			writeFinding(t, &all[i].Finding)
		}
		t.Line(out.S(out.Plain, "%s against %s: ", counted(len(mine), "service", "services"),
			counted(len(published), "published contract", "published contracts")), verdictOf(counts))
	})
	if err == nil && counts[definition.Error] > 0 {
		err = exit.ErrFindings
	}
	return err
}
